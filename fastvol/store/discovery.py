"""Finding the volumes of a data directory by their files, and judging what to do with each.

A volume is known by its ``.idx`` or ``.vif`` in the data directory.  Other than upstream, a
``.dat`` that has lost both is found as well: its index can be rebuilt.  Source of the rules:
``weed/storage/disk_location.go: loadExistingVolumesWithId, loadExistingVolume``.
"""

import logging
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from fastvol.errors import reason_of
from fastvol.formats import file_names, volume_info
from fastvol.formats.file_names import parse_base_name
from fastvol.formats.super_block import SUPER_BLOCK_BYTES
from fastvol.volume.files import (
    DATA_SIDE,
    INCOMING_MARKER,
    INDEX_SIDE,
    VolumeFiles,
    remove_files,
)

log = logging.getLogger(__name__)

_SHARD_EXTENSION: Final = re.compile(r"\.ec(?:[0-2][0-9]|3[01])", re.ASCII)
_NAMING: Final = (file_names.IDX, file_names.VIF)


@dataclass(frozen=True, slots=True, order=True)
class FoundVolume:
    """A volume that some file in a data directory speaks for."""

    volume_id: int
    collection: str


class Verdict(Enum):
    """What to do with a volume that was found."""

    OPEN = auto()
    SKIP = auto()
    UNFINISHED = auto()
    """A copy that broke off: its files are to be removed."""


def find_volumes(directory: Path) -> dict[int, list[FoundVolume]]:
    """The volumes of a directory by id; an id under several collections has several entries.

    :exc:`OSError` when the directory cannot be listed.
    """
    extensions: dict[str, set[str]] = defaultdict(set)
    with os.scandir(directory) as entries:
        for entry in entries:
            stem, extension = os.path.splitext(entry.name)  # noqa: PTH122
            if extension == file_names.DAT and not _has_needles(entry):
                continue
            if extension in (*_NAMING, file_names.DAT) and entry.is_file():
                extensions[stem].add(extension)
    found: dict[int, list[FoundVolume]] = defaultdict(list)
    for stem in sorted(extensions):
        try:
            collection, volume_id = parse_base_name(stem)
        except ValueError as error:
            log.warning("%s is no volume: %s", directory / stem, error)
            continue
        volume = FoundVolume(volume_id, collection)
        if volume not in found[volume_id]:
            found[volume_id].append(volume)
    return dict(found)


def find_volume(
    directory: Path, volume_id: int, collection: str | None = None
) -> list[FoundVolume]:
    """What speaks for one id, that of ``collection`` first; nothing in an unlistable directory."""
    try:
        found = find_volumes(directory).get(volume_id, [])
    except OSError as error:
        log.error("locate volume %d: %s", volume_id, reason_of(error))
        return []
    return sorted(found, key=lambda candidate: candidate.collection != collection)


def _has_needles(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat().st_size > SUPER_BLOCK_BYTES
    except OSError:
        return False


def is_erasure_coded(files: VolumeFiles) -> bool:
    """Whether an erasure-coded volume of the same id lies here, which shares the ``.vif``."""
    return any(
        path.exists() and path.stat().st_size > 0 for path in files.everywhere([file_names.ECX])
    )


def is_awaiting_its_place(files: VolumeFiles) -> bool:
    """Whether another volume came whole, and has not got its place and these names yet."""
    return (files.incoming().directory / INCOMING_MARKER).exists()


def has_shards(directory: Path, volume_id: int) -> bool:
    """Whether a directory has a shard, with content, of this volume of any collection.

    A directory that cannot be listed counts as one that has.
    """
    try:
        with os.scandir(directory) as entries:
            return any(_is_shard_of(entry, volume_id) for entry in entries)
    except OSError as error:
        log.error("look for shards of volume %d: %s", volume_id, reason_of(error))
        return True


def _is_shard_of(entry: os.DirEntry[str], volume_id: int) -> bool:
    stem, extension = os.path.splitext(entry.name)  # noqa: PTH122
    if not _SHARD_EXTENSION.fullmatch(extension):
        return False
    try:
        return parse_base_name(stem)[1] == volume_id and entry.stat().st_size > 0
    except ValueError:
        return False


def judge(files: VolumeFiles, *, mounting: bool) -> Verdict:
    """What to do with a found volume; ``mounting`` when an operator names it.

    Files of erasure-coded volumes are never touched, and a volume that has some is opened only when
    an operator mounts it and it has an index of its own.
    """
    erasure_coded = any(path.exists() for path in files.everywhere([file_names.ECX]))
    has_index = any(path.exists() for path in files.everywhere([file_names.IDX]))
    if erasure_coded and not (mounting and has_index):
        log.warning(
            "volume %s is not loaded: it is erasure coded, which this version cannot serve yet",
            files.data(""),
        )
        return Verdict.SKIP
    if is_awaiting_its_place(files):
        log.error("volume %s is not loaded: it is replaced only in part", files.data(""))
        return Verdict.SKIP
    if files.data(file_names.NOTE).exists():
        return Verdict.UNFINISHED
    info = volume_info.load(files.data(file_names.VIF)) or volume_info.load(
        files.index(file_names.VIF)
    )
    data = files.data(file_names.DAT)
    if not data.exists():
        # Without data here, only a volume whose data is on remote storage is one.
        return Verdict.OPEN if info is not None and info.files else Verdict.SKIP
    if info is not None and info.ec_shard_config and data.stat().st_size <= SUPER_BLOCK_BYTES:
        log.warning("%s is the empty stub of an erasure-coded volume; skipped", data)
        return Verdict.SKIP
    return Verdict.OPEN


def remove_unfinished(files: VolumeFiles) -> None:
    """Removes what a copy that broke off has left (removeVolumeFiles); failures are logged."""
    note = files.data(file_names.NOTE)
    log.warning(
        "volume %s was not completed: %s", files.base, note.read_text(errors="replace").strip()
    )
    kept = {file_names.NOTE} | ({file_names.VIF} if is_erasure_coded(files) else set())
    extensions = [name for name in (*DATA_SIDE, *INDEX_SIDE) if name not in kept]
    # The note last: while it is there, a removal that was cut short is done again.
    remove_files(files.everywhere([*extensions, file_names.NOTE]))
