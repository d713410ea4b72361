"""Creating a volume: its three files, all of them or none."""

import logging
import os
from pathlib import Path

from fastvol._cffi.volume import reserve
from fastvol.errors import StorageError, VolumeExistsError
from fastvol.formats import volume_info
from fastvol.formats.durable_file import FILE_MODE, sync_directory
from fastvol.formats.super_block import VERSIONS, SuperBlock
from fastvol.formats.volume_info import VolumeInfo
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.volume.files import (
    DERIVED_MAPS,
    LEFTOVERS,
    VolumeFiles,
    remove_files,
)
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.opening import open_volume

log = logging.getLogger(__name__)

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def check_version(version: int) -> None:
    """Raises StorageError unless a super block can have this needle version."""
    if version not in VERSIONS:
        raise StorageError(f"volume super block version {version} is not supported")


def create_volume(
    files: VolumeFiles,
    super_block: SuperBlock,
    *,
    offset_width: int,
    preallocate: int,
    index: IndexOptions = IN_MEMORY,
) -> OpenedVolume:
    """Creates the three files of a new, empty volume; on failure none of them stays behind.

    Args:
        preallocate: bytes to reserve for the data file, 0 for none.
        index: which needle map it gets.

    Raises:
        VolumeExistsError: one of the files is there already, in whichever directory.
        StorageError: a file cannot be written.
    """
    for path in files.everywhere((".dat", ".idx", ".vif")):
        # Also a .vif alone: it may be that of an erasure-coded or a tiered volume.
        if path.exists():
            raise VolumeExistsError(f"cannot create volume {files.base}: {path} exists")
    _remove_leftovers(files)
    created: list[Path] = []
    try:
        _write_new_files(files, super_block, offset_width, preallocate, created)
        return open_volume(files, default_offset_width=offset_width, index=index)
    except BaseException as error:
        for path in created:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise VolumeExistsError(f"cannot create volume {files.base}: {error}") from error
        if isinstance(error, OSError):
            raise StorageError(f"cannot load volume data {files.data('.dat')}: {error}") from error
        raise


def _remove_leftovers(files: VolumeFiles) -> None:
    """An earlier volume's marks would be taken for this one's: it would be rolled back, declared
    incomplete or unavailable at the next start."""
    leftovers = [path for path in files.everywhere((*LEFTOVERS, *DERIVED_MAPS)) if path.exists()]
    if leftovers:
        log.warning("removing what an earlier volume %s left: %s", files.base, leftovers)
        remove_files(leftovers)


def _write_new_files(
    files: VolumeFiles,
    super_block: SuperBlock,
    offset_width: int,
    preallocate: int,
    created: list[Path],
) -> None:
    dat_path, idx_path, vif_path = files.dat, files.idx, files.data(".vif")
    head = super_block.to_bytes()
    dat_fd = os.open(dat_path, _NEW, FILE_MODE)
    created.append(dat_path)
    try:
        if preallocate > 0:
            reserve(dat_fd, preallocate)
        if os.pwrite(dat_fd, head, 0) != len(head):
            raise StorageError(f"cannot write the super block of {dat_path}")
        os.fsync(dat_fd)
    finally:
        os.close(dat_fd)
    os.close(os.open(idx_path, _NEW, FILE_MODE))
    created.append(idx_path)
    sync_directory(files.index_directory)
    created.append(vif_path)
    info = VolumeInfo(version=super_block.version, bytes_offset=offset_width)
    info.expire_at_sec = volume_info.expiry_of(super_block.ttl)
    volume_info.save(vif_path, info)  # and makes the data directory durable
