"""Making a volume's index agree with its data file at open.

Theory of operation
-------------------
A write hands its record to the kernel before its index row, so after a crash of the process the
data file may be ahead of the index, never behind. After a power loss anything that was not synced
may be missing from either. At open the two ends are compared:

* *index row cut short*: the partial row is dropped; its record, if whole, is indexed again below.
* *data file longer than the index knows*: each record behind the last indexed one is read and
  checked; whole ones get their row. A damaged one with a whole one behind it is passed over
  without a row: it was never made durable, and an earlier version of its needle may have been.
  What the walk cannot pass is cut off if it is a torn tail, that is, if no whole record is found
  anywhere behind it; otherwise it stays, and the volume is read-only.
* *last indexed record cut short*: the record and its row are dropped; an earlier version of the
  needle, if there is one, is valid again. This is believed only when everything else fits: it is
  the last row, its record begins where the one before ends, and as much of its header as is there
  agrees. A damaged row must not lead to the cutting of a whole record.
* *any other row that points behind the end*: data is missing that was there. Nothing is touched;
  the volume is served read-only with its reason.

Nothing is written to a volume that is read-only by its ``.vif`` or its file modes. A repair that
cannot be made (a full disk, a read error) leaves the volume as it was, and read-only. Every change
is logged.

Upstream leaves all of these read-only or unloaded (weed/storage/volume_checking.go:
CheckVolumeDataIntegrity); a directory healed here loads writable there.
"""

import logging
import os
from dataclasses import dataclass

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.needle_map import NeedleCounters
from fastvol._cffi.scan import (
    IndexTail,
    ScanResult,
    ScanStop,
    find_record,
    index_tail,
    scan_to_index,
)
from fastvol.formats.index_entry import row_size
from fastvol.formats.needle import (
    HEADER_BYTES,
    TIMED_VERSION,
    TIMESTAMP_BYTES,
    actual_size,
    append_time_at,
    decode_header,
)
from fastvol.volume.files import DERIVED_MAPS, VolumeFiles, remove_files

log = logging.getLogger(__name__)

_COOKIE_BYTES = 4


@dataclass(frozen=True, slots=True)
class EndState:
    """What was found at the end of the files; ``problem`` is empty when all is well.

    ``counters`` are those of a map that was filled on the way and holds what the index holds now.
    """

    last_append_ns: int
    problem: str
    counters: NeedleCounters | None = None


class EndRepair:
    """Compares and, when allowed, repairs the ends of one volume's two files."""

    def __init__(
        self,
        files: VolumeFiles,
        *,
        dat_fd: int,
        idx_fd: int,
        first: int,
        version: int,
        width: int,
    ) -> None:
        """``first`` is the byte offset of the first record."""
        self._files = files
        self._volume_id = files.volume_id
        self._dat_fd = dat_fd
        self._idx_fd = idx_fd
        self._first = first
        self._version = version
        self._width = width
        self._row_size = row_size(width)

    def run(self, *, may_write: bool, into: CompactMap | None = None) -> EndState:
        """Brings both ends together.

        Args:
            may_write: whether the files may be changed.
            into: an empty map, filled in the pass over the rows that is made anyway.  Whenever the
                ends do not agree at once, it is worth nothing, and ``counters`` is None.

        Raises:
            OSError: a file cannot be read.
        """
        dat_size = os.fstat(self._dat_fd).st_size
        tail = self._tail(dat_size, into)
        if tail.beyond:
            return self._data_is_shorter(tail, dat_size, may_write)
        problem = self._last_row_problem(tail)
        if problem:
            return EndState(0, problem)
        end = self._record_end(tail) if tail.last_offset else self._first
        if dat_size > end:
            return self._data_is_longer(tail, end, dat_size, may_write)
        if may_write:
            problem = self._cut_partial_row(tail)
        counters = None if problem else tail.counters
        return EndState(self._last_append_time(tail), problem, counters)

    # --- looking ------------------------------------------------------------------------------

    def _tail(self, dat_size: int, into: CompactMap | None = None) -> IndexTail:
        return index_tail(
            self._idx_fd,
            offset_width=self._width,
            version=self._version,
            dat_size=dat_size,
            into=into,
        )

    def _record_end(self, tail: IndexTail) -> int:
        return tail.last_offset + actual_size(tail.last_size, self._version)

    def _last_append_time(self, tail: IndexTail) -> int:
        """AppendAtNs of the last record; 0 when its version has none."""
        if not tail.last_offset or self._version != TIMED_VERSION:
            return 0
        at = tail.last_offset + append_time_at(tail.last_size)
        raw = os.pread(self._dat_fd, TIMESTAMP_BYTES, at)
        return int.from_bytes(raw) if len(raw) == TIMESTAMP_BYTES else 0

    def _last_row_problem(self, tail: IndexTail) -> str:
        """Why the last row cannot be that of the record it points at; empty when it can."""
        if not tail.last_offset:
            return ""
        header = decode_header(os.pread(self._dat_fd, HEADER_BYTES, tail.last_offset))
        where = f"the last index row (needle {tail.last_id:x} at offset {tail.last_offset})"
        if header is None:
            return f"{where} does not match its record: the data file ends in its header"
        if header.size != max(tail.last_size, 0):
            return f"{where} does not match its record: size {tail.last_size}, found {header.size}"
        if header.key == tail.last_id:
            return ""
        if self._version == TIMED_VERSION and tail.last_size >= 0:
            # Upstream can store a record under another key than its own, and does not mind here.
            log.warning("volume %d: %s has a record of %x", self._volume_id, where, header.key)
            return ""
        return f"{where} does not match its record: found needle {header.key:x}"

    def _is_torn_last(self, tail: IndexTail, dat_size: int) -> bool:
        if not (
            tail.beyond == 1
            and tail.last_row == tail.rows - 1
            and tail.last_offset == (tail.previous_end or self._first)
            and tail.last_offset < dat_size < self._record_end(tail)
        ):
            return False
        header = os.pread(self._dat_fd, HEADER_BYTES, tail.last_offset)[_COOKIE_BYTES:]
        expected = tail.last_id.to_bytes(8) + max(tail.last_size, 0).to_bytes(4)
        return expected.startswith(header)

    # --- repairing ----------------------------------------------------------------------------

    def _cut_partial_row(self, tail: IndexTail) -> str:
        """Drops what lies behind the last whole row: upstream would refuse the volume for it."""
        whole = tail.rows * self._row_size
        extra = os.fstat(self._idx_fd).st_size - whole
        if not extra:
            return ""
        try:
            os.ftruncate(self._idx_fd, whole)
        except OSError as error:
            return f"a partial index row cannot be cut: {error}"
        log.warning("volume %d: cut %d bytes of a partial index row", self._volume_id, extra)
        return ""

    def _data_is_shorter(self, tail: IndexTail, dat_size: int, may_write: bool) -> EndState:
        end = self._record_end(tail)
        problem = f"idx references end={end} but .dat is {dat_size} bytes"
        if not (self._is_torn_last(tail, dat_size) and may_write):
            return EndState(0, problem)
        # Before the row, which they may hold: cut short there, they would pass for maps of the rest.
        remove_files(self._files.everywhere(DERIVED_MAPS))
        try:
            # Row first: a crash in between leaves an un-indexed tail, which the next open cuts.
            os.ftruncate(self._idx_fd, tail.last_row * self._row_size)
            os.fsync(self._idx_fd)
            os.ftruncate(self._dat_fd, tail.last_offset)
            os.fsync(self._dat_fd)
        except OSError as error:
            return EndState(0, f"{problem}; it cannot be repaired: {error}")
        log.warning(
            "volume %d: dropped its last record (needle %x at offset %d): only %d of %d bytes",
            self._volume_id,
            tail.last_id,
            tail.last_offset,
            dat_size - tail.last_offset,
            end - tail.last_offset,
        )
        return EndState(self._last_append_time(self._tail(tail.last_offset)), "")

    def _data_is_longer(
        self, tail: IndexTail, end: int, dat_size: int, may_write: bool
    ) -> EndState:
        problem = f"data file actual {dat_size} bytes expected {end} bytes"
        known_ns = self._last_append_time(tail)
        if not may_write:
            return EndState(known_ns, problem)
        rows_end = tail.rows * self._row_size
        partial_row = os.pread(self._idx_fd, self._row_size, rows_end)
        try:
            result = self._index_records(end, dat_size, rows_end)
            problem = self._cut_torn_tail(result, dat_size)
        except OSError as error:
            self._restore_index(rows_end, partial_row)
            return EndState(known_ns, f"{problem}; it cannot be repaired: {error}")
        return EndState(result.last_append_ns or known_ns, problem)

    def _index_records(self, end: int, dat_size: int, rows_end: int) -> ScanResult:
        """Appends rows for the whole records behind ``end``, both files durable."""
        os.ftruncate(self._idx_fd, rows_end)
        os.fsync(self._dat_fd)
        result = scan_to_index(
            self._dat_fd,
            end,
            dat_size,
            version=self._version,
            verify=True,
            idx_fd=self._idx_fd,
            idx_offset=rows_end,
            offset_width=self._width,
        )
        os.fsync(self._idx_fd)
        if result.records:
            log.warning(
                "volume %d: indexed %d records at offsets %d to %d that had no row",
                self._volume_id,
                result.records,
                end,
                result.position,
            )
        if result.damaged:
            log.error(
                "volume %d: passed over %d damaged records without a row, the last at offset %d",
                self._volume_id,
                result.damaged,
                result.damaged_offset,
            )
        return result

    def _cut_torn_tail(self, result: ScanResult, dat_size: int) -> str:
        """Cuts what the walk could not pass; or says why it stays."""
        stopped = result.stopped
        if stopped is ScanStop.END:
            return ""
        words = f"the data file has {stopped.words} at offset {result.position}"
        if stopped is ScanStop.TOO_FAR:
            return words
        survivor = find_record(self._dat_fd, result.position + 8, dat_size, version=self._version)
        if survivor is not None:
            return f"{words}, and what may be a whole record behind it at offset {survivor}"
        os.ftruncate(self._dat_fd, result.position)
        os.fsync(self._dat_fd)
        log.warning(
            "volume %d: cut %d bytes behind offset %d: the walk met %s",
            self._volume_id,
            dat_size - result.position,
            result.position,
            stopped.words,
        )
        return ""

    def _restore_index(self, rows_end: int, partial_row: bytes) -> None:
        try:
            os.ftruncate(self._idx_fd, rows_end)
            os.pwrite(self._idx_fd, partial_row, rows_end)
        except OSError as error:
            log.warning("volume %d: its index cannot be restored: %s", self._volume_id, error)
