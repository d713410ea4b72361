"""Opening and creating a volume: from files on disk to a live C volume.

Order (weed/storage/volume_loading.go: load): ``.vif``, data file and super block, index (rebuilt when
missing, see ``index_repair``), both ends compared, map loaded. Anything that makes the volume
unusable raises :class:`VolumeDamagedError` and leaves every file as it is.
"""

import contextlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.volume import NativeVolume, reserve
from fastvol.errors import StorageError, VolumeDamagedError, VolumeExistsError
from fastvol.formats import volume_info
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import VolumeInfo
from fastvol.volume.files import VolumeFiles, open_file, owner_may_read, owner_may_write
from fastvol.volume.index_repair import EndRepair, rebuild_index, sync_directory
from fastvol.volume.offset_width import find_offset_width
from fastvol.volume.reasons import FILE_MODE, PERSISTED, ReadOnlyReason

log = logging.getLogger(__name__)

_SUPER_BLOCK_BYTES = 8
_SUPER_BLOCK_READ_BYTES = _SUPER_BLOCK_BYTES + 65535


@dataclass(slots=True)
class OpenedVolume:
    """Everything that a live volume is made of."""

    files: VolumeFiles
    info: VolumeInfo
    super_block: SuperBlock
    offset_width: int
    native: NativeVolume
    no_write_or_delete: bool = False
    no_write_can_delete: bool = False
    unavailable: str | None = None
    reasons: list[ReadOnlyReason] = field(default_factory=list)


def open_volume(
    directory: Path,
    index_directory: Path,
    collection: str,
    volume_id: int,
    *,
    default_offset_width: int,
) -> OpenedVolume:
    """Opens an existing volume, repairing its ends where that is safe.

    Raises:
        VolumeDamagedError: with the reason; no file was changed beyond the repairs that are logged.
    """
    files = VolumeFiles(directory, index_directory, collection, volume_id)
    try:
        return _Opening(files, default_offset_width).run()
    except (OSError, ValueError) as error:
        raise VolumeDamagedError(f"volume {files.data('')}: {error}") from error


class _Opening:
    """One attempt to open; owns descriptors until they belong to the C volume."""

    def __init__(self, files: VolumeFiles, default_offset_width: int) -> None:
        self._files = files
        self._default_offset_width = default_offset_width
        self._reasons: list[ReadOnlyReason] = []
        self._no_write_or_delete = False
        self._no_write_can_delete = False

    def run(self) -> OpenedVolume:
        info = volume_info.load(self._files.data(".vif"))
        had_info = info is not None
        info = info or VolumeInfo()
        if info.files:
            raise VolumeDamagedError(
                f"volume {self._files.base}: its data is on remote storage "
                f"({info.files[0].backend_type}), which this version cannot serve yet"
            )
        self._apply_marks(info)
        with contextlib.ExitStack() as stack:
            dat_fd = self._open_data(stack)
            super_block = self._read_super_block(dat_fd, info)
            opened = self._open_index(stack, dat_fd, info, super_block)
        opened.info.version = super_block.version
        if not had_info:
            self._save_info(opened)
        return opened

    def _apply_marks(self, info: VolumeInfo) -> None:
        if not info.read_only:
            return
        self._reasons.append(ReadOnlyReason(PERSISTED))
        if info.read_only_can_delete:
            self._no_write_can_delete = True
        else:
            self._no_write_or_delete = True

    def _forbid_changes(self, words: str) -> None:
        self._no_write_or_delete = True
        self._reasons.append(ReadOnlyReason(words))

    def _open_data(self, stack: contextlib.ExitStack) -> int:
        path = self._files.data(".dat")
        if not path.exists():
            raise VolumeDamagedError(f"volume data file {path} does not exist")
        if not owner_may_read(path):
            raise VolumeDamagedError(f"cannot read Volume Data file {path}")
        writable = owner_may_write(path)
        if not writable:
            self._forbid_changes(FILE_MODE)
        fd = open_file(path, os.O_RDWR if writable else os.O_RDONLY)
        stack.callback(os.close, fd)
        if os.fstat(fd).st_size < _SUPER_BLOCK_BYTES:
            raise VolumeDamagedError(f"volume {path} not initialized")
        return fd

    def _read_super_block(self, dat_fd: int, info: VolumeInfo) -> SuperBlock:
        super_block = SuperBlock.from_bytes(os.pread(dat_fd, _SUPER_BLOCK_READ_BYTES, 0))
        if not info.replication:
            return super_block
        # A replication configured later outranks the one the volume was created with.
        return SuperBlock(
            version=super_block.version,
            replica_placement=ReplicaPlacement.parse(info.replication),
            ttl=super_block.ttl,
            compaction_revision=super_block.compaction_revision,
            extra=super_block.extra,
        )

    def _offset_width(self, dat_fd: int, idx_fd: int, info: VolumeInfo) -> int:
        if info.bytes_offset:
            if info.bytes_offset not in (4, 5):
                raise VolumeDamagedError(
                    f"volume {self._files.base}: bytesOffset {info.bytes_offset} is neither 4 nor 5"
                )
            return info.bytes_offset
        return find_offset_width(dat_fd, idx_fd, self._default_offset_width)

    def _open_index(
        self,
        stack: contextlib.ExitStack,
        dat_fd: int,
        info: VolumeInfo,
        super_block: SuperBlock,
    ) -> OpenedVolume:
        files = self._files
        if files.index_directory != files.directory and files.data(".idx").exists():
            files = files.with_index_beside_data()
        idx_path = files.index(".idx")
        first = super_block.block_size
        version = super_block.version
        dat_size = os.fstat(dat_fd).st_size
        if not idx_path.exists() and dat_size > _SUPER_BLOCK_BYTES:
            width = info.bytes_offset or self._default_offset_width
            rebuild_index(
                dat_fd=dat_fd,
                dat_size=dat_size,
                first=first,
                version=version,
                width=width,
                idx_path=idx_path,
                volume_id=files.volume_id,
            )
        may_write = not self._no_write_or_delete
        idx_flags = (os.O_RDWR if may_write else os.O_RDONLY) | os.O_CREAT
        idx_fd = open_file(idx_path, idx_flags)
        stack.callback(os.close, idx_fd)
        width = self._offset_width(dat_fd, idx_fd, info)
        end = EndRepair(
            dat_fd=dat_fd,
            idx_fd=idx_fd,
            first=first,
            version=version,
            width=width,
            volume_id=files.volume_id,
        ).run(may_write=may_write)
        if end.problem:
            self._forbid_changes(end.problem)
            log.error("volume %d: %s; marking read-only", files.volume_id, end.problem)
        needle_map = CompactMap()
        counters = needle_map.load(idx_fd, width, version)
        status = os.fstat(dat_fd)
        dat_size = status.st_size
        if counters.max_needle_end > dat_size and not end.problem:
            words = f"idx references end={counters.max_needle_end} but .dat is {dat_size} bytes"
            self._forbid_changes(words)
            log.error("volume %d: %s; marking readonly", files.volume_id, words)
        idx_size = os.fstat(idx_fd).st_size
        stack.pop_all()  # from here on the descriptors are the C volume's
        native = NativeVolume(
            volume_id=files.volume_id,
            version=version,
            offset_width=width,
            dat_fd=dat_fd,
            idx_fd=idx_fd,
            dat_size=dat_size,
            idx_size=idx_size,
            last_append_ns=end.last_append_ns,
            modified_second=int(status.st_mtime),
            ttl=super_block.ttl.to_bytes(),
            map_pointer=needle_map.detach(),
            counters_pointer=counters.cdata,
        )
        return OpenedVolume(
            files=files,
            info=info,
            super_block=super_block,
            offset_width=width,
            native=native,
            no_write_or_delete=self._no_write_or_delete,
            no_write_can_delete=self._no_write_can_delete,
            unavailable=self._unavailable(),
            reasons=self._reasons,
        )

    def _unavailable(self) -> str | None:
        marker = self._files.data(".unavailable")
        return marker.read_text(errors="replace") if marker.exists() else None

    def _save_info(self, opened: OpenedVolume) -> None:
        opened.info.bytes_offset = opened.offset_width
        try:
            volume_info.save(self._files.data(".vif"), opened.info)
        except OSError as error:
            log.warning("volume %d: cannot write its .vif: %s", self._files.volume_id, error)


def create_volume(
    directory: Path,
    index_directory: Path,
    collection: str,
    volume_id: int,
    *,
    replica_placement: ReplicaPlacement,
    ttl: TTL,
    version: int,
    offset_width: int,
    preallocate: int,
) -> OpenedVolume:
    """Creates the three files of a new, empty volume; on failure none of them stays behind.

    Args:
        preallocate: bytes to reserve for the data file, 0 for none.

    Raises:
        VolumeExistsError: one of the files is there already.
        StorageError: the version is unknown, or a file cannot be written.
    """
    files = VolumeFiles(directory, index_directory, collection, volume_id)
    if version not in (1, 2, 3):
        raise StorageError(f"volume super block version {version} is not supported")
    super_block = SuperBlock(version=version, replica_placement=replica_placement, ttl=ttl)
    created: list[Path] = []
    try:
        _write_new_files(files, super_block, offset_width, preallocate, created)
        return open_volume(
            directory, index_directory, collection, volume_id, default_offset_width=offset_width
        )
    except BaseException as error:
        for path in created:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise VolumeExistsError(f"cannot create volume {files.base}: {error}") from error
        if isinstance(error, OSError):
            raise StorageError(
                f"cannot load volume data {files.data('.dat')}: {error.strerror}"
            ) from error
        raise


def _write_new_files(
    files: VolumeFiles,
    super_block: SuperBlock,
    offset_width: int,
    preallocate: int,
    created: list[Path],
) -> None:
    dat_path, idx_path, vif_path = files.data(".dat"), files.index(".idx"), files.data(".vif")
    new = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    dat_fd = os.open(dat_path, new, 0o644)
    created.append(dat_path)
    try:
        if preallocate > 0:
            reserve(dat_fd, preallocate)
        os.pwrite(dat_fd, super_block.to_bytes(), 0)
        os.fsync(dat_fd)
    finally:
        os.close(dat_fd)
    os.close(os.open(idx_path, new, 0o644))
    created.append(idx_path)
    info = VolumeInfo(version=super_block.version, bytes_offset=offset_width)
    if super_block.ttl.seconds:
        info.expire_at_sec = volume_info.expiry_of(super_block.ttl)
    volume_info.save(vif_path, info)
    created.append(vif_path)
    sync_directory(files.index_directory)
