"""Typed face of the sorted-file map, and of the counters of maps that are not in memory."""

import errno
import os
from typing import Any

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.needle_map import NeedleCounters, NeedleMap
from fastvol.errors import DiskIOError


class IndexFigures:
    """What an index counts by the rules of maps that are not in memory, and what is live in it."""

    __slots__ = ("cdata", "counters")

    def __init__(self, idx_fd: int, offset_width: int, version: int) -> None:
        """Reads the whole index (weed/storage/needle_map_metric.go: needleMapMetricFromIndexFile).

        Raises:
            OSError, MemoryError
        """
        self.counters = NeedleCounters()
        self.cdata: Any = ffi.new("fv_live *")
        _raise_errno(
            lib.fv_count_backwards(idx_fd, offset_width, version, self.counters.cdata, self.cdata)
        )

    @property
    def live_count(self) -> int:
        """Needles that are there, empty ones included."""
        return int(self.cdata.count)


class StaleSortedFileError(DiskIOError):
    """The file does not hold what the index says."""


class SortedMap(NeedleMap):
    """Look-ups in a file of rows, ascending by key; takes deletions, and no writes."""

    __slots__ = ()

    takes_writes = False

    def __init__(self, fd: int, offset_width: int, figures: IndexFigures) -> None:
        """Takes the descriptor over, also when it fails.

        Raises:
            StaleSortedFileError: the rows are not those of the index.
            OSError, MemoryError
        """
        out = ffi.new("fv_map **")
        result = lib.fv_map_open_sorted(fd, offset_width, figures.cdata, out)
        if result == -errno.EBADMSG:
            raise StaleSortedFileError("its rows are not those of the index")
        _raise_errno(result)
        super().__init__(out[0])


def write_sorted(idx_fd: int, fd: int, offset_width: int) -> None:
    """Writes what is live in an index into an empty file, durably.

    Raises:
        OSError, MemoryError
    """
    _raise_errno(lib.fv_sorted_write(idx_fd, fd, offset_width))


def _raise_errno(result: int) -> None:
    """Raises what a negative errno means."""
    if result == -errno.ENOMEM:
        raise MemoryError("no memory for an index")
    if result < 0:
        raise OSError(-result, os.strerror(-result))
