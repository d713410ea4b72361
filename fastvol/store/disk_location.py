"""One data directory: its options, its lock, its uuid and the watch over its disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastvol.errors import StorageError, reason_of
from fastvol.formats import disk_type
from fastvol.store.directory_lock import DirectoryLock
from fastvol.store.directory_uuid import directory_uuid
from fastvol.store.free_space import DiskStatus, SpaceWatch, disk_status
from fastvol.volume.files import INCOMING_MARKER, INCOMING_SUFFIX, VolumeFiles, remove_files

if TYPE_CHECKING:
    from fastvol.store.options import LocationOptions


class DiskLocation:
    """A place for volumes.  ``disk_id`` is its index among the locations of the store.

    ``max_volume_count`` is the effective maximum: as configured, or adjusted to the disk when 0 was
    configured.
    """

    def __init__(
        self, disk_id: int, options: LocationOptions, index_directory: Path | None
    ) -> None:
        self.disk_id = disk_id
        self.directory = _absolute(options.directory)
        self.index_directory = _absolute(index_directory) if index_directory else self.directory
        self.disk_type = disk_type.normalize(options.disk_type)
        self.tags = options.tags
        self.configured_max_volume_count = options.max_volume_count
        self.max_volume_count = options.max_volume_count
        self.uuid = ""
        self.space = SpaceWatch(self.directory, self.disk_type, options.min_free_space)
        self._lock = DirectoryLock(self.directory)

    def open(self) -> None:
        """Takes the directory's lock, reads its uuid and looks at its disk.

        :exc:`StorageError` when another process serves it or it cannot be written.
        """
        self._lock.acquire()
        try:
            self.uuid = directory_uuid(self.directory)
            self._make_index_directory()
        except BaseException:
            self._lock.release()
            raise
        self.space.check()

    def _make_index_directory(self) -> None:
        try:
            self.index_directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"index directory {self.index_directory}: {reason_of(error)}"
            ) from error

    def remove_leftovers(self) -> None:
        """Removes what copies from other servers have left when they broke off.  :exc:`OSError`.

        What is complete and could not be put in its place stays.
        """
        kept = set()
        for directory in (self.directory, self.index_directory):
            with os.scandir(directory) as entries:
                names = [e.name for e in entries if e.name.endswith(INCOMING_SUFFIX)]
            kept |= {name for name in names if (directory / name / INCOMING_MARKER).exists()}
            remove_files(directory / name for name in names if name not in kept)

    def close(self) -> None:
        """Gives the directory up."""
        self._lock.release()

    def files(self, collection: str, volume_id: int) -> VolumeFiles:
        """Where the files of a volume of this location are, or would be."""
        return VolumeFiles.of(self.directory, self.index_directory, collection, volume_id)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: what tells one directory under two names."""
        status = self.directory.stat()
        return status.st_dev, status.st_ino

    def status(self) -> DiskStatus:
        """The disk's figures now."""
        return disk_status(self.directory, self.disk_type)

    def takes_volumes(self) -> bool:
        """Whether its disk allows for new volumes at all."""
        return not (self.space.low or self.space.unavailable)

    def __repr__(self) -> str:
        return f"DiskLocation({self.disk_id}, {str(self.directory)!r})"


def _absolute(directory: Path) -> Path:
    # Not resolved: messages and /status show the name that the operator gave.
    return Path(os.path.abspath(directory))  # noqa: PTH100
