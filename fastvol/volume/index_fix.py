"""Making an index anew from a data file, behind damage too.

Theory of operation
-------------------
The data file is surveyed from its first record to its end, in C (``_cffi/survey.h``): every record
that is recognised gets a row in a new index, written aside. Where no record can be made of what
lies there, the survey goes on at the next one that checks. Then the rows of overwritten records are
dropped, so that of each needle its last record and its last tombstone are left, in the order in
which they lie; that is what ``weed fix`` writes (weed/command/fix.go). A record whose checksum is
wrong, but which lies between whole ones, keeps its row as it does there: a read of it then fails,
instead of giving an older version. The new index replaces the old one when it is complete.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastvol._cffi.last_rows import keep_last_rows
from fastvol._cffi.survey import (
    NOT_RECORDS,
    Extent,
    ExtentKind,
    OffsetTooFarError,
    SurveyStat,
)
from fastvol.errors import StorageError
from fastvol.limits import SURVEY_LIST_MAX
from fastvol.volume.files import VolumeFiles, storage_errors
from fastvol.volume.index_replacement import replaced_index
from fastvol.volume.unrepaired import UnrepairedVolume, unrepaired

_REPORTED = NOT_RECORDS | {ExtentKind.BAD_RECORD}


@dataclass(slots=True)
class IndexFix:
    """What was made; sizes in bytes.

    ``skipped`` lists what is no record and which records are bad, ``skipped_more`` how many more
    there are.
    """

    path: Path
    rows: int = 0
    records: int = 0
    rows_before: int = 0
    offset_width: int = 0
    skipped: list[Extent] = field(default_factory=list)
    skipped_more: int = 0
    gave_up: bool = False
    read_errors: int = 0
    last_append_ns: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every byte of the data file belongs to a good record, or is empty space."""
        return (
            all(extent.kind is ExtentKind.ZEROS for extent in self.skipped)
            and not self.skipped_more
            and not self.read_errors
        )


def fix_index(
    files: VolumeFiles,
    *,
    include_deleted: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> IndexFix:
    """Replaces a volume's index by one that is made from its data file.

    Args:
        files: of a volume that nobody serves meanwhile.
        include_deleted: keep tombstones; without, a deleted needle has no row at all.
        progress: called with bytes done and bytes in all.

    Raises:
        StorageError: the old index is as it was.
    """
    try:
        with storage_errors(files), unrepaired(files) as opened:
            return _fix(opened, include_deleted, progress)
    except OffsetTooFarError:
        raise StorageError(
            f"volume {files.base}: a record lies beyond the reach of its index's offsets"
        ) from None


def _fix(
    opened: UnrepairedVolume,
    include_deleted: bool,
    progress: Callable[[int, int], None] | None,
) -> IndexFix:
    files = opened.files
    fixed = IndexFix(
        files.idx,
        rows_before=opened.rows,
        offset_width=opened.offset_width,
        problems=list(opened.problems),
    )
    files.index_directory.mkdir(parents=True, exist_ok=True)
    with replaced_index(files) as fd:
        if opened.has_index:
            os.fchmod(fd, os.fstat(opened.idx_fd).st_mode & 0o7777)
        survey = opened.survey(_REPORTED, new_idx_fd=fd)
        for extent in survey.extents(progress):
            _note_skipped(fixed, extent)
        stat = survey.stat()
        fixed.rows = keep_last_rows(
            fd, offset_width=opened.offset_width, include_deleted=include_deleted
        )
    _finish(fixed, stat)
    return fixed


def _note_skipped(fixed: IndexFix, extent: Extent) -> None:
    if len(fixed.skipped) < SURVEY_LIST_MAX:
        fixed.skipped.append(extent)
    else:
        fixed.skipped_more += 1


def _finish(fixed: IndexFix, stat: SurveyStat) -> None:
    fixed.records = stat.rows
    fixed.gave_up = stat.gave_up
    fixed.read_errors = stat.read_errors
    fixed.last_append_ns = stat.last_append_ns
