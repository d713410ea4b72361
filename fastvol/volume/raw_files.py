"""A volume's two files opened for looking only: nothing is repaired, nothing is loaded.

They are read through descriptors of their own, up to sizes that belong together: what a writer or a
vacuum does meanwhile is not seen.  How they are opened depends on whether somebody has the volume open:
``live_files``, ``unrepaired``.
"""

import os
from dataclasses import dataclass

from fastvol.errors import VolumeDamagedError, reason_of
from fastvol.formats.needle import PADDING_UNIT
from fastvol.formats.super_block import SuperBlock
from fastvol.volume.files import VolumeFiles, open_file


class NoIndexError(VolumeDamagedError):
    """The index cannot be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
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

    @property
    def first(self) -> int:
        """Byte offset of the first record."""
        return self.super_block.block_size


def open_data(files: VolumeFiles) -> int:
    """A descriptor of the data file, for reading.

    Raises:
        VolumeDamagedError: the operating system's refusal.
    """
    try:
        return open_file(files.dat, os.O_RDONLY)
    except OSError as error:
        raise VolumeDamagedError(f"cannot open {reason_of(error)}") from error


def open_index(files: VolumeFiles) -> int:
    """A descriptor of the index, for reading.

    Raises:
        NoIndexError: the operating system's refusal, worded as Go does.
    """
    path = files.idx
    try:
        return open_file(path, os.O_RDONLY)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise NoIndexError(f"open {path}: {reason}") from error


def read_super_block(files: VolumeFiles, dat_fd: int) -> SuperBlock:
    """The super block at the beginning of a data file.

    Raises:
        VolumeDamagedError: there is none to go by.
    """
    path = files.dat
    try:
        super_block = SuperBlock.read(dat_fd)
    except (OSError, ValueError) as error:
        raise VolumeDamagedError(f"{path}: {reason_of(error)}") from error
    if super_block.block_size % PADDING_UNIT:
        raise VolumeDamagedError(
            f"{path}: its super block has {super_block.block_size} bytes, not a multiple of 8"
        )
    return super_block
