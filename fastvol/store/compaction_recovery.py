"""Finishing or undoing vacuums that a crash cut short, in a whole location.

What is done for each volume: ``volume/vacuum_files``.  Only volumes that are not loaded are touched.
Source: ``weed/storage/volume_vacuum.go: reconcileCompactState``.
"""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

from fastvol.errors import reason_of
from fastvol.formats import file_names
from fastvol.formats.file_names import parse_base_name
from fastvol.volume.files import VolumeFiles
from fastvol.volume.vacuum_files import settle

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
            settle(VolumeFiles.of(directory, index_directory, collection, volume_id))
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
