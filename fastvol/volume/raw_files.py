"""A volume's two files opened for looking only: nothing is repaired, nothing is loaded.

They are read through descriptors of their own, up to sizes that belong together: what a writer or a
vacuum does meanwhile is not seen.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastvol.errors import VolumeDamagedError, reason_of
from fastvol.formats import volume_info
from fastvol.formats.index_entry import OFFSET_WIDTHS, row_size
from fastvol.formats.super_block import EXTRA_BYTES_MAX, SUPER_BLOCK_BYTES, SuperBlock
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.volume.facts import VolumeFacts
from fastvol.volume.files import VolumeFiles, open_file
from fastvol.volume.offset_width import find_offset_width

_SAMPLE_TRIES: Final = 100
_SAMPLE_SECONDS: Final = 0.001


class NoIndexError(VolumeDamagedError):
    """The index cannot be opened."""


@dataclass(frozen=True, slots=True)
class RawFiles:
    """Descriptors and what is needed to read through them; sizes in bytes, as they were found."""

    files: VolumeFiles
    super_block: SuperBlock
    dat_fd: int
    idx_fd: int
    dat_size: int
    idx_size: int
    offset_width: int

    @property
    def volume_id(self) -> int:
        """The volume's."""
        return self.files.volume_id

    @property
    def version(self) -> int:
        """Needle version, 1 to 3."""
        return self.super_block.version

    @property
    def dat_path(self) -> Path:
        """Name of the data file."""
        return self.files.data(".dat")

    @property
    def idx_path(self) -> Path:
        """Name of the index."""
        return self.files.index(".idx")


@contextmanager
def raw_files(
    files: VolumeFiles, *, offset_width: int = 0, default_offset_width: int = OFFSET_WIDTH_DEFAULT
) -> Iterator[RawFiles]:
    """Opens both files of a volume through descriptors of their own, for reading.

    Args:
        offset_width: 4 or 5 when it is known; 0: as the ``.vif`` and the index itself tell.
        default_offset_width: for an index that does not tell.

    Raises:
        VolumeDamagedError: the super block cannot be read, or a file not be opened.
    """
    if files.index_directory != files.directory and files.data(".idx").exists():
        files = files.with_index_beside_data()
    owned: list[int] = []
    try:
        owned.append(_open(files, ".dat"))
        owned.append(_open(files, ".idx"))
        dat_fd, idx_fd = owned
        # Index first: what its rows name has been written before them.
        idx_size = os.fstat(idx_fd).st_size
        dat_size = os.fstat(dat_fd).st_size
        yield RawFiles(
            files,
            _super_block(files, dat_fd),
            dat_fd,
            idx_fd,
            dat_size,
            idx_size,
            offset_width or _offset_width(files, dat_fd, idx_fd, default_offset_width),
        )
    finally:
        for fd in owned:
            os.close(fd)


@contextmanager
def live_files(volume: VolumeFacts) -> Iterator[RawFiles]:
    """The files of an open volume as they are at this moment, and their sizes.

    Raises:
        VolumeClosedError
        VolumeDamagedError: they cannot be opened, or are not those that the volume has open.
    """
    owned: list[int] = []
    try:
        for _ in range(_SAMPLE_TRIES):
            raw = _open_live(volume, owned)
            if raw is not None:
                break
            # A vacuum has put others in their place.
            while owned:
                os.close(owned.pop())
            time.sleep(_SAMPLE_SECONDS)
        else:
            path = volume.files.data(".dat")
            raise VolumeDamagedError(f"{path} is not the file that volume {volume.id} has open")
        yield raw
    finally:
        for fd in owned:
            os.close(fd)


def _open_live(volume: VolumeFacts, owned: list[int]) -> RawFiles | None:
    """None when the volume has other files open by now; ``owned`` are the descriptors."""
    files = volume.files
    # Opened while it is known that the volume lives, so that a closed one is told as such.
    native = volume.native
    owned.append(_open(files, ".dat"))
    owned.append(_open(files, ".idx"))
    dat_fd, idx_fd = owned
    super_block = _super_block(files, dat_fd)
    dat_size, idx_size = _sizes(volume, idx_fd)
    ours, theirs = os.fstat(dat_fd), os.fstat(native.dat_fd())
    if volume.native is not native or (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        return None
    return RawFiles(files, super_block, dat_fd, idx_fd, dat_size, idx_size, volume.offset_width)


def _sizes(volume: VolumeFacts, idx_fd: int) -> tuple[int, int]:
    """Data and index size that belong together.

    The sizes that the volume knows do, but an index that was damaged behind its back must be seen as
    it is on the disk; while a writer is at work, the two differ by the row that is on its way.
    """
    for _ in range(_SAMPLE_TRIES):
        stat = volume.stat()
        idx_size = os.fstat(idx_fd).st_size
        if stat.idx_size == idx_size:
            return stat.dat_size, idx_size
        if volume.stat() == stat:
            time.sleep(_SAMPLE_SECONDS)
    width = row_size(volume.offset_width)
    if idx_size % width == 0 and idx_size > stat.idx_size:
        idx_size = stat.idx_size  # a writer that never rests
    return stat.dat_size, idx_size


def _open(files: VolumeFiles, extension: str) -> int:
    is_index = extension == ".idx"
    path = files.index(extension) if is_index else files.data(extension)
    try:
        return open_file(path, os.O_RDONLY)
    except OSError as error:
        if is_index:
            reason = os.strerror(error.errno or 0).lower()
            raise NoIndexError(f"open {path}: {reason}") from error
        raise VolumeDamagedError(f"cannot open {reason_of(error)}") from error


def _super_block(files: VolumeFiles, dat_fd: int) -> SuperBlock:
    try:
        return SuperBlock.from_bytes(os.pread(dat_fd, SUPER_BLOCK_BYTES + EXTRA_BYTES_MAX + 1, 0))
    except (OSError, ValueError) as error:
        raise VolumeDamagedError(f"{files.data('.dat')}: {reason_of(error)}") from error


def _offset_width(files: VolumeFiles, dat_fd: int, idx_fd: int, default: int) -> int:
    try:
        info = volume_info.load(files.data(".vif"))
        stated = info.bytes_offset if info else 0
        if stated not in OFFSET_WIDTHS:
            stated = 0
        return find_offset_width(dat_fd, idx_fd, stated=stated, default=default)[0]
    except OSError as error:
        raise VolumeDamagedError(f"{files.index('.idx')}: {reason_of(error)}") from error
