"""The in-memory needle map of one volume, and its counters, from the C core.

Any number of threads may read a map while one writes; writers exclude each other by the volume's
write lock.  Offsets are in units of 8 bytes.  An entry's size is the body size of its record and
negative when deleted (-1 for an empty file), as in ``weed/storage/needle_map/compact_map.go``.
"""

import errno
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from fastvol._cffi._core import ffi, lib
from fastvol.errors import DiskIOError

OFFSET_UNITS_MAX: Final = (1 << 40) - 1
"""Largest offset that five bytes hold."""
_SCAN_ENTRIES: Final = 1024


class MapEntry(NamedTuple):
    """Where a needle lies: offset in units of 8 bytes, body size in bytes."""

    id: int
    offset: int
    size: int


class NeedleCounters:
    """What a needle map has counted.  Byte counts sum body sizes; no counter ever decreases.

    ``cdata`` is the ``fv_counters *`` itself, for C functions that count along.
    """

    __slots__ = ("cdata",)

    def __init__(self) -> None:
        self.cdata: Any = ffi.new("fv_counters *")

    @property
    def file_count(self) -> int:
        """Puts ever made."""
        return int(self.cdata.file_count)

    @property
    def deleted_count(self) -> int:
        """Deletes and overwrites ever made."""
        return int(self.cdata.deletion_count)

    @property
    def content_size(self) -> int:
        """Body bytes ever put."""
        return int(self.cdata.file_bytes)

    @property
    def deleted_size(self) -> int:
        """Body bytes deleted or overwritten."""
        return int(self.cdata.deletion_bytes)

    @property
    def max_file_key(self) -> int:
        """Largest needle id seen, 0 when none."""
        return int(self.cdata.max_key)

    @property
    def max_needle_end(self) -> int:
        """Largest record end, in bytes, that a live row named when the index was loaded."""
        return int(self.cdata.max_end)

    @property
    def rows(self) -> int:
        """Whole rows read when the index was loaded."""
        return int(self.cdata.rows)

    def put(self, needle_id: int, old_size: int, new_size: int) -> None:
        """Counts a put; ``old_size`` is 0 when the key had no entry."""
        if new_size < 0:
            raise ValueError(f"cannot count a put of size {new_size}")
        lib.fv_counters_put(self.cdata, needle_id, old_size, new_size)

    def delete(self, old_size: int) -> None:
        """Counts a delete of an entry that had this size (0 when absent or deleted before)."""
        lib.fv_counters_delete(self.cdata, old_size)

    def copy(self) -> "NeedleCounters":
        """An independent copy, to roll back to."""
        twin = NeedleCounters()
        twin.cdata[0] = self.cdata[0]
        return twin

    def restore(self, saved: "NeedleCounters") -> None:
        """Sets every counter back to a copy taken before."""
        self.cdata[0] = saved.cdata[0]


class CompactMap:
    """Needle id -> (offset, size), about 10 bytes an entry.

    ``cdata`` is the ``fv_map *``, for C functions that look up by themselves; it lives as long as
    this object.
    """

    __slots__ = ("__weakref__", "cdata")

    def __init__(self) -> None:
        handle = lib.fv_map_new()
        if handle == ffi.NULL:
            raise MemoryError("no memory for a needle map")
        self.cdata: Any = ffi.gc(handle, lib.fv_map_free)

    def __len__(self) -> int:
        return int(lib.fv_map_count(self.cdata))

    def get(self, needle_id: int) -> MapEntry | None:
        """The entry of a needle, deleted ones too, or None."""
        out = ffi.new("fv_entry *")
        return _entry(out) if lib.fv_map_get(self.cdata, needle_id, out) else None

    def set(self, needle_id: int, offset: int, size: int) -> MapEntry | None:
        """Sets an entry and returns the one before.

        :exc:`ValueError` when the offset does not fit five bytes, :exc:`MemoryError` when the map
        cannot grow; it is unchanged then.
        """
        if not 0 <= offset <= OFFSET_UNITS_MAX:
            raise ValueError(f"offset {offset} does not fit a needle map")
        old = ffi.new("fv_entry *")
        result = lib.fv_map_set(self.cdata, needle_id, offset, size, old)
        if result < 0:
            raise MemoryError("the needle map cannot grow")
        return _entry(old) if result else None

    def delete(self, needle_id: int) -> MapEntry | None:
        """Marks a live entry deleted and returns it as it was; None when there was none."""
        old = ffi.new("fv_entry *")
        return _entry(old) if lib.fv_map_delete(self.cdata, needle_id, old) else None

    def remove(self, needle_id: int) -> bool:
        """Takes an entry out altogether (rollback of a first write); True when it was there."""
        return bool(lib.fv_map_remove(self.cdata, needle_id))

    def entries(self, first: int = 0) -> Iterator[MapEntry]:
        """Entries with id >= ``first``, deleted ones too, ascending.

        Each batch is consistent in itself; writers may run between batches.
        """
        batch = ffi.new("fv_entry[]", _SCAN_ENTRIES)
        while True:
            count = lib.fv_map_scan(self.cdata, first, batch, _SCAN_ENTRIES)
            for i in range(count):
                yield MapEntry(batch[i].id, batch[i].offset, batch[i].size)
            if count < _SCAN_ENTRIES or batch[count - 1].id == 2**64 - 1:
                return
            first = batch[count - 1].id + 1

    def load(self, fd: int, offset_width: int, version: int) -> NeedleCounters:
        """Replays an index log into this empty map and returns the counters.

        ``offset_width`` is 4 or 5 bytes, ``version`` that of the needles (1..3). A trailing partial
        row is ignored.  :exc:`DiskIOError` when the file cannot be read, :exc:`MemoryError`, or
        :exc:`ValueError` for a bad argument or a map that is not empty; the map is unchanged then.
        """
        counters = NeedleCounters()
        result = lib.fv_map_load(self.cdata, fd, offset_width, version, counters.cdata)
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

    def detach(self) -> Any:
        """Gives the ``fv_map *`` away, to a C volume that frees it; this object is void after it."""
        handle = self.cdata
        ffi.gc(handle, None)
        self.cdata = ffi.NULL
        return handle

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory held, allocator overhead included."""
        return int(lib.fv_map_memory(self.cdata))


def _entry(cell: Any) -> MapEntry:
    return MapEntry(cell.id, cell.offset, cell.size)
