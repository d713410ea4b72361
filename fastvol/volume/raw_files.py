"""A volume's two files opened for looking only: nothing is repaired, nothing is loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastvol.errors import VolumeDamagedError, reason_of
from fastvol.formats import volume_info
from fastvol.formats.index_entry import OFFSET_WIDTHS
from fastvol.formats.super_block import EXTRA_BYTES_MAX, SUPER_BLOCK_BYTES, SuperBlock
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.volume.files import VolumeFiles, open_file
from fastvol.volume.offset_width import find_offset_width


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
    def version(self) -> int:
        """Needle version, 1 to 3."""
        return self.super_block.version


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


def _open(files: VolumeFiles, extension: str) -> int:
    path = files.data(extension) if extension == ".dat" else files.index(extension)
    try:
        return open_file(path, os.O_RDONLY)
    except OSError as error:
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
