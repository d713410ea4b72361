"""What every byte of a volume is, and every problem of its index; changes nothing.

The data file is surveyed as for a new index (see ``index_fix``), but against the old one: every
record is the live one of its needle, an earlier version, deleted, a tombstone, or unknown to the
index. The bytes of all kinds, with the super block, add up to the size of the file.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fastvol._cffi.row_check import RowCheck, RowFinding
from fastvol._cffi.survey import NOT_RECORDS, Extent, ExtentKind, Survey, SurveyStat
from fastvol.errors import DiskIOError, reason_of
from fastvol.limits import SURVEY_LIST_MAX, SURVEY_ROWS
from fastvol.volume.files import VolumeFiles
from fastvol.volume.unrepaired import UnrepairedVolume, partial_row_words, unrepaired

SUSPICIOUS = NOT_RECORDS | {ExtentKind.BAD_RECORD, ExtentKind.UNINDEXED}


@dataclass(slots=True)
class Inspection:
    """What was found; sizes in bytes.

    ``lost``: live needles of the index of which there is no record. ``rows_wrong`` counts all,
    ``row_findings`` lists the first ones.
    """

    files: VolumeFiles
    dat_size: int
    idx_size: int
    super_block_bytes: int
    offset_width: int
    has_index: bool
    rows: int
    partial_row_bytes: int
    stat: SurveyStat
    live: int
    lost: int = 0
    last_extent: ExtentKind | None = None
    row_findings: list[RowFinding] = field(default_factory=list)
    rows_wrong: int = 0
    rows_without_record: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def index_is_wrong(self) -> bool:
        """Its rows lead astray, or there are none: only a new index helps."""
        return bool(self.rows_wrong or self.lost or not self.has_index)

    @property
    def sound(self) -> bool:
        """Nothing was found that anybody would want to know."""
        return not self.problems


def inspect_volume(
    files: VolumeFiles,
    *,
    report: frozenset[ExtentKind] = SUSPICIOUS,
    on_extent: Callable[[Extent], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Goes through both files of a volume.

    Args:
        report: kinds of which every range is told to ``on_extent``, in the order of the file.
        progress: called with bytes of the data file done and in all.

    Raises:
        StorageError: a file cannot be read, or there is no super block to go by.
    """
    try:
        with unrepaired(files) as opened:
            return _Inspecting(opened, report, on_extent, progress).run()
    except BrokenPipeError:
        raise  # of the caller's output
    except OSError as error:
        raise DiskIOError(f"volume {files.base}: {reason_of(error)}") from error


class _Inspecting:
    def __init__(
        self,
        opened: UnrepairedVolume,
        report: frozenset[ExtentKind],
        on_extent: Callable[[Extent], None] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._opened = opened
        self._report = report
        self._on_extent = on_extent
        self._progress = progress
        self._last: ExtentKind | None = None

    def run(self) -> Inspection:
        opened = self._opened
        needle_map, _ = opened.load_map()
        live, _ = needle_map.live(opened.version)
        survey = opened.survey(self._report | NOT_RECORDS, needle_map=needle_map)
        self._survey(survey)
        stat = survey.stat()
        found = Inspection(
            files=opened.files,
            dat_size=opened.dat_size,
            idx_size=opened.idx_size,
            super_block_bytes=opened.first,
            offset_width=opened.offset_width,
            has_index=opened.has_index,
            rows=opened.rows,
            partial_row_bytes=opened.partial_row_bytes,
            stat=stat,
            live=live,
            last_extent=self._last,
            problems=list(opened.problems),
        )
        found.lost = live - stat.count[ExtentKind.LIVE] - stat.live_bad
        self._check_rows(found)
        found.problems += _sentences(found)
        assert opened.first + sum(stat.bytes.values()) == opened.dat_size
        return found

    def _survey(self, survey: Survey) -> None:
        for extent in survey.extents(self._progress):
            if extent.offset + extent.length == self._opened.dat_size:
                self._last = extent.kind
            if self._on_extent is not None and extent.kind in self._report:
                self._on_extent(extent)

    def _check_rows(self, found: Inspection) -> None:
        opened = self._opened
        if not opened.has_index:
            return
        check = RowCheck(
            opened.idx_fd,
            offset_width=opened.offset_width,
            dat_fd=opened.dat_fd,
            version=opened.version,
            dat_size=opened.dat_size,
        )
        while not check.done:
            room = SURVEY_LIST_MAX - len(found.row_findings)
            found.row_findings += check.step(SURVEY_ROWS, list_max=room)
        found.rows_wrong = check.findings
        found.rows_without_record = check.without_record


def _sentences(found: Inspection) -> list[str]:
    """What is wrong, by what it means."""
    count, size = found.stat.count, found.stat.bytes
    sentences = []

    def tell(wrong: int, sentence: str) -> None:
        if wrong:
            sentences.append(sentence)

    tell(not found.has_index, "there is no index")
    tell(found.partial_row_bytes, partial_row_words(found.partial_row_bytes))
    tell(found.rows_wrong, f"{found.rows_wrong} index rows do not lead to their record")
    tell(found.lost, f"{found.lost} live needles of the index have no record")
    bad = count[ExtentKind.BAD_RECORD]
    tell(bad, f"{bad} records fail their checksum, {found.stat.live_bad} of them live")
    for kind, words in (
        (ExtentKind.DAMAGED, "stretches of which no record can be made"),
        (ExtentKind.TORN, "torn tail"),
    ):
        tell(count[kind], f"{count[kind]} {words}, {size[kind]} bytes")
    if found.has_index:
        unindexed = count[ExtentKind.UNINDEXED]
        tell(unindexed, f"{unindexed} records are not in the index")
    tell(
        found.last_extent is ExtentKind.ZEROS,
        f"the data file ends in zeros; {size[ExtentKind.ZEROS]} bytes of it are zero",
    )
    tell(found.stat.read_errors, f"the disk refused {found.stat.read_errors} reads")
    tell(found.stat.gave_up, "damage with too many candidates for records: some may be missed")
    return sentences
