"""A volume that another server is sending, from its first byte to its place among the others.

Theory of operation
-------------------
Its files are received in a directory of their own, ``<base>.incoming``, beside those of a copy that may
be mounted here already: that one goes on answering reads, and takes no changes, until what arrives is
whole, durable, and was opened and looked at where it lies.  Then, under the lock of the id, a marker is
written into that directory: from here on the replacement only goes forward, by whoever opens the
location next.  ``.note`` is written, which keeps other servers from loading the volume meanwhile; the
files of the old copies and whatever was derived from them are removed (a stale ``.unavailable`` or map
would be taken for one of the new files); the new ones get their names; the note goes, then the directory.
What a crash leaves:

| found | done by the next start |
| --- | --- |
| ``<base>.incoming`` without the marker | removed; the old copy, if any, is loaded |
| the same with it | the replacement is ended; the new volume is loaded |

A marker names the files that it means by their inodes, and the old data file by its size, too: when
another server was at work here in between, nothing that it did is undone, and the directory is removed.

Upstream destroys the old copy first, receives in place, and syncs nothing but the note, although
whoever asked for the copy may delete the source next (weed/server/volume_grpc_copy.go: VolumeCopy).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastvol._cffi.volume import reserve
from fastvol.errors import StorageError, go_reason_of, reason_of
from fastvol.formats import file_names
from fastvol.formats.durable_file import FILE_MODE, replace_file, sync_directory
from fastvol.store.discovery import is_awaiting_its_place, is_erasure_coded
from fastvol.volume.files import (
    DATA_SIDE,
    INCOMING_MARKER,
    INCOMING_SUFFIX,
    INDEX_SIDE,
    VolumeFiles,
    remove_files,
    storage_errors,
)

if TYPE_CHECKING:
    from fastvol.store.disk_location import DiskLocation

_NOTE_MODE: Final = 0o755

log = logging.getLogger(__name__)


class IncomingVolume:
    """The files of one volume on their way to a location; not for several threads."""

    def __init__(self, location: DiskLocation, collection: str, volume_id: int) -> None:
        self.location = location
        self.files = location.files(collection, volume_id)
        self.staged = self.files.incoming()
        self._received: dict[str, int] = {}
        """Modification time in nanoseconds of each file that came, by extension; 0: not told."""

    @property
    def volume_id(self) -> int:
        """Its id."""
        return self.files.volume_id

    def begin(self) -> None:
        """Makes room for what is to come.

        Raises:
            StorageError: also when an earlier one still waits to be put in its place.
        """
        if is_awaiting_its_place(self.files):
            raise StorageError(
                f"volume {self.volume_id}: a copy that came before waits to be put in its place"
            )
        self.discard()
        with storage_errors(self.files):
            for directory in _directories(self.staged):
                directory.mkdir()

    def path(self, extension: str) -> Path:
        """Where a file is received."""
        return _named(self.staged, extension)

    def create(self, extension: str, *, reserve_bytes: int = 0) -> int:
        """A descriptor of a new, empty file to be received.

        Raises:
            StorageError
        """
        path = self.path(extension)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise StorageError(f"open file {path}: {go_reason_of(error)}") from error
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
        with storage_errors(self.files):
            self.path(extension).unlink(missing_ok=True)

    def size(self, extension: str) -> int | None:
        """Bytes received; None when there is no such file."""
        try:
            return self.path(extension).stat().st_size
        except FileNotFoundError:
            return None

    def discard(self) -> None:
        """Removes what was received; failures are logged."""
        remove_files(_directories(self.staged))
        self._received.clear()

    def settle(self) -> None:
        """Makes what was received durable, with its times, before anything is replaced by it.

        Raises:
            StorageError
        """
        with storage_errors(self.files):
            for extension, modified_ns in self._received.items():
                fd = os.open(self.path(extension), os.O_RDWR | os.O_CLOEXEC)
                try:
                    if modified_ns:
                        os.utime(fd, ns=(modified_ns, modified_ns))
                    os.fsync(fd)
                finally:
                    os.close(fd)
            _sync_directories(self.staged, self.files)

    def declare_complete(self, note: str, copies: Iterable[VolumeFiles]) -> Replacement:
        """From here on it is this volume that is here, whatever happens.

        Args:
            note: what an operator reads in ``.note`` after a crash.
            copies: of the volume, on any disk, in whose place it comes.

        Raises:
            StorageError: nothing was declared.
        """
        with storage_errors(self.files):
            plan = Replacement(
                note=note,
                received={name: self.path(name).stat().st_ino for name in self._received},
                old_data=_inode_and_size(self.files.dat),
                copies=[
                    (str(c.directory), str(c.configured_index_directory), c.collection)
                    for c in copies
                ],
            )
            plan.save(self.files)
        return plan


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is needed to put a volume that came whole in its place, also after a crash."""

    note: str
    received: dict[str, int] = field(default_factory=dict)
    """Inode of each file, by extension."""
    old_data: tuple[int, int] | tuple[()] = ()
    """Inode and size of the data file that will be replaced, if there is one."""
    copies: list[tuple[str, str, str]] = field(default_factory=list)
    """Directory, directory for the index, and collection of each copy to be removed."""

    @classmethod
    def load(cls, files: VolumeFiles) -> Replacement:
        """What the marker says.  :exc:`OSError`, or :exc:`ValueError` when it says nothing."""
        try:
            content = json.loads(_marker(files).read_bytes())
            old = content["old_data"]
            return cls(
                str(content["note"]),
                {str(name): int(inode) for name, inode in content["received"].items()},
                (int(old[0]), int(old[1])) if old else (),
                [(str(a), str(b), str(c)) for a, b, c in content["copies"]],
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{_marker(files)} cannot be read: {error}") from error

    def save(self, files: VolumeFiles) -> None:
        """Writes the marker, durably.  :exc:`OSError`: there is none."""
        replace_file(_marker(files), json.dumps(asdict(self)).encode())

    def is_possible(self, files: VolumeFiles) -> bool:
        """Whether everything that it is about is still there."""
        staged = files.incoming()
        for extension, inode in self.received.items():
            places = _named(staged, extension), _named(files, extension)
            if all(_inode_and_size(place)[:1] != (inode,) for place in places):
                return False
        if not staged.dat.exists() or not files.dat.exists():
            return True
        return _inode_and_size(files.dat) == self.old_data

    def put_in_place(self, files: VolumeFiles) -> None:
        """Gives the files their names; nothing of an earlier volume stays.

        Raises:
            OSError: calling this again goes on where it failed.
        """
        note = files.data(file_names.NOTE)
        staged = files.incoming()
        _write_durably(note, self.note)
        kept = {note, *(_named(files, extension) for extension in self.received)}
        for path in self._old_files(files):
            if path not in kept:
                _remove(path)
        for extension in self.received:
            if (source := _named(staged, extension)).exists():
                source.replace(_named(files, extension))
        _sync_directories(files)
        note.unlink(missing_ok=True)
        sync_directory(files.directory)
        _marker(files).unlink(missing_ok=True)
        remove_files(_directories(staged))

    def _old_files(self, files: VolumeFiles) -> Iterator[Path]:
        copies = [
            VolumeFiles.of(Path(directory), Path(index_directory), collection, files.volume_id)
            for directory, index_directory, collection in self.copies
        ]
        for copy in (*copies, files):
            shared = {file_names.VIF} if is_erasure_coded(copy) else set()
            yield from copy.everywhere(
                [name for name in (*DATA_SIDE, *INDEX_SIDE) if name not in shared]
            )


def finish_replacement(files: VolumeFiles) -> None:
    """Ends what a crash or an error broke off; nobody has the volume open.  Failures are logged."""
    if not is_awaiting_its_place(files):
        return
    try:
        plan = Replacement.load(files)
        if plan.is_possible(files):
            log.warning("volume %s: a copy that came whole is put in its place", files.base)
            plan.put_in_place(files)
            return
        reason = "another server was at work here since"
    except ValueError as error:
        reason = str(error)
    except OSError as error:
        log.error("volume %s: cannot put a copy in its place: %s", files.base, reason_of(error))
        return
    log.error("volume %s: a copy that came whole is given up: %s", files.base, reason)
    remove_files(_directories(files.incoming()))


def interrupted_replacements(location: DiskLocation) -> list[VolumeFiles]:
    """The volumes of a location whose replacement was declared and not ended.  :exc:`OSError`."""
    found = []
    with os.scandir(location.directory) as entries:
        for entry in entries:
            base, suffix = os.path.splitext(entry.name)  # noqa: PTH122
            if suffix != INCOMING_SUFFIX or not entry.is_dir():
                continue
            try:
                files = location.files(*file_names.parse_base_name(base))
            except ValueError:
                continue
            if is_awaiting_its_place(files):
                found.append(files)
    return found


def _marker(files: VolumeFiles) -> Path:
    return files.incoming().directory / INCOMING_MARKER


def _named(files: VolumeFiles, extension: str) -> Path:
    return files.index(extension) if extension == file_names.IDX else files.data(extension)


def _directories(files: VolumeFiles) -> list[Path]:
    return list(dict.fromkeys((files.directory, files.index_directory)))


def _sync_directories(*of: VolumeFiles) -> None:
    for directory in {directory for files in of for directory in _directories(files)}:
        sync_directory(directory)


def _inode_and_size(path: Path) -> tuple[int, int] | tuple[()]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size


def _write_durably(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _NOTE_MODE)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
