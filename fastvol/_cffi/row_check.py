"""Typed face of the row check: whether the rows of an index lead to their records."""

import os
from dataclasses import dataclass
from enum import IntEnum

from fastvol._cffi._core import ffi, lib


class RowProblem(IntEnum):
    """What is wrong with an index row."""

    BEYOND = lib.FV_ROW_BEYOND
    MISMATCH = lib.FV_ROW_MISMATCH
    NO_POSITION = lib.FV_ROW_NO_POSITION
    BAD_SIZE = lib.FV_ROW_BAD_SIZE
    UNREADABLE = lib.FV_ROW_UNREADABLE


@dataclass(frozen=True, slots=True)
class RowFinding:
    """One wrong row, counted from 0; ``offset`` in bytes; ``found_*`` is what lies there."""

    row: int
    key: int
    offset: int
    size: int
    problem: RowProblem
    found_key: int
    found_size: int

    @property
    def words(self) -> str:
        """For people."""
        where = f"row {self.row} (needle {self.key:x}, offset {self.offset}, size {self.size})"
        return {
            RowProblem.BEYOND: f"{where} points beyond the end of the data file",
            RowProblem.MISMATCH: (
                f"{where} does not match what lies there: needle {self.found_key:x}, "
                f"size {self.found_size}"
            ),
            RowProblem.NO_POSITION: f"{where} names no record",
            RowProblem.BAD_SIZE: f"{where} has a size that no record has",
            RowProblem.UNREADABLE: f"{where} leads to what the disk cannot read",
        }[self.problem]


class RowCheck:
    """Goes through an index and compares each row with the header that it leads to."""

    def __init__(
        self, idx_fd: int, *, offset_width: int, dat_fd: int, version: int, dat_size: int
    ) -> None:
        self._arguments = (idx_fd, offset_width, dat_fd, version, dat_size)
        self._progress = ffi.new("fv_rows_progress *")
        self.done = False

    def step(self, rows: int, *, list_max: int) -> list[RowFinding]:
        """Looks at so many rows more; at most ``list_max`` findings are described.

        Raises:
            OSError: the index cannot be read.
        """
        out = ffi.new("fv_row_finding[]", max(list_max, 1))
        count = ffi.new("size_t *")
        code = lib.fv_check_rows(*self._arguments, rows, out, list_max, count, self._progress)
        if code < 0:
            raise OSError(self._progress.sys_errno, os.strerror(self._progress.sys_errno))
        self.done = code == 0
        return [
            RowFinding(
                row=raw.row,
                key=raw.id,
                offset=raw.offset,
                size=raw.size,
                problem=RowProblem(raw.kind),
                found_key=raw.found_id,
                found_size=raw.found_size,
            )
            for raw in out[0 : count[0]]
        ]

    @property
    def findings(self) -> int:
        """Wrong rows so far, described or not."""
        return int(self._progress.findings)

    @property
    def without_record(self) -> int:
        """Deletions that name no record, as those of a tiered volume."""
        return int(self._progress.no_record)
