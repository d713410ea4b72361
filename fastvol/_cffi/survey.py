"""Typed face of the survey: what every byte of a data file is, and whether index rows are right."""

import errno
import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.compact_map import CompactMap

_BATCH: Final = 1024


class ExtentKind(IntEnum):
    """What a stretch of a data file is."""

    LIVE = lib.FV_EXTENT_LIVE
    OLD = lib.FV_EXTENT_OLD
    DELETED = lib.FV_EXTENT_DELETED
    TOMBSTONE = lib.FV_EXTENT_TOMBSTONE
    UNINDEXED = lib.FV_EXTENT_UNINDEXED
    BAD_RECORD = lib.FV_EXTENT_BAD_RECORD
    DAMAGED = lib.FV_EXTENT_DAMAGED
    ZEROS = lib.FV_EXTENT_ZEROS
    TORN = lib.FV_EXTENT_TORN

    @property
    def words(self) -> str:
        """For people."""
        return {
            ExtentKind.LIVE: "live record",
            ExtentKind.OLD: "old version",
            ExtentKind.DELETED: "deleted",
            ExtentKind.TOMBSTONE: "tombstone",
            ExtentKind.UNINDEXED: "unindexed record",
            ExtentKind.BAD_RECORD: "bad record",
            ExtentKind.DAMAGED: "damaged stretch",
            ExtentKind.ZEROS: "zeros",
            ExtentKind.TORN: "torn tail",
        }[self]

    @property
    def is_record(self) -> bool:
        """Whether it is a record, be it a bad one, so that it has an id and a size."""
        return self <= ExtentKind.BAD_RECORD


NOT_RECORDS: Final = frozenset(kind for kind in ExtentKind if not kind.is_record)


@dataclass(frozen=True, slots=True)
class Extent:
    """``offset`` and ``length`` in bytes; the rest is that of a record.

    ``live``: the index leads here.
    """

    offset: int
    length: int
    kind: ExtentKind
    key: int
    cookie: int
    size: int
    live: bool
    append_at_ns: int


@dataclass(frozen=True, slots=True)
class SurveyStat:
    """How far it is; ``gave_up``: behind some damage not every candidate for a record was read.

    ``live_bad``: bad records that the index leads to. ``read_errors``: what the disk refused.
    """

    position: int
    bytes: dict[ExtentKind, int]
    count: dict[ExtentKind, int]
    live_bad: int
    read_errors: int
    rows: int
    last_append_ns: int
    gave_up: bool


class OffsetTooFarError(Exception):
    """A record begins where the offsets of the index do not reach."""


class Survey:
    """One walk over a data file; for one thread. The descriptors stay the caller's."""

    def __init__(
        self,
        dat_fd: int,
        *,
        version: int,
        start: int,
        end: int,
        needle_map: CompactMap | None = None,
        idx_fd: int = -1,
        offset_width: int = 5,
        report: frozenset[ExtentKind] = NOT_RECORDS,
    ) -> None:
        """Surveys bytes ``[start, end)``.

        Args:
            dat_fd: the data file, with needles of ``version``.
            needle_map: what the index says; without, every record with payload is ``UNINDEXED``.
            idx_fd: an empty file that gets a row for every record; -1: none is written.
            offset_width: of these rows.
            report: the kinds that :meth:`step` gives; the others are only counted.

        Raises:
            MemoryError
        """
        spec = ffi.new("fv_survey_spec *")
        spec.dat_fd = dat_fd
        spec.version = version
        setattr(spec, "from", start)
        spec.to = end
        spec.map = ffi.NULL if needle_map is None else needle_map.cdata
        spec.idx_fd = idx_fd
        spec.offset_width = offset_width
        spec.report = sum(1 << kind for kind in report)
        self._map = needle_map  # the C survey does not keep it alive
        pointer = lib.fv_survey_new(spec)
        if pointer == ffi.NULL:
            raise MemoryError("no memory for a survey")
        self._pointer = ffi.gc(pointer, lib.fv_survey_free)
        self._out = ffi.new("fv_extent[]", _BATCH)
        self.done = False

    def step(self, budget: int) -> list[Extent]:
        """Explains about ``budget`` bytes more; sets ``done`` at the end.

        Raises:
            OffsetTooFarError: only with an index to write.
            OSError: the index cannot be written.
        """
        count = ffi.new("size_t *")
        code = lib.fv_survey_step(self._pointer, budget, self._out, _BATCH, count)
        if code == lib.FV_SURVEY_TOO_FAR:
            raise OffsetTooFarError
        if code == lib.FV_SURVEY_INDEX_FAILED:
            stat = self._raw_stat()
            raise OSError(stat.sys_errno, os.strerror(stat.sys_errno))
        self.done = code == lib.FV_SURVEY_DONE
        return [_extent(self._out[i]) for i in range(count[0])]

    def stat(self) -> SurveyStat:
        """The figures so far."""
        raw = self._raw_stat()
        return SurveyStat(
            position=raw.position,
            bytes={kind: raw.bytes[kind] for kind in ExtentKind},
            count={kind: raw.count[kind] for kind in ExtentKind},
            live_bad=raw.live_bad,
            read_errors=raw.read_errors,
            rows=raw.rows,
            last_append_ns=raw.last_append_ns,
            gave_up=bool(raw.gave_up),
        )

    def _raw_stat(self) -> Any:
        raw = ffi.new("fv_survey_stat *")
        lib.fv_survey_get_stat(self._pointer, raw)
        return raw


def _extent(raw: Any) -> Extent:
    return Extent(
        offset=raw.offset,
        length=raw.length,
        kind=ExtentKind(raw.kind),
        key=raw.id,
        cookie=raw.cookie,
        size=raw.size,
        live=bool(raw.live),
        append_at_ns=raw.append_at_ns,
    )


def keep_last_rows(idx_fd: int, *, offset_width: int, include_deleted: bool) -> int:
    """Drops the rows of overwritten records from rows that are in the order of their records.

    What is kept is what upstream's ``fix`` writes (weed/command/fix.go).

    Returns:
        How many rows are left.

    Raises:
        OSError, MemoryError
    """
    rows = ffi.new("uint64_t *")
    code = lib.fv_index_keep_last(idx_fd, offset_width, include_deleted, rows)
    if code == -errno.ENOMEM:
        raise MemoryError("no memory for the maps of an index")
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return int(rows[0])


def live_entries(needle_map: CompactMap, version: int) -> tuple[int, int]:
    """How many entries are not deleted, and how many bytes their records take."""
    size = ffi.new("uint64_t *")
    return int(lib.fv_count_live(needle_map.cdata, version, size)), int(size[0])


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
    def row(self) -> int:
        """Rows looked at."""
        return int(self._progress.row)

    @property
    def findings(self) -> int:
        """Wrong rows so far, described or not."""
        return int(self._progress.findings)

    @property
    def without_record(self) -> int:
        """Deletions that name no record, as those of a tiered volume."""
        return int(self._progress.no_record)
