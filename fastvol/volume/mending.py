"""Repairing a volume that no server has: what opening it would do, and a new index where that is
not enough.

Three steps, each only when it is due: a vacuum that a crash cut short is finished or undone, as a
server does when it starts; an index that leads astray is made anew (``index_fix``); the ends of both
files are brought together by opening the volume (``index_repair``). A volume that is read-only by
its ``.vif`` or its file modes keeps its ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastvol._cffi.survey import ExtentKind
from fastvol.errors import StorageError
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.volume.files import VolumeFiles, storage_errors
from fastvol.volume.index_fix import fix_index
from fastvol.volume.inspection import Inspection
from fastvol.volume.opening import open_volume
from fastvol.volume.vacuum_files import settle

_VACUUM: Final = (".cpc", ".cpd", ".cpx")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, in words, and how."""

    words: str
    run: Callable[[], list[str]]
    """What there is to say afterwards."""


def vacuum_step(files: VolumeFiles) -> Step | None:
    """What is due of a vacuum, before anything else is looked at."""
    left = [path.name for path in files.everywhere(_VACUUM) if path.exists()]
    if not left:
        return None
    finishing = files.data(".cpc").exists()
    words = "finish the vacuum that was committed" if finishing else "undo an unfinished vacuum"

    def run() -> list[str]:
        with storage_errors(files):
            settle(files)
        return []

    return Step(f"{words} ({', '.join(left)})", run)


def repair_steps(found: Inspection) -> list[Step]:
    """What would mend what an inspection found; empty when nothing would."""
    files = found.files
    if files.data(".note").exists():
        raise StorageError(
            f"volume {files.base} is an incomplete copy ({files.data('.note').name}); "
            "it has to be copied anew"
        )
    steps = []
    inside = found.stat.count[ExtentKind.DAMAGED] and found.stat.count[ExtentKind.UNINDEXED]
    if found.index_is_wrong or inside:
        words = f"replace {files.index('.idx')} by an index made from the data"
        if found.has_index:
            words += " (empty files cannot be told from deletions there)"
        steps.append(Step(words, lambda: _fix(files)))
    unindexed = found.has_index and found.stat.count[ExtentKind.UNINDEXED]
    tail = found.last_extent in (ExtentKind.TORN, ExtentKind.ZEROS)
    if steps or tail or unindexed or found.partial_row_bytes:
        due = []
        if unindexed and not steps:
            due.append("make rows for records behind the last row")
        if found.partial_row_bytes and not steps:
            due.append(f"cut {found.partial_row_bytes} bytes of a partial row")
        if tail:
            due.append("cut what is no record behind the last one")
        words = "open the volume" + (": " + ", ".join(due) if due else " to see that it fits")
        steps.append(Step(words, lambda: _open(files)))
    return steps


def _fix(files: VolumeFiles) -> list[str]:
    fixed = fix_index(files)
    return [f"{fixed.path}: {fixed.rows} rows (it had {fixed.rows_before})"]


def _open(files: VolumeFiles) -> list[str]:
    opened = open_volume(files, default_offset_width=OFFSET_WIDTH_DEFAULT)
    try:
        reasons = [*opened.damage]
        if opened.persisted_mark is not None:
            reasons.append(opened.persisted_mark)
        opened.native.sync()
    finally:
        opened.native.release()
    return [f"it is still read-only: {reason.words}" for reason in reasons]
