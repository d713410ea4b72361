"""Going through the records of a data file, one behind the other.

What an index is not asked for: overwritten records, tombstones and records without a row are visited
as well.  Source of the rules: ``weed/storage/volume_read.go: ScanVolumeFileFrom``.  Two things are safer
here: a record with a negative size ends the visit, and space that was never written is not taken for
tombstones of needle 0.
"""

from collections.abc import Iterator

from fastvol._cffi.visit import CHECK, FIELDS, PASS_ZEROS, Record, RecordBatch, VisitStop
from fastvol.limits import SCRUB_STEP_BYTES, VISIT_BATCH_RECORDS

__all__ = ["Record", "RecordBatch", "RecordVisit", "VisitStop", "visit_records"]


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
