"""Typed face of the survey: what every byte of a data file is."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.compact_map import CompactMap
from fastvol.limits import SURVEY_STEP_BYTES

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
        report: frozenset[ExtentKind] = frozenset(),
    ) -> None:
        """Surveys bytes ``[start, end)``.

        Args:
            dat_fd: the data file, with needles of ``version``.
            needle_map: what the index says; without, every record with payload is ``UNINDEXED``.
            idx_fd: an empty file that gets a row for every record; -1: none is written.
            offset_width: of these rows.
            report: the kinds that :meth:`extents` gives; the others are only counted.

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
        self._end = end
        self._done = False

    def extents(self, progress: Callable[[int, int], None] | None = None) -> Iterator[Extent]:
        """Goes on to the end; what is to be reported, in the order of the file.

        Args:
            progress: called now and then with the position and where it will end, in bytes.

        Raises:
            OffsetTooFarError: only with an index to write.
            OSError: the index cannot be written.
        """
        while not self._done:
            yield from self._step()
            if progress is not None:
                progress(self._raw_stat().position, self._end)

    def _step(self) -> list[Extent]:
        count = ffi.new("size_t *")
        code = lib.fv_survey_step(self._pointer, SURVEY_STEP_BYTES, self._out, _BATCH, count)
        if code == lib.FV_SURVEY_TOO_FAR:
            raise OffsetTooFarError
        if code == lib.FV_SURVEY_INDEX_FAILED:
            stat = self._raw_stat()
            raise OSError(stat.sys_errno, os.strerror(stat.sys_errno))
        self._done = code == lib.FV_SURVEY_DONE
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
