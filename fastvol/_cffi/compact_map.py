"""The in-memory needle map of one volume, from the C core."""

import errno
import os
from typing import Any

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.needle_map import OFFSET_UNITS_MAX, MapEntry, NeedleCounters, NeedleMap
from fastvol.errors import DiskIOError

__all__ = ["OFFSET_UNITS_MAX", "CompactMap", "MapEntry", "NeedleCounters"]


class CompactMap(NeedleMap):
    """Needle id -> (offset, size), about 10 bytes an entry."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(lib.fv_map_new())

    def load(
        self,
        fd: int,
        offset_width: int,
        version: int,
        *,
        dat_size: int = 2**64 - 1,
        tail: Any = ffi.NULL,
    ) -> NeedleCounters:
        """Replays an index log into this empty map and returns the counters.

        ``offset_width`` is 4 or 5 bytes, ``version`` that of the needles (1..3). A trailing partial
        row is ignored.  ``tail``, an ``fv_index_tail *``, gets what the same pass tells about the end
        of a data file of ``dat_size`` bytes.  :exc:`DiskIOError` when the file cannot be read,
        :exc:`MemoryError`, or :exc:`ValueError` for a bad argument or a map that is not empty; the
        map is unchanged then.
        """
        counters = NeedleCounters()
        if tail == ffi.NULL:
            tail = ffi.new("fv_index_tail *")
        result = lib.fv_map_load_with_tail(
            self.cdata, fd, offset_width, version, dat_size, counters.cdata, tail
        )
        if result == -errno.EINVAL:
            raise ValueError(
                f"cannot load an index with offset width {offset_width} and version {version} "
                f"into a map of {len(self)} entries"
            )
        if result == -errno.ENOMEM:
            raise MemoryError("no memory for the needle map")
        if result != 0:
            raise DiskIOError(f"read index: {os.strerror(-result)}")
        return counters
