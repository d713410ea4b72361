"""A volume that another server is sending, from its first byte to its place among the others.

Theory of operation
-------------------
Its files are received under names of their own (``.dat.incoming`` and so on), beside those of a copy
that may be mounted here already: that one goes on answering reads, and takes no changes, until what
arrives is whole, verified and on the disk.  Then, under the lock of the id: the old copy is destroyed,
left-overs of any earlier one are removed (a stale ``.unavailable`` or map would be taken for one of the
new files), the note ``.note`` is written, the files get their names, the note goes, and the volume is
mounted and looked at.  What a crash leaves:

| found | done by the next start |
| --- | --- |
| ``.incoming`` | removed; the old copy, if any, is loaded |
| ``.note`` | removed with all files of the volume: the old copy is gone and the new one in pieces |

Upstream destroys the old copy first, receives in place, and syncs nothing but the note, although
whoever asked for the copy may delete the source next (weed/server/volume_grpc_copy.go: VolumeCopy).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastvol._cffi.volume import reserve
from fastvol.errors import StorageError, reason_of
from fastvol.formats import file_names
from fastvol.formats.durable_file import FILE_MODE, sync_directory
from fastvol.store.discovery import is_erasure_coded
from fastvol.volume.files import DATA_SIDE, INCOMING_SUFFIX, INDEX_SIDE, remove_files

if TYPE_CHECKING:
    from fastvol.store.disk_location import DiskLocation

_NOTE_MODE: Final = 0o755


class IncomingVolume:
    """The files of one volume on their way to a location; not for several threads."""

    def __init__(self, location: DiskLocation, collection: str, volume_id: int) -> None:
        self.location = location
        self.files = location.files(collection, volume_id)
        self._received: dict[str, int] = {}
        """Modification time in nanoseconds of each file that came, by extension; 0: not told."""

    @property
    def volume_id(self) -> int:
        """Its id."""
        return self.files.volume_id

    def path(self, extension: str) -> Path:
        """Where a file is received."""
        named = self._named(extension)
        return named.with_name(named.name + INCOMING_SUFFIX)

    def _named(self, extension: str) -> Path:
        files = self.files
        return files.index(extension) if extension == file_names.IDX else files.data(extension)

    def create(self, extension: str, *, reserve_bytes: int = 0) -> int:
        """A descriptor of a new, empty file to be received.

        Raises:
            StorageError
        """
        path = self.path(extension)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise StorageError(f"open file {path}: {(error.strerror or '').lower()}") from error
        if reserve_bytes > 0:
            reserve(fd, reserve_bytes)
        self._received[extension] = 0
        return fd

    def received(self, extension: str, modified_ns: int) -> None:
        """The source's time of a file that came whole."""
        self._received[extension] = modified_ns

    def absent(self, extension: str) -> None:
        """The source has no such file."""
        self._received.pop(extension, None)
        self.path(extension).unlink(missing_ok=True)

    def size(self, extension: str) -> int | None:
        """Bytes received; None when there is no such file."""
        try:
            return self.path(extension).stat().st_size
        except FileNotFoundError:
            return None

    def discard(self) -> None:
        """Removes what was received; failures are logged."""
        remove_files(self.path(extension) for extension in self._received)
        self._received.clear()

    def settle(self) -> None:
        """Makes what was received durable, with its times, before anything is replaced by it.

        Raises:
            StorageError
        """
        try:
            for extension, modified_ns in self._received.items():
                fd = os.open(self.path(extension), os.O_RDWR | os.O_CLOEXEC)
                try:
                    if modified_ns:
                        os.utime(fd, ns=(modified_ns, modified_ns))
                    os.fsync(fd)
                finally:
                    os.close(fd)
            self._sync_directories()
        except OSError as error:
            raise StorageError(f"sync volume {self.volume_id}: {reason_of(error)}") from error

    def put_in_place(self, note: str) -> None:
        """Gives the files their names; nothing of an earlier volume stays.

        Args:
            note: what an operator reads in ``.note`` after a crash.

        Raises:
            StorageError
        """
        shared = {file_names.VIF} if is_erasure_coded(self.files) else set()
        old = [name for name in (*DATA_SIDE, *INDEX_SIDE) if name not in shared]
        note_path = self.files.data(file_names.NOTE)
        try:
            fd = os.open(
                note_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _NOTE_MODE
            )
            with os.fdopen(fd, "w") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self.files.directory)
            remove_files(path for path in self.files.everywhere(old) if path != note_path)
            for extension in self._received:
                self.path(extension).replace(self._named(extension))
            self._sync_directories()
            note_path.unlink()
            sync_directory(self.files.directory)
        except OSError as error:
            raise StorageError(
                f"put volume {self.volume_id} in place: {reason_of(error)}"
            ) from error
        self._received.clear()

    def remove_placed(self) -> None:
        """Removes the files under their names again: what was mounted is not what was sent."""
        remove_files(self.files.everywhere((file_names.DAT, file_names.IDX, file_names.VIF)))

    def _sync_directories(self) -> None:
        for directory in {self.files.directory, self.files.index_directory}:
            sync_directory(directory)
