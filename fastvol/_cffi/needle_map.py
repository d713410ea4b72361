"""Needle maps of the C core, whatever their kind, and their counters.

Any number of threads may read a map while one writes; writers exclude each other by the volume's
write lock.  Offsets are in units of 8 bytes.  An entry's size is the body size of its record and
negative when deleted (-1 for an empty file), as in ``weed/storage/needle_map/compact_map.go``; a map
that is not in memory may have forgotten the size of a deleted one (-1), or the whole entry.
"""

import errno
import os
from collections.abc import Iterator
from typing import Any, ClassVar, Final, NamedTuple

from fastvol._cffi._core import ffi, lib
from fastvol.errors import DiskIOError, VolumeClosedError

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


class NeedleMap:
    """Needle id -> (offset, size); one ``fv_map``.

    ``cdata`` is the ``fv_map *``, for C functions that look up by themselves; it lives as long as
    this object, unless it is given away.

    All look-ups and changes raise :exc:`MemoryError`; those of a map that is not in memory also
    :exc:`DiskIOError` and, after :meth:`close`, :exc:`VolumeClosedError`.
    """

    __slots__ = ("__weakref__", "cdata")

    takes_writes: ClassVar[bool] = True
    """Otherwise only deletions."""

    def __init__(self, handle: Any) -> None:
        """Takes over an ``fv_map *``; :exc:`MemoryError` when it is NULL."""
        if handle == ffi.NULL:
            raise MemoryError("no memory for a needle map")
        self.cdata: Any = ffi.gc(handle, lib.fv_map_free)

    def __len__(self) -> int:
        return int(lib.fv_map_count(self.cdata))

    def get(self, needle_id: int) -> MapEntry | None:
        """The entry of a needle, deleted ones too, or None."""
        out = ffi.new("fv_entry *")
        return _entry(out) if checked(lib.fv_map_get(self.cdata, needle_id, out)) else None

    def set(self, needle_id: int, offset: int, size: int) -> MapEntry | None:
        """Sets an entry and returns the one before.

        :exc:`ValueError` when the offset does not fit five bytes.  After an error the map is
        unchanged.
        """
        if not 0 <= offset <= OFFSET_UNITS_MAX:
            raise ValueError(f"offset {offset} does not fit a needle map")
        old = ffi.new("fv_entry *")
        found = checked(lib.fv_map_set(self.cdata, needle_id, offset, size, old))
        return _entry(old) if found else None

    def delete(self, needle_id: int) -> MapEntry | None:
        """Marks a live entry deleted and returns it as it was; None when there was none."""
        old = ffi.new("fv_entry *")
        return _entry(old) if checked(lib.fv_map_delete(self.cdata, needle_id, old)) else None

    def remove(self, needle_id: int) -> bool:
        """Takes an entry out altogether (rollback of a first write); True when it was there."""
        return bool(checked(lib.fv_map_remove(self.cdata, needle_id)))

    def entries(self, first: int = 0) -> Iterator[MapEntry]:
        """Entries with id >= ``first``, deleted ones too, ascending.

        Each batch is consistent in itself; writers may run between batches.
        """
        batch = ffi.new("fv_entry[]", _SCAN_ENTRIES)
        while True:
            count = checked(lib.fv_map_scan(self.cdata, first, batch, _SCAN_ENTRIES))
            for i in range(count):
                yield MapEntry(batch[i].id, batch[i].offset, batch[i].size)
            if count < _SCAN_ENTRIES or batch[count - 1].id == 2**64 - 1:
                return
            first = batch[count - 1].id + 1

    def live(self, version: int) -> tuple[int, int]:
        """How many entries are not deleted, and how many bytes their records take."""
        size = ffi.new("uint64_t *")
        return checked(lib.fv_map_live(self.cdata, version, size)), int(size[0])

    def detach(self) -> Any:
        """Gives the ``fv_map *`` away, to a C volume that frees it.

        Only :meth:`retire` and :meth:`close` may be called afterwards.
        """
        handle = self.cdata
        ffi.gc(handle, None)
        self.cdata = ffi.NULL
        return handle

    def retire(self) -> None:
        """Frees whatever would be in the way of another map of the same volume.

        The answers stay what they are.  Nothing is in the way of a map in memory.
        """

    def close(self, *, durable: bool) -> None:
        """Closes what the map has open.  A map in memory stays as it is.

        ``durable``: the index is on the disk up to its last row.
        """

    def discard(self) -> None:
        """Frees a map unless it was given away; nothing may be called afterwards."""
        if self.cdata != ffi.NULL:
            ffi.release(self.cdata)

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory held, allocator overhead included."""
        return int(lib.fv_map_memory(self.cdata))


def checked(result: int) -> int:
    """The result of a map's function, or the error that a negative one is."""
    if result >= 0:
        return int(result)
    if result == -errno.ENOMEM:
        raise MemoryError("no memory for the needle map")
    if result == -errno.ESHUTDOWN:
        raise VolumeClosedError("the needle map is closed")
    raise DiskIOError(f"needle map: {os.strerror(-result).lower()}")


def _entry(cell: Any) -> MapEntry:
    return MapEntry(cell.id, cell.offset, cell.size)
