"""Typed face of the visit: records of a data file in their order, append times behind index rows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from fastvol._cffi._core import ffi, lib

FIELDS: Final[int] = lib.FV_VISIT_FIELDS
CHECK: Final[int] = lib.FV_VISIT_CHECK
PASS_ZEROS: Final[int] = lib.FV_VISIT_PASS_ZEROS


class VisitStop(IntEnum):
    """Why a visit stopped; MORE: it did not come to an end yet."""

    END = lib.FV_SCAN_END
    ZEROS = lib.FV_SCAN_ZEROS
    TORN = lib.FV_SCAN_TORN
    MORE = lib.FV_VISIT_MORE


class Record(NamedTuple):
    """One record as it lies in the data file.

    ``offset`` and ``length`` (padding included) in bytes; ``size`` is the body size, 0 for empty
    files and tombstones alike.  ``data_at``, ``name_at``, ``mime_at`` and ``pairs_at`` are places in
    the record.  ``fault`` is 0, or a fault of ``fastvol._cffi.fault``; then only what could be read
    is there.  Without the fields only the first five are.
    """

    offset: int
    length: int
    id: int
    cookie: int
    size: int
    fault: int
    flags: int
    ttl: bytes
    checksum: int
    data_at: int
    data_size: int
    name_at: int
    name_size: int
    mime_at: int
    mime_size: int
    pairs_at: int
    pairs_size: int
    last_modified: int
    append_at_ns: int

    @property
    def end(self) -> int:
        """Byte offset behind it."""
        return self.offset + self.length


class RecordBatch:
    """Room for the descriptions of some records, to be filled again and again.

    ``cdata`` is the ``fv_record[]`` of which the first ``count`` are filled: whoever needs few members
    of many records reads them there.
    """

    __slots__ = ("_capacity", "_result", "cdata", "count")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._result = ffi.new("fv_visit_result *")
        self.cdata: Any = ffi.new("fv_record[]", capacity)
        self.count = 0

    def fill(
        self, dat_fd: int, start: int, end: int, *, version: int, mode: int, budget: int
    ) -> tuple[VisitStop, int]:
        """Describes records of ``[start, end)``, as many as there is room for.

        Args:
            mode: ``FIELDS`` | ``CHECK`` | ``PASS_ZEROS``, or 0.
            budget: about so many bytes are read.

        Returns:
            Why it stopped, and the byte offset to go on at.

        Raises:
            OSError: the file cannot be read.
        """
        result = self._result
        lib.fv_visit_records(
            dat_fd, start, end, version, mode, budget, self.cdata, self._capacity, result
        )
        self.count = result.count
        if result.stopped == lib.FV_SCAN_IO_ERROR:
            raise OSError(result.sys_errno, os.strerror(result.sys_errno))
        return VisitStop(result.stopped), result.position

    def longest(self) -> int:
        """Bytes of the longest record, 0 for none."""
        return max((self.cdata[at].length for at in range(self.count)), default=0)

    def __iter__(self) -> Iterator[Record]:
        for at in range(self.count):
            yield record_of(self.cdata[at])


def record_of(cell: Any) -> Record:
    """One ``fv_record``, copied."""
    return Record(
        cell.offset,
        cell.length,
        cell.id,
        cell.cookie,
        cell.size,
        cell.fault,
        cell.flags,
        bytes((cell.ttl[0], cell.ttl[1])),
        cell.checksum,
        cell.data_at,
        cell.data_size,
        cell.name_at,
        cell.name_size,
        cell.mime_at,
        cell.mime_size,
        cell.pairs_at,
        cell.pairs_size,
        cell.last_modified,
        cell.append_at_ns,
    )


@dataclass(frozen=True, slots=True)
class AppendTimes:
    """What some rows lead to: the first record newer than asked for (byte offset, 0: none) and the
    newest time."""

    lowest: int
    newest_ns: int


class AppendTimeError(Exception):
    """The record behind a row does not tell its time."""

    def __init__(self, row: int, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.offset = offset
        self.reason = reason


_REASONS: Final[dict[int, str]] = {
    lib.FV_NEEDLE_SHORT: "EOF",
    lib.FV_NEEDLE_SIZE_MISMATCH: "size mismatch",
}


def append_times(
    idx_fd: int, first_row: int, count: int, *, offset_width: int, dat_fd: int, since_ns: int
) -> AppendTimes:
    """Goes through rows (from 0) of a volume of version 3.

    Raises:
        AppendTimeError: a row's record cannot be read.
        OSError: the index cannot.
    """
    out = ffi.new("fv_time_result *")
    lib.fv_visit_times(idx_fd, first_row, count, offset_width, dat_fd, since_ns, out)
    if out.code == 0:
        return AppendTimes(out.lowest, out.newest_ns)
    reason = _REASONS.get(out.code) or os.strerror(out.sys_errno).lower()
    if out.on_index:
        raise OSError(out.sys_errno, f"read entry {first_row + out.rows}: {reason}")
    raise AppendTimeError(first_row + out.rows, out.offset, reason)


def rows_ascend(idx_fd: int, count: int, *, offset_width: int) -> bool:
    """Whether the first ``count`` rows are in the order of their records.

    Raises:
        OSError: the index cannot be read.
    """
    sys_errno = ffi.new("int *")
    result = lib.fv_visit_rows_ascend(idx_fd, count, offset_width, sys_errno)
    if result < 0:
        raise OSError(sys_errno[0], os.strerror(sys_errno[0]))
    return bool(result)
