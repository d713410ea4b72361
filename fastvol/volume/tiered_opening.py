"""Opening a volume whose data file is an object in a store: a tiered volume.

Its index, its ``.vif`` and its marks are here; nothing of the data is compared with the index, and
nothing is repaired (weed/storage/volume_tier.go, volume_loading.go).  It takes deletions only, whatever
was marked before it was moved.  The C volume gets an empty file for its data: reads go to
``OpenedVolume.remote`` instead, and whoever forgets it finds an end and no wrong bytes.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from fastvol._cffi.volume import NativeVolume
from fastvol.errors import RemoteStorageError, VolumeDamagedError
from fastvol.formats.index_entry import OFFSET_WIDTHS
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SUPER_BLOCK_BYTES, SuperBlock
from fastvol.formats.ttl import EMPTY
from fastvol.index.loading import Access, load_needle_map
from fastvol.volume.files import open_for_update
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.reasons import ReadOnlyReason
from fastvol.volume.settings import as_configured, unavailable_reason

if TYPE_CHECKING:
    from fastvol.formats.volume_info import VolumeInfo
    from fastvol.index.kinds import IndexOptions
    from fastvol.remote.tier import RemoteData, Tier
    from fastvol.volume.files import VolumeFiles

log = logging.getLogger(__name__)


def open_tiered(
    files: VolumeFiles,
    info: VolumeInfo,
    tier: Tier | None,
    *,
    default_offset_width: int,
    index: IndexOptions,
) -> OpenedVolume:
    """Opens a volume whose ``.vif`` names a remote file.

    Args:
        files: with the index where it is.
        tier: None where no object store is known.
        default_offset_width: for a ``.vif`` that does not tell.

    Raises:
        VolumeDamagedError: it cannot be served; its files are as they were.
        OSError, ValueError, StorageError, MemoryError: the same, without the volume's name.
    """
    width = info.bytes_offset or default_offset_width
    if width not in OFFSET_WIDTHS:
        raise VolumeDamagedError(f"volume {files.base}: bytesOffset {width} is neither 4 nor 5")
    remote = _open_remote(files, info, tier)
    super_block, is_known = _super_block(files, info, remote)
    native, refusal = _open_native(files, info, remote, super_block, width=width, index=index)
    info.version = super_block.version
    info.bytes_offset = width
    return OpenedVolume(
        files=files,
        info=info,
        super_block=super_block,
        offset_width=width,
        native=native,
        index=index,
        no_write_or_delete=bool(refusal),
        no_write_can_delete=not refusal,
        unavailable=unavailable_reason(files),
        damage=[ReadOnlyReason(refusal)] if refusal else [],
        remote=remote,
        tier=tier,
        super_block_known=is_known,
    )


def _open_remote(files: VolumeFiles, info: VolumeInfo, tier: Tier | None) -> RemoteData:
    first = info.files[0]
    doing = f"load remote file {files.data('.vif')}"
    if tier is None:
        raise VolumeDamagedError(f"{doing}: backend storage {first.backend_name} not found")
    try:
        return tier.open(first.backend_name, first.key, first.file_size, files.index_directory)
    except RemoteStorageError as error:
        raise VolumeDamagedError(f"{doing}: {error}") from error


def _super_block(
    files: VolumeFiles, info: VolumeInfo, remote: RemoteData
) -> tuple[SuperBlock, bool]:
    """That of the data and True or, while the store does not answer, one that does for reads."""
    try:
        return read_super_block(files, info, remote), True
    except RemoteStorageError as error:
        log.error("volume %d: its super block: %s", files.volume_id, error)
    placement = ReplicaPlacement.parse("000")
    guessed = SuperBlock(version=info.version, replica_placement=placement, ttl=EMPTY)
    return as_configured(guessed, info, files), False


def read_super_block(files: VolumeFiles, info: VolumeInfo, remote: RemoteData) -> SuperBlock:
    """That of the data, as configured.

    Raises:
        RemoteStorageError: the store does not answer.
        ValueError: it is none; VolumeDamagedError: nor is what was configured.
    """
    # Without the extra block behind it, which no released server can read.
    found = SuperBlock.from_bytes(remote.read_head(SUPER_BLOCK_BYTES))
    return as_configured(found, info, files)


def _open_native(
    files: VolumeFiles,
    info: VolumeInfo,
    remote: RemoteData,
    super_block: SuperBlock,
    *,
    width: int,
    index: IndexOptions,
) -> tuple[NativeVolume, str]:
    """The C volume, and why its index cannot be written, if so."""
    path = files.index(".idx")
    if not path.exists():
        raise VolumeDamagedError(f"check volume idx file {path}: idx file {path} does not exists")
    modified = info.files[0].modified_time or int(files.data(".vif").stat().st_mtime)
    idx_fd, refusal = open_for_update(path)
    dat_fd = -1
    loaded = None
    try:
        loaded = load_needle_map(
            idx_fd,
            path,
            width=width,
            version=super_block.version,
            options=index,
            access=Access.NONE if refusal else Access.DELETE,
        )
        dat_fd = os.memfd_create(f"volume-{files.volume_id}", os.MFD_CLOEXEC)
        native = NativeVolume(
            volume_id=files.volume_id,
            version=super_block.version,
            offset_width=width,
            dat_fd=dat_fd,
            idx_fd=-1 if refusal else idx_fd,
            dat_size=remote.size,
            idx_size=os.fstat(idx_fd).st_size,
            last_append_ns=0,
            modified_second=modified,
            last_modified_second=max(0, modified),
            ttl=super_block.ttl.to_bytes(),
            needle_map=loaded.needle_map,
            counters=loaded.counters,
            elsewhere=remote,
        )
    except BaseException as error:
        if loaded is not None:
            loaded.needle_map.discard()
        if not isinstance(error, MemoryError):
            for fd in (dat_fd, idx_fd):
                if fd >= 0:
                    os.close(fd)
        raise
    if refusal:
        os.close(idx_fd)
    return native, refusal
