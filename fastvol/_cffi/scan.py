"""Typed face of the data-file walk: rebuilding an index, finding the physical end."""

import contextlib
import os
from dataclasses import dataclass
from enum import IntEnum

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.needle_map import NeedleCounters
from fastvol.errors import DiskIOError


class ScanStop(IntEnum):
    """Why a walk over a data file stopped."""

    END = lib.FV_SCAN_END
    ZEROS = lib.FV_SCAN_ZEROS
    TORN = lib.FV_SCAN_TORN
    BAD_SUM = lib.FV_SCAN_BAD_SUM
    TOO_FAR = lib.FV_SCAN_TOO_FAR
    IO_ERROR = lib.FV_SCAN_IO_ERROR

    @property
    def words(self) -> str:
        """For the log."""
        return {
            ScanStop.END: "the end of the file",
            ScanStop.ZEROS: "zero bytes",
            ScanStop.TORN: "a record that is cut short",
            ScanStop.BAD_SUM: "a record that fails its checksum",
            ScanStop.TOO_FAR: "a record beyond the reach of the index's offsets",
            ScanStop.IO_ERROR: "a read error",
        }[self]


@dataclass(frozen=True, slots=True)
class ScanResult:
    """``position``: byte offset behind the last record that got a row; ``rows_bytes``: appended.

    ``damaged`` records were passed over, the last of them at ``damaged_offset``.
    """

    stopped: ScanStop
    position: int
    records: int
    damaged: int
    damaged_offset: int
    rows_bytes: int
    last_append_ns: int


@dataclass(frozen=True, slots=True)
class IndexTail:
    """The row of the physically last record; ``last_offset`` 0 when no row has a position.

    ``previous_end``: where the record before it in the data file ends, 0 when there is none.
    ``counters``: what a map counted that was filled on the way.
    """

    rows: int
    last_id: int
    last_offset: int
    last_size: int
    last_row: int
    beyond: int
    previous_end: int
    counters: NeedleCounters | None = None


def scan_to_index(
    dat_fd: int,
    start: int,
    end: int,
    *,
    version: int,
    verify: bool,
    idx_fd: int,
    idx_offset: int,
    offset_width: int,
) -> ScanResult:
    """Appends an index row for each record of ``[start, end)`` (byte offsets) at ``idx_offset``.

    Raises:
        OSError: the data could not be read, or the index not written.
    """
    out = ffi.new("fv_scan_result *")
    code = lib.fv_scan_to_index(
        dat_fd, start, end, version, verify, idx_fd, idx_offset, offset_width, out
    )
    if code != 0 or out.stopped == lib.FV_SCAN_IO_ERROR:
        raise OSError(out.sys_errno, os.strerror(out.sys_errno))
    return ScanResult(
        stopped=ScanStop(out.stopped),
        position=out.position,
        records=out.records,
        damaged=out.damaged,
        damaged_offset=out.damaged_offset,
        rows_bytes=out.rows_bytes,
        last_append_ns=out.last_append_ns,
    )


def find_record(dat_fd: int, start: int, end: int, *, version: int) -> int | None:
    """Byte offset of a whole, checked record anywhere in ``[start, end)``, or None.

    None is certain.  An offset may be that of a candidate which it would take too long to check.

    Raises:
        OSError: the data could not be read.
    """
    found = ffi.new("uint64_t *")
    sys_errno = ffi.new("int *")
    code = lib.fv_scan_find_record(dat_fd, start, end, version, found, sys_errno)
    if code < 0:
        raise OSError(sys_errno[0], os.strerror(sys_errno[0]))
    return int(found[0]) if code else None


def index_tail(
    idx_fd: int,
    *,
    offset_width: int,
    version: int,
    dat_size: int,
    into: CompactMap | None = None,
) -> IndexTail:
    """Finds the row of the record that lies furthest back in a data file of ``dat_size`` bytes.

    An empty map may be filled in the same pass; without ``counters`` in the result it was not.

    Raises:
        OSError: the index could not be read.
    """
    out = ffi.new("fv_index_tail *")
    counters = None
    if into is not None:
        # Whoever needs the map loads it again, and hears why that fails.
        with contextlib.suppress(DiskIOError, MemoryError):
            counters = into.load(idx_fd, offset_width, version, dat_size=dat_size, tail=out)
    if counters is None and (
        lib.fv_scan_index_tail(idx_fd, offset_width, version, dat_size, out) != 0
    ):
        raise OSError(out.sys_errno, os.strerror(out.sys_errno))
    return IndexTail(
        rows=out.rows,
        last_id=out.last_id,
        last_offset=out.last_offset,
        last_size=out.last_size,
        last_row=out.last_row,
        beyond=out.beyond,
        previous_end=out.previous_end,
        counters=counters,
    )
