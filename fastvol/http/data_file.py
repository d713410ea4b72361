"""Ranges of a data file that are read outside the C core."""

import os
from typing import Final

from fastvol.errors import DiskIOError
from fastvol.formats import file_range
from fastvol.formats.file_range import FileEndsError
from fastvol.limits import MIB

_READ_STEP_BYTES: Final = 1 * MIB
_READ_AHEAD_BYTES: Final = 4 * MIB


def read_ahead(fd: int, offset: int, length: int) -> None:
    """Gets a range moving, and waits for its beginning, so that the event loop need not."""
    os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)
    end = offset + min(length, _READ_AHEAD_BYTES)
    while offset < end:
        piece = os.pread(fd, min(end - offset, _READ_STEP_BYTES), offset)
        if not piece:
            return
        offset += len(piece)


def read_exactly(fd: int, length: int, offset: int) -> bytes:
    """All of a range of a data file.

    Raises:
        DiskIOError: the file cannot be read, or ends early.
    """
    try:
        return file_range.read_exactly(fd, length, offset)
    except FileEndsError as error:
        raise DiskIOError(f"the data file ends at {error.position}") from error
    except OSError as error:
        raise DiskIOError(f"read at {offset}: {error}") from error
