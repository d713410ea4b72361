"""Going through the records of a data file, one behind the other.

What an index is not asked for: overwritten records, tombstones and records without a row are visited
as well.  Source of the rules: ``weed/storage/volume_read.go: ScanVolumeFileFrom``.  Two things are safer
here: a record with a negative size ends the visit, and space that was never written is not taken for
tombstones of needle 0.
"""

import os
from collections.abc import Iterator
from typing import Final

from fastvol._cffi.visit import CHECK, FIELDS, PASS_ZEROS, Record, RecordBatch, VisitStop
from fastvol.limits import SCRUB_STEP_BYTES, VISIT_BATCH_RECORDS

__all__ = ["BlockReader", "Record", "RecordVisit", "VisitStop", "visit_records"]

_BLOCK_BYTES: Final = 1 << 20


class RecordVisit:
    """The records of a range, to be gone through once.

    ``stopped`` is MORE until the visit is over, then why it is: END for exactly the end of the
    range.  ``position`` is the byte offset behind the last record given.
    """

    def __init__(self, dat_fd: int, first: int, end: int, version: int, mode: int) -> None:
        if not 1 <= version <= 3:
            raise ValueError(f"needle version {version} is not supported")
        self.stopped = VisitStop.MORE
        self.position = first
        self._dat_fd = dat_fd
        self._end = end
        self._version = version
        self._mode = mode

    def batches(self) -> Iterator[RecordBatch]:
        """The records in bulk; a batch is valid until the next one.

        Raises:
            OSError: the file cannot be read.
        """
        batch = RecordBatch(VISIT_BATCH_RECORDS)
        while self.stopped is VisitStop.MORE:
            stopped, position = batch.fill(
                self._dat_fd,
                self.position,
                self._end,
                version=self._version,
                mode=self._mode,
                budget=SCRUB_STEP_BYTES,
            )
            assert position > self.position or stopped is not VisitStop.MORE
            self.position = position
            self.stopped = stopped
            if batch.count:
                yield batch

    def __iter__(self) -> Iterator[Record]:
        for batch in self.batches():
            yield from batch


def visit_records(
    dat_fd: int,
    first: int,
    end: int,
    version: int,
    *,
    fields: bool = True,
    check: bool = False,
    pass_zeros: bool = False,
) -> RecordVisit:
    """Visits the records between two byte offsets of a data file.

    Args:
        dat_fd: to be kept open by the caller until the visit is over.
        first: where a record begins.
        end: records that leave this are not given.
        version: of the needles, 1 to 3.
        fields: False: only headers are read.
        check: payloads are checked; a wrong one shows in ``Record.fault``.
        pass_zeros: go on behind all-zero headers, which are not given.
    """
    mode = (FIELDS if fields else 0) | (CHECK if check else 0) | (PASS_ZEROS if pass_zeros else 0)
    return RecordVisit(dat_fd, first, end, version, mode)


class BlockReader:
    """Reads ranges that follow each other, many small ones with one call."""

    def __init__(self, fd: int, end: int) -> None:
        """Nothing behind byte offset ``end`` is read."""
        self._fd = fd
        self._end = end
        self._start = 0
        self._block = b""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes.

        Raises:
            OSError: the operating system's refusal.
            EOFError: the file, or what may be read of it, ends before.
        """
        if offset + length > self._end:
            raise EOFError(f"the file ends at {self._end}")
        if length >= _BLOCK_BYTES:
            return self._whole(offset, length)
        at = offset - self._start
        if at < 0 or at + length > len(self._block):
            self._block = os.pread(self._fd, min(_BLOCK_BYTES, self._end - offset), offset)
            self._start, at = offset, 0
        if at + length > len(self._block):
            return self._whole(offset, length)
        return self._block[at : at + length]

    def _whole(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(self._fd, length, offset)
            if not part:
                raise EOFError(f"the file ends at {offset}")
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
