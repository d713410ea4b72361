"""Finishing or undoing a vacuum that a crash cut short.

A vacuum builds ``.cpd`` and ``.cpx``, writes the marker ``.cpc``, renames ``.cpd`` to ``.dat`` and
``.cpx`` to ``.idx``, and removes the marker.  What lies there at the start tells how far it came:

| found | done |
| --- | --- |
| no ``.cpc``, but ``.cpd`` or ``.cpx`` | roll back: remove both |
| ``.cpc`` | roll forward: make the renames that are still due, remove the marker |

Either way the maps derived from the old index are removed.  Only volumes that are not loaded are
touched.  Source of the rules: ``weed/storage/volume_vacuum.go: reconcileCompactState``.
"""

import logging
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from fastvol.errors import reason_of
from fastvol.formats import file_names
from fastvol.formats.durable_file import sync_directory
from fastvol.formats.file_names import base_name, parse_base_name

log = logging.getLogger(__name__)

_LEFTOVERS: Final = (file_names.CPC, file_names.CPD, file_names.CPX)


def reconcile_compactions(directory: Path, index_directory: Path, loaded: Collection[int]) -> None:
    """Brings every volume of a location to the state before or after its vacuum.

    A volume whose files cannot be renamed is logged and left for its opening to judge.
    """
    for collection, volume_id in sorted(_interrupted(directory, index_directory)):
        if volume_id in loaded:
            continue
        try:
            _reconcile(directory, index_directory, base_name(collection, volume_id), volume_id)
        except OSError as error:
            log.error(
                "volume %d: cannot recover an interrupted vacuum: %s", volume_id, reason_of(error)
            )


def _interrupted(directory: Path, index_directory: Path) -> set[tuple[str, int]]:
    found = set()
    for folder in {directory, index_directory}:
        for path in folder.iterdir():
            if path.suffix in _LEFTOVERS:
                try:
                    found.add(parse_base_name(path.stem))
                except ValueError:
                    log.warning("%s belongs to no volume", path)
    return found


def _reconcile(directory: Path, index_directory: Path, base: str, volume_id: int) -> None:
    marker = directory / (base + file_names.CPC)
    new_data = directory / (base + file_names.CPD)
    # An index beside the data outranks the index directory, for the new index too.
    new_indexes = [d / (base + file_names.CPX) for d in dict.fromkeys((index_directory, directory))]
    if marker.exists():
        log.warning("volume %d: rolling forward interrupted compaction commit", volume_id)
        if new_data.exists():
            new_data.replace(new_data.with_suffix(file_names.DAT))
        for new_index in new_indexes:
            if new_index.exists():
                new_index.replace(new_index.with_suffix(file_names.IDX))
    else:
        for leftover in (new_data, *new_indexes):
            if leftover.exists():
                log.warning(
                    "volume %d: rolling back orphan compaction file %s", volume_id, leftover.suffix
                )
                leftover.unlink()
    for folder in {directory, index_directory}:
        sync_directory(folder)
        _remove_derived(folder, base)
    # Last: until the renames are on the disk the marker is what makes them happen again.
    marker.unlink(missing_ok=True)
    sync_directory(directory)


def _remove_derived(folder: Path, base: str) -> None:
    shutil.rmtree(folder / (base + file_names.LDB), ignore_errors=True)
    (folder / (base + file_names.RDB)).unlink(missing_ok=True)
