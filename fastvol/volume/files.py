"""Names, modes and descriptors of one volume's files."""

import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fastvol.errors import StorageError, reason_of
from fastvol.formats.file_names import base_name
from fastvol.volume.reasons import FILE_MODE

log = logging.getLogger(__name__)

DATA_SIDE: Final = (".dat", ".vif", ".cpd", ".cpc", ".note", ".unavailable")
"""Beside the data; ``.dat`` comes first, because a volume without one is none."""
DERIVED_MAPS: Final = (".sdx", ".ldb", ".rdb")
"""Built from the index, by any server, and only good for the index that they were built from."""
INDEX_SIDE: Final = (".idx", ".idx.tmp", ".cpx", ".cpldb", ".sdx.tmp", *DERIVED_MAPS)
INCOMING_SUFFIX: Final = ".incoming"
"""Of the directory with the files that another server is sending, until the whole volume is here."""
INCOMING_MARKER: Final = "complete"
"""In such a directory: the volume is whole, and comes in the place of what is here."""
LEFTOVERS: Final = (".note", ".unavailable", ".cpd", ".cpx", ".cpc", ".idx.tmp", ".cpldb")
"""What an earlier volume of the same id may have left, and what would harm a new one."""

_NOT_FOR_US: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class VolumeFiles:
    """Where a volume's files are (weed/storage/volume.go: FileName).

    ``configured_index_directory`` is where its index belongs; the index may lie beside the data all
    the same, and is then used from there.
    """

    directory: Path
    index_directory: Path
    collection: str
    volume_id: int
    configured_index_directory: Path

    @classmethod
    def of(
        cls, directory: Path, index_directory: Path, collection: str, volume_id: int
    ) -> "VolumeFiles":
        """The files of a volume whose index is where it belongs."""
        return cls(directory, index_directory, collection, volume_id, index_directory)

    @property
    def base(self) -> str:
        """``<id>`` or ``<collection>_<id>``."""
        return base_name(self.collection, self.volume_id)

    @property
    def dat(self) -> Path:
        """The data file."""
        return self.data(".dat")

    @property
    def idx(self) -> Path:
        """The index."""
        return self.index(".idx")

    def data(self, extension: str) -> Path:
        """A file beside the data."""
        return self.directory / (self.base + extension)

    def index(self, extension: str) -> Path:
        """A file beside the index."""
        return self.index_directory / (self.base + extension)

    def everywhere(self, extensions: Iterable[str]) -> list[Path]:
        """The files with these extensions in every directory that may have them."""
        directories = dict.fromkeys(
            (self.directory, self.index_directory, self.configured_index_directory)
        )
        return [
            directory / (self.base + extension)
            for extension in extensions
            for directory in directories
        ]

    def incoming(self) -> "VolumeFiles":
        """Where a volume that will have these names is received."""
        name = self.base + INCOMING_SUFFIX
        return VolumeFiles.of(
            self.directory / name,
            self.configured_index_directory / name,
            self.collection,
            self.volume_id,
        )

    def with_index_beside_data(self) -> "VolumeFiles":
        """The same volume with its index in the data directory."""
        return replace(self, index_directory=self.directory)


def open_file(path: Path, flags: int, mode: int = 0o644) -> int:
    """Opens without touching the access time where the owner may say so."""
    try:
        return os.open(path, flags | os.O_NOATIME | os.O_CLOEXEC, mode)
    except PermissionError:
        return os.open(path, flags | os.O_CLOEXEC, mode)


def open_for_update(path: Path) -> tuple[int, str]:
    """Opens for reading and writing or, where that is not allowed, for reading; then also says why.

    Raises:
        OSError: not even that.
    """
    if not owner_may_write(path):
        return open_file(path, os.O_RDONLY), FILE_MODE
    try:
        return open_file(path, os.O_RDWR), ""
    except OSError as error:
        if error.errno not in _NOT_FOR_US:
            raise
        return open_file(path, os.O_RDONLY), f"{path}: {error.strerror}"


def owner_may_read(path: Path) -> bool:
    """Upstream goes by the owner's mode bits, not by what the process may do."""
    return bool(path.stat().st_mode & stat.S_IRUSR)


def owner_may_write(path: Path) -> bool:
    """As :func:`owner_may_read`."""
    return bool(path.stat().st_mode & stat.S_IWUSR)


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files and whole directories; failures are logged and do not stop it."""
    for path in paths:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove %s: %s", path, error)


def remove_volume_files(files: VolumeFiles, *, keep_vif: bool) -> None:
    """Removes a volume's files wherever they are (weed/storage/volume_write.go: removeVolumeFiles).

    Failures are logged and do not stop it. ``keep_vif`` leaves the ``.vif`` to an erasure-coded
    volume.
    """
    extensions = [name for name in DATA_SIDE if name != ".vif" or not keep_vif]
    remove_files(files.everywhere([*extensions, *INDEX_SIDE]))


@contextmanager
def storage_errors(files: VolumeFiles) -> Iterator[None]:
    """What the operating system refuses meanwhile is a :exc:`StorageError` that names the volume."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"volume {files.base}: {reason_of(error)}") from error
