"""Names, modes and descriptors of one volume's files."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastvol.formats.file_names import base_name

DATA_SIDE: Final = (".dat", ".vif", ".cpd", ".cpc", ".note", ".unavailable")
INDEX_SIDE: Final = (".idx", ".sdx", ".cpx", ".ldb", ".rdb")


@dataclass(frozen=True, slots=True)
class VolumeFiles:
    """Where a volume's files are (weed/storage/volume.go: FileName)."""

    directory: Path
    index_directory: Path
    collection: str
    volume_id: int

    @property
    def base(self) -> str:
        """``<id>`` or ``<collection>_<id>``."""
        return base_name(self.collection, self.volume_id)

    def data(self, extension: str) -> Path:
        """A file beside the data."""
        return self.directory / (self.base + extension)

    def index(self, extension: str) -> Path:
        """A file beside the index."""
        return self.index_directory / (self.base + extension)

    def with_index_beside_data(self) -> "VolumeFiles":
        """The same volume with its index in the data directory."""
        return VolumeFiles(self.directory, self.directory, self.collection, self.volume_id)


def open_file(path: Path, flags: int, mode: int = 0o644) -> int:
    """Opens without touching the access time where the owner may say so."""
    try:
        return os.open(path, flags | os.O_NOATIME | os.O_CLOEXEC, mode)
    except PermissionError:
        return os.open(path, flags | os.O_CLOEXEC, mode)


def owner_may_read(path: Path) -> bool:
    """Upstream goes by the owner's mode bits, not by what the process may do."""
    return bool(path.stat().st_mode & stat.S_IRUSR)


def owner_may_write(path: Path) -> bool:
    """As :func:`owner_may_read`."""
    return bool(path.stat().st_mode & stat.S_IWUSR)
