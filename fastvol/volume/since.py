"""Finding what was appended after a moment (weed/storage/volume_backup.go: BinarySearchByAppendAtNs).

Theory of operation.  Records of version 3 carry their append time in nanoseconds, strictly ascending in
the order in which one server appended them; the rows of the index are in that order too.  So the
first newer record is found by bisection.

A vacuum breaks the order: it writes the live records by key, each with the time that it had.  So does an
index that was made from a sorted one, as after erasure coding.  Bisecting such an index answers
anything, also an offset behind records that are newer than asked for, and who copies from there misses
them for good.  Therefore a volume that has ever been vacuumed (its compaction revision is not 0), or
whose rows are not in the order of its records, is gone through row by row, and the answer is the lowest
offset of a newer record.  What is guaranteed then: every record of the data file that is newer than
``since`` and has a row lies at or behind the answer.  Older ones may too; a receiver that goes through
all of them in their order ends up right.  What cannot be: to learn of a needle that was deleted and
vacuumed away after ``since``; whoever holds an older copy has to notice the changed compaction revision.

For other volumes the guarantee holds as long as append times ascend, which every
server sees to whatever its clock does.

A record whose size is not that of its row does not tell its time, and ends the search with an error:
it must not be skipped silently.
"""

import os
from typing import Final

from fastvol._cffi.visit import AppendTimeError, AppendTimes, append_times, rows_ascend
from fastvol.errors import NeedleCorruptedError, StorageError, reason_of
from fastvol.formats.index_entry import OFFSET_UNIT, IndexEntry, decode_row, row_size
from fastvol.formats.needle import (
    HEADER_BYTES,
    TIMED_VERSION,
    TIMESTAMP_BYTES,
    append_time_at,
    decode_header,
)
from fastvol.volume.raw_files import RawFiles

_ROWS_A_STEP: Final = 1 << 18
_BLOCK_ROWS: Final = 1024
_NEVER: Final = 2**64 - 1


def find_first_since(raw: RawFiles, since_ns: int) -> int | None:
    """Byte offset from which everything appended after ``since_ns`` is found; None: nothing was.

    Raises:
        StorageError: the index has a partial row, the needles carry no time, or one of them cannot
            be read.
    """
    rows = _Rows(raw)
    if rows.are_in_order_of_time():
        return _bisect(rows, since_ns)
    return _times(raw, rows.count, since_ns).lowest or None


def newest_append_ns(raw: RawFiles) -> int:
    """The newest append time that the rows lead to; 0 when there is none.

    That of the last row, if the rows are in the order of their records.

    Raises:
        StorageError: as :func:`find_first_since`.
    """
    rows = _Rows(raw)
    if not rows.are_in_order_of_time():
        return _times(raw, rows.count, _NEVER).newest_ns
    number, row = rows.positioned_before(rows.count - 1, 0) if rows.count else (0, None)
    return rows.append_time(number, row) if row else 0


def last_append_ns_of_last_row(raw: RawFiles) -> int:
    """Append time of the record that the last row points at (findLastAppendAtNs).

    0 without rows, and for a row without a position.

    Raises:
        StorageError: as :func:`find_first_since`.
    """
    rows = _Rows(raw)
    if not rows.count:
        return 0
    row = rows.row(rows.count - 1)
    return rows.append_time(rows.count - 1, row) if row.offset else 0


def _bisect(rows: "_Rows", since_ns: int) -> int | None:
    """The first row with a newer record.

    A row without a position (a deletion on remote storage) tells no time.  The nearest one before it
    that does decides; without one there is nothing to the left to be found.
    """
    low, high, found = 0, rows.count, None
    while low < high:
        middle = (low + high) // 2
        number, row = rows.positioned_before(middle, low)
        if row is None or rows.append_time(number, row) <= since_ns:
            low = middle + 1
        else:
            high, found = number, row
    return None if found is None else found.offset * OFFSET_UNIT


def _times(raw: RawFiles, count: int, since_ns: int) -> AppendTimes:
    lowest = newest = 0
    for first in range(0, count, _ROWS_A_STEP):
        try:
            found = append_times(
                raw.idx_fd,
                first,
                min(_ROWS_A_STEP, count - first),
                offset_width=raw.offset_width,
                dat_fd=raw.dat_fd,
                since_ns=since_ns,
            )
        except AppendTimeError as error:
            raise NeedleCorruptedError(
                f"read entry {error.row} offset {error.offset}: {error.reason}"
            ) from error
        except OSError as error:
            raise StorageError(reason_of(error)) from error
        newest = max(newest, found.newest_ns)
        if found.lowest and (not lowest or found.lowest < lowest):
            lowest = found.lowest
    return AppendTimes(lowest, newest)


class _Rows:
    """The rows of an index, and the times of the records behind them."""

    def __init__(self, raw: RawFiles) -> None:
        if raw.version != TIMED_VERSION:
            raise StorageError(
                f"volume {raw.files.volume_id}: needles of version {raw.version} carry no append time"
            )
        self._raw = raw
        self._size = row_size(raw.offset_width)
        if raw.idx_size % self._size:
            raise StorageError(f"unexpected file {raw.files.idx} size: {raw.idx_size}")
        self.count = raw.idx_size // self._size

    def are_in_order_of_time(self) -> bool:
        """As far as can be told without looking at every record."""
        raw = self._raw
        if raw.super_block.compaction_revision:
            return False
        try:
            return rows_ascend(raw.idx_fd, self.count, offset_width=raw.offset_width)
        except OSError as error:
            raise StorageError(f"read {raw.files.idx}: {reason_of(error)}") from error

    def row(self, number: int) -> IndexEntry:
        """One row, counted from 0."""
        return self._rows(number, 1)[0]

    def positioned_before(self, number: int, low: int) -> tuple[int, IndexEntry | None]:
        """The row with a position that is nearest to ``number`` going back to ``low``."""
        row = self.row(number)
        if row.offset:
            return number, row
        while number > low:
            first = max(low, number - _BLOCK_ROWS)
            block = self._rows(first, number - first)
            for at in range(len(block) - 1, -1, -1):
                if block[at].offset:
                    return first + at, block[at]
            number = first
        return low, None

    def append_time(self, number: int, row: IndexEntry) -> int:
        """Append time in nanoseconds of the record that a row points at."""
        position, size = row.offset * OFFSET_UNIT, max(row.size, 0)
        where = f"read entry {number} offset {position}"
        try:
            header = decode_header(os.pread(self._raw.dat_fd, HEADER_BYTES, position))
            at = position + append_time_at(size)
            time = os.pread(self._raw.dat_fd, TIMESTAMP_BYTES, at)
        except OSError as error:
            raise StorageError(f"{where}: {reason_of(error)}") from error
        if header is None or len(time) < TIMESTAMP_BYTES:
            raise NeedleCorruptedError(f"{where}: EOF")
        if header.size != size:
            raise NeedleCorruptedError(f"{where}: size mismatch")
        return int.from_bytes(time)

    def _rows(self, first: int, count: int) -> list[IndexEntry]:
        try:
            block = os.pread(self._raw.idx_fd, count * self._size, first * self._size)
        except OSError as error:
            raise StorageError(f"read entry {first}: {reason_of(error)}") from error
        if len(block) < count * self._size:
            raise StorageError(f"read entry {first}: EOF")
        return [
            decode_row(block[at : at + self._size], self._raw.offset_width)
            for at in range(0, len(block), self._size)
        ]
