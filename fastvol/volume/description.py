"""All that is known of a volume without going through its data, and without changing a byte.

What a server would do when it opens the volume is told as well: read-only, and why.
"""

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastvol.errors import StorageError, VolumeDamagedError, reason_of
from fastvol.formats import file_names, volume_info
from fastvol.formats.index_entry import row_size
from fastvol.volume.files import (
    DATA_SIDE,
    INDEX_SIDE,
    LEFTOVERS,
    VolumeFiles,
    owner_may_read,
    owner_may_write,
)
from fastvol.volume.reasons import FILE_MODE, PERSISTED
from fastvol.volume.unrepaired import UnrepairedVolume, unrepaired

_MEANINGS: Final = {
    ".note": "an incomplete copy: a server removes the volume when it starts",
    ".unavailable": "a failed rollback: the volume is not served",
    ".cpc": "a vacuum that was committed: a server finishes it when it starts",
    ".cpd": "data of a vacuum; without .cpc a server removes it when it starts",
    ".cpx": "index of a vacuum; without .cpc a server removes it when it starts",
    ".cpldb": "a map of a vacuum, of no use any more",
    ".idx.tmp": "an index that was not completed, of no use any more",
}


@dataclass(slots=True)
class FoundFile:
    """One file of a volume; ``meaning`` is empty for those that belong there."""

    path: Path
    size: int
    modified: float
    mode: str
    meaning: str = ""


@dataclass(slots=True)
class Description:
    """What was found; sections without content could not be read (``problem`` says why)."""

    volume_id: int
    collection: str
    files: list[FoundFile] = field(default_factory=list)
    super_block: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    index: dict[str, Any] = field(default_factory=dict)
    needles: dict[str, Any] = field(default_factory=dict)
    read_only: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def leftovers(self) -> list[FoundFile]:
        """Files that something unfinished has left."""
        return [found for found in self.files if found.meaning]

    @property
    def sound(self) -> bool:
        """Nothing is known against the volume; a mark of an operator is nothing against it."""
        return not (self.problem or self.leftovers or set(self.read_only) - {PERSISTED})


def describe_volume(files: VolumeFiles) -> Description:
    """Looks at a volume's files; what cannot be read is told, not raised."""
    description = Description(files.volume_id, files.collection, _found_files(files))
    try:
        with unrepaired(files) as opened:
            _describe_super_block(opened, description)
            _describe_info(opened, description)
            _describe_index(opened, description)
            _describe_needles(opened, description)
            description.read_only = _read_only_reasons(opened)
    except (StorageError, OSError) as error:
        description.problem = reason_of(error)
    return description


def _found_files(files: VolumeFiles) -> list[FoundFile]:
    extensions = dict.fromkeys((*DATA_SIDE, *INDEX_SIDE, file_names.ECX))
    found = []
    for path in files.everywhere(extensions):
        try:
            status = path.lstat()
        except OSError:
            continue
        extension = path.name.removeprefix(files.base)
        meaning = _MEANINGS[extension] if extension in LEFTOVERS else ""
        found.append(
            FoundFile(path, status.st_size, status.st_mtime, stat.filemode(status.st_mode), meaning)
        )
    return found


def _describe_super_block(opened: UnrepairedVolume, description: Description) -> None:
    block = opened.super_block
    description.super_block = {
        "version": block.version,
        "replication": str(opened.stored_placement),
        "ttl": str(block.ttl),
        "compaction_revision": block.compaction_revision,
        "extra_bytes": len(block.extra),
    }
    if block.extra:
        description.notes.append("no released server of SeaweedFS opens a super block with extras")


def _describe_info(opened: UnrepairedVolume, description: Description) -> None:
    info = opened.info
    if info is None:
        description.notes.append("there is no .vif; a server writes one when it opens the volume")
        return
    description.info = {
        "version": info.version,
        "replication": info.replication,
        "bytes_offset": info.bytes_offset,
        "expire_at_sec": info.expire_at_sec,
        "read_only": info.read_only,
        "read_only_can_delete": info.read_only_can_delete,
        "dat_file_size": info.dat_file_size,
        "remote_files": [f"{one.backend_name}/{one.key}" for one in info.files],
        "erasure_coded": info.ec_shard_config is not None,
        "unknown_members": sorted(info.unknown),
        "problem": info.problem,
    }


def _describe_index(opened: UnrepairedVolume, description: Description) -> None:
    if not opened.has_index:
        description.notes.append("there is no index; a server makes one when it opens the volume")
        return
    description.index = {
        "offset_width": opened.offset_width,
        "row_bytes": row_size(opened.offset_width),
        "rows": opened.rows,
        "partial_row_bytes": opened.partial_row_bytes,
    }
    if opened.default_width:
        description.notes.append("nothing tells the offset width; the usual one is assumed")


def _describe_needles(opened: UnrepairedVolume, description: Description) -> None:
    needle_map, counters = opened.load_map()
    live, live_bytes = needle_map.live(opened.version)
    used = opened.dat_size - opened.first
    description.needles = {
        "live": live,
        "live_record_bytes": live_bytes,
        "garbage_bytes": max(0, used - live_bytes),
        "file_count": counters.file_count,
        "deleted_count": counters.deleted_count,
        "content_size": counters.content_size,
        "deleted_size": counters.deleted_size,
        "max_file_key": counters.max_file_key,
        "map_bytes": needle_map.memory_bytes,
    }


def _read_only_reasons(opened: UnrepairedVolume) -> list[str]:
    files = opened.files
    reasons = list(opened.problems)
    info = opened.info or volume_info.VolumeInfo()
    if info.files:
        reasons.append(f"its data is on remote storage ({info.files[0].backend_name})")
    if info.read_only:
        reasons.append(PERSISTED)
    if not owner_may_read(files.dat):
        raise VolumeDamagedError(f"cannot read Volume Data file {files.data('.dat')}")
    paths = [files.dat, *([files.idx] if opened.has_index else [])]
    if not all(map(owner_may_write, paths)):
        reasons.append(FILE_MODE)
    if files.data(".unavailable").exists():
        reasons.append(f"unavailable: {files.data('.unavailable').read_text(errors='replace')}")
    if opened.has_index:
        problem = opened.ends_problem()
        reasons += [problem] if problem else []
    return reasons
