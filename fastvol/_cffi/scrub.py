"""Typed face of the scrub: one volume's files checked in steps; the words are made elsewhere."""

import os
from dataclasses import dataclass
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.fault import NativeFaultError, needle_fault

OVERLAP: Final[int] = lib.FV_SCRUB_OVERLAP
UNREADABLE: Final[int] = lib.FV_SCRUB_UNREADABLE
WRONG_ID: Final[int] = lib.FV_SCRUB_WRONG_ID

_FINDINGS_A_STEP: Final = 128


@dataclass(frozen=True, slots=True)
class ScrubFinding:
    """One thing that is wrong; ``kind`` is one of the constants above.

    ``start`` and ``last`` are the first and last byte of the record in the data file, ``row`` its
    place in the index, from 1.  ``fault`` tells why it is unreadable.
    """

    kind: int
    want_size: int
    row: int
    needle_id: int
    found_id: int
    start: int
    last: int
    other_id: int
    other_start: int
    other_last: int
    fault: NativeFaultError


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """How far a scrub is; bytes are those of both files."""

    rows: int
    rows_read: int
    bytes_read: int
    records_bytes: int
    findings: int


class NativeScrub:
    """A scrub under way.  The descriptors stay the caller's and must outlive it."""

    def __init__(
        self,
        *,
        dat_fd: int,
        idx_fd: int,
        idx_size: int,
        version: int,
        offset_width: int,
        read_records: bool,
    ) -> None:
        """:exc:`MemoryError` when there is none."""
        spec = ffi.new("fv_scrub_spec *")
        spec.dat_fd = dat_fd
        spec.idx_fd = idx_fd
        spec.version = version
        spec.offset_width = offset_width
        spec.read_records = read_records
        spec.idx_size = idx_size
        pointer = lib.fv_scrub_new(spec)
        if pointer == ffi.NULL:
            raise MemoryError("no memory for a scrub")
        self._pointer = ffi.gc(pointer, lib.fv_scrub_free)
        self._out = ffi.new("fv_scrub_finding[]", _FINDINGS_A_STEP)
        self._count = ffi.new("size_t *")
        self._progress = ffi.new("fv_scrub_progress *")

    def step(self, budget: int, *, describe: bool) -> tuple[bool, list[ScrubFinding]]:
        """Does about ``budget`` bytes of work.

        Returns:
            Whether there is more to do, and what was found; without ``describe`` that is only
            counted.

        Raises:
            OSError: the index cannot be read, or there is no memory to sort it.
        """
        capacity = _FINDINGS_A_STEP if describe else 0
        code = lib.fv_scrub_step(self._pointer, budget, self._out, capacity, self._count)
        if code < 0:
            lib.fv_scrub_get_progress(self._pointer, self._progress)
            number = self._progress.sys_errno
            raise OSError(number, os.strerror(number))
        return bool(code), [_finding(self._out[i]) for i in range(self._count[0])]

    def progress(self) -> ScrubProgress:
        """How far it is."""
        lib.fv_scrub_get_progress(self._pointer, self._progress)
        now = self._progress
        return ScrubProgress(
            rows=now.rows,
            rows_read=now.rows_read,
            bytes_read=now.bytes_read,
            records_bytes=now.records_bytes,
            findings=now.findings,
        )


def _finding(cell: Any) -> ScrubFinding:
    return ScrubFinding(
        kind=cell.kind,
        want_size=cell.want_size,
        row=cell.row,
        needle_id=cell.id,
        found_id=cell.found_id,
        start=cell.start,
        last=cell.last,
        other_id=cell.other_id,
        other_start=cell.other_start,
        other_last=cell.other_last,
        fault=needle_fault(cell.code, cell.fault, sys_errno=cell.sys_errno, offset=cell.start),
    )
