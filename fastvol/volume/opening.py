"""Opening a volume: from files on disk to a live C volume.

Order (weed/storage/volume_loading.go: load): ``.vif``, data file and super block, index (rebuilt
when missing, see ``index_rebuild``), both ends compared (``index_repair``), map loaded or opened.
Anything that makes the volume unusable raises :class:`VolumeDamagedError` and leaves every file as
it is; what only makes changes unsafe opens it read-only, with the reason.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.volume import NativeVolume
from fastvol.errors import StorageError, VolumeDamagedError
from fastvol.formats import volume_info
from fastvol.formats.index_entry import OFFSET_WIDTHS
from fastvol.formats.needle import PADDING_UNIT, TIMED_VERSION
from fastvol.formats.super_block import SUPER_BLOCK_BYTES, SuperBlock
from fastvol.formats.volume_info import VolumeInfo
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.index.loading import Access, LoadedMap, is_loaded_into_memory, load_needle_map
from fastvol.volume.files import (
    VolumeFiles,
    open_file,
    open_for_update,
    owner_may_read,
)
from fastvol.volume.head_tombstones import recover_head_rows
from fastvol.volume.index_rebuild import index_in_memory, rebuild_index
from fastvol.volume.index_repair import EndRepair
from fastvol.volume.last_write import last_write_second
from fastvol.volume.offset_width import find_offset_width
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.reasons import PERSISTED, ReadOnlyReason
from fastvol.volume.settings import as_configured, unavailable_reason
from fastvol.volume.tiered_opening import open_tiered

if TYPE_CHECKING:
    from pathlib import Path

    from fastvol.remote.tier import Tier

log = logging.getLogger(__name__)


def open_volume(
    files: VolumeFiles,
    *,
    default_offset_width: int,
    index: IndexOptions = IN_MEMORY,
    for_writing: bool = False,
    append_times_above: int = 0,
    tier: Tier | None = None,
) -> OpenedVolume:
    """Opens an existing volume, repairing its ends where that is safe.

    Args:
        files: with the index where it belongs; it may be found beside the data.
        default_offset_width: 4 or 5, for a volume whose own files do not tell.
        index: which needle map it gets.
        for_writing: the read-only mark in its ``.vif`` is about to be taken away.
        append_times_above: the last time given to a record, where the files may not tell: a vacuum
            sorts them, so that the last one need not be the youngest.
        tier: where the data of a volume may lie that is on remote storage.

    Raises:
        VolumeDamagedError: with the reason; no file was changed beyond the repairs that are logged.
    """
    opening = _Opening(files, default_offset_width, index, for_writing, append_times_above)
    try:
        info = volume_info.load(opening.files.data(".vif"))
        if info is not None and info.files:
            return open_tiered(
                opening.files, info, tier, default_offset_width=default_offset_width, index=index
            )
        return opening.run(info)
    except VolumeDamagedError:
        raise
    except (OSError, ValueError, StorageError, MemoryError) as error:
        words = str(error) or type(error).__name__
        raise VolumeDamagedError(f"volume {files.data('')}: {words}") from error
    finally:
        opening.close()


class _Opening:
    """One attempt to open; owns descriptors until they belong to the C volume."""

    def __init__(
        self,
        files: VolumeFiles,
        default_offset_width: int,
        index: IndexOptions,
        for_writing: bool,
        append_times_above: int,
    ) -> None:
        if files.index_directory != files.directory and files.data(".idx").exists():
            files = files.with_index_beside_data()
        self.files = files
        self._default_offset_width = default_offset_width
        self._index = index
        self._index_is_a_file = True
        self._for_writing = for_writing
        self._append_times_above = append_times_above
        self._owned: set[int] = set()
        self._damage: list[ReadOnlyReason] = []
        self._persisted_mark: ReadOnlyReason | None = None
        self._no_write_can_delete = False

    def close(self) -> None:
        """Closes what was not handed over."""
        while self._owned:
            os.close(self._owned.pop())

    def _own(self, fd: int) -> int:
        self._owned.add(fd)
        return fd

    @property
    def _may_write(self) -> bool:
        marked = self._persisted_mark is not None and not self._no_write_can_delete
        return not (self._damage or marked)

    def _forbid_changes(self, words: str) -> None:
        self._damage.append(ReadOnlyReason(words))
        log.error("volume %d: %s; marking readonly", self.files.volume_id, words)

    def run(self, found_info: VolumeInfo | None) -> OpenedVolume:
        """Opens it; the caller closes this object whatever happens."""
        info = found_info or VolumeInfo()
        self._judge_info(info)
        dat_fd = self._open_data()
        modified_second = int(os.fstat(dat_fd).st_mtime)
        super_block = self._read_super_block(dat_fd, info)
        idx_fd = self._open_index(dat_fd, super_block, info)
        width, contradiction = find_offset_width(
            dat_fd, idx_fd, stated=info.bytes_offset, default=self._default_offset_width
        )
        if contradiction:
            self._forbid_changes(contradiction)
        idx_fd = self._recover_head_rows(dat_fd, idx_fd, super_block, width)
        native = self._compare_and_load(dat_fd, idx_fd, super_block, width, modified_second)
        info.version = super_block.version
        info.bytes_offset = width
        if found_info is None:
            self._save_info(info, super_block)
        return OpenedVolume(
            files=self.files,
            info=info,
            super_block=super_block,
            offset_width=width,
            native=native,
            index=self._index,
            no_write_or_delete=not self._may_write,
            no_write_can_delete=self._no_write_can_delete,
            unavailable=unavailable_reason(self.files),
            persisted_mark=self._persisted_mark,
            damage=self._damage,
        )

    # --- the three files ----------------------------------------------------------------------

    def _judge_info(self, info: VolumeInfo) -> None:
        path = self.files.data(".vif")
        if info.bytes_offset not in (0, *OFFSET_WIDTHS):
            raise VolumeDamagedError(
                f"volume {self.files.base}: bytesOffset {info.bytes_offset} is neither 4 nor 5"
            )
        if self._for_writing:
            return
        if info.problem:
            # What could not be read may have been a read-only mark.
            self._forbid_changes(f"{path} cannot be relied on: {info.problem}")
        if info.read_only:
            self._persisted_mark = ReadOnlyReason(PERSISTED)
            self._no_write_can_delete = info.read_only_can_delete

    def _open_data(self) -> int:
        path = self.files.dat
        if not path.exists():
            raise VolumeDamagedError(f"volume data file {path} does not exist")
        if not owner_may_read(path):
            raise VolumeDamagedError(f"cannot read Volume Data file {path}")
        fd, refusal = open_for_update(path)
        self._own(fd)
        if refusal:
            self._forbid_changes(refusal)
        if os.fstat(fd).st_size < SUPER_BLOCK_BYTES:
            raise VolumeDamagedError(f"volume {path} not initialized")
        return fd

    def _read_super_block(self, dat_fd: int, info: VolumeInfo) -> SuperBlock:
        where = f"volume {self.files.base} super block"
        try:
            super_block = SuperBlock.read(dat_fd)
        except ValueError as error:
            raise VolumeDamagedError(f"cannot read {where}: {error}") from error
        if super_block.block_size % PADDING_UNIT:
            # No released server can open such a volume, so nobody knows where its records are.
            raise VolumeDamagedError(
                f"{where} has {super_block.block_size} bytes, not a multiple of 8"
            )
        return as_configured(super_block, info, self.files)

    def _open_index(self, dat_fd: int, super_block: SuperBlock, info: VolumeInfo) -> int:
        path = self.files.idx
        if not path.exists():
            width = info.bytes_offset or self._default_offset_width
            if not self._rebuild_index(dat_fd, super_block, width):
                return self._index_in_memory(dat_fd, super_block, width)
        if not self._may_write:
            return self._own(open_file(path, os.O_RDONLY))
        fd, refusal = open_for_update(path)
        if refusal:
            self._forbid_changes(refusal)
        return self._own(fd)

    def _rebuild_index(self, dat_fd: int, super_block: SuperBlock, width: int) -> bool:
        if not self._may_write:
            return False
        try:
            rebuild_index(
                self.files,
                dat_fd,
                dat_size=os.fstat(dat_fd).st_size,
                first=super_block.block_size,
                version=super_block.version,
                width=width,
            )
        except OSError as error:
            path = self.files.idx
            self._forbid_changes(f"rebuild volume idx file {path}: {error}")
            return False
        return True

    def _index_in_memory(self, dat_fd: int, super_block: SuperBlock, width: int) -> int:
        self._index_is_a_file = False
        log.warning(
            "volume %d: no index file; it is served from one rebuilt in memory",
            self.files.volume_id,
        )
        fd = index_in_memory(
            dat_fd,
            dat_size=os.fstat(dat_fd).st_size,
            first=super_block.block_size,
            version=super_block.version,
            width=width,
            name=self.files.base,
        )
        return self._own(fd)

    def _recover_head_rows(
        self, dat_fd: int, idx_fd: int, super_block: SuperBlock, width: int
    ) -> int:
        """The descriptor of the index, of the replaced one if it was; best effort."""
        if not self._may_write:
            return idx_fd
        try:
            replaced = recover_head_rows(
                self.files,
                dat_fd,
                idx_fd,
                first=super_block.block_size,
                version=super_block.version,
                width=width,
            )
        except OSError as error:
            log.warning("volume %d: recover index rows: %s", self.files.volume_id, error)
            return idx_fd
        return self._own(open_file(self.files.idx, os.O_RDWR)) if replaced else idx_fd

    # --- data and index together --------------------------------------------------------------

    def _compare_and_load(
        self, dat_fd: int, idx_fd: int, super_block: SuperBlock, width: int, modified_second: int
    ) -> NativeVolume:
        files = self.files
        repair = EndRepair(
            files,
            dat_fd=dat_fd,
            idx_fd=idx_fd,
            first=super_block.block_size,
            version=super_block.version,
            width=width,
        )
        in_memory = is_loaded_into_memory(self._index_path, self._index)
        compact = CompactMap() if in_memory else None
        end = repair.run(may_write=self._may_write, into=compact)
        if end.problem:
            self._forbid_changes(end.problem)
        dat_size = os.fstat(dat_fd).st_size
        last_modified_second = modified_second
        if super_block.ttl.minutes and super_block.version == TIMED_VERSION:
            last_modified_second = last_write_second(
                dat_fd,
                idx_fd,
                width=width,
                revision=super_block.compaction_revision,
                fallback=modified_second,
                volume_id=files.volume_id,
            )
        if compact is not None and end.counters is not None:
            loaded = LoadedMap(compact, end.counters)
        else:
            compact = None
            loaded = self._load_map(idx_fd, super_block.version, width)
        handed_over = {dat_fd, idx_fd} if self._may_write else {dat_fd}
        try:
            assert end.problem or loaded.counters.max_needle_end <= dat_size
            native = NativeVolume(
                volume_id=files.volume_id,
                version=super_block.version,
                offset_width=width,
                dat_fd=dat_fd,
                idx_fd=idx_fd if self._may_write else -1,
                dat_size=dat_size,
                idx_size=os.fstat(idx_fd).st_size,
                last_append_ns=max(end.last_append_ns, self._append_times_above),
                modified_second=modified_second,
                last_modified_second=max(0, last_modified_second),
                ttl=super_block.ttl.to_bytes(),
                needle_map=loaded.needle_map,
                counters=loaded.counters,
            )
        except BaseException as error:
            loaded.needle_map.discard()
            if isinstance(error, MemoryError):
                self._owned -= handed_over
            raise
        self._owned -= handed_over
        return native

    @property
    def _index_path(self) -> Path | None:
        return self.files.idx if self._index_is_a_file else None

    def _load_map(self, idx_fd: int, version: int, width: int) -> LoadedMap:
        if not self._may_write:
            access = Access.NONE
        elif self._no_write_can_delete:
            access = Access.DELETE
        else:
            access = Access.WRITE
        return load_needle_map(
            idx_fd,
            self._index_path,
            width=width,
            version=version,
            options=self._index,
            access=access,
        )

    # --- what else speaks for it --------------------------------------------------------------

    def _save_info(self, info: VolumeInfo, super_block: SuperBlock) -> None:
        info.expire_at_sec = volume_info.expiry_of(super_block.ttl)
        path: Path = self.files.data(".vif")
        try:
            volume_info.save(path, info)
        except OSError as error:
            log.warning("volume %d: cannot write %s: %s", self.files.volume_id, path, error)
