"""Vacuum of a volume of the store, as the master drives it.

Source of the rules and texts: ``weed/storage/store_vacuum.go``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvol.errors import StorageError, VolumeNotFoundError
from fastvol.volume.throttle import Throttle
from fastvol.volume.vacuum import VacuumPlan, VacuumReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class Committed:
    """State before the commit, and the data file's size in bytes after it."""

    was_read_only: bool
    dat_size: int


class Vacuuming:
    """The vacuums of one store; any thread, any number of volumes at a time."""

    def __init__(self, store: Store, *, bytes_per_second: int = 0) -> None:
        """``bytes_per_second`` limits each vacuum; 0 is no limit."""
        self._store = store
        self._bytes_per_second = bytes_per_second

    def compact(
        self, volume_id: int, *, preallocate: int, progress: Callable[[int], bool]
    ) -> VacuumReport | None:
        """Builds the new files; None when a vacuum of this volume is at work already.

        ``progress`` gets the offset in the old data file; False stops the vacuum.
        :exc:`VolumeNotFoundError`, :exc:`NoSpaceError`, :exc:`StorageError`.
        """
        volume = self._find(volume_id, "compact")
        throttle = Throttle(self._bytes_per_second)
        return volume.compact(
            VacuumPlan(
                preallocate=preallocate,
                pace=throttle.spend,
                progress=lambda offset: not self._store.stopping and progress(offset),
            )
        )

    def commit(self, volume_id: int) -> Committed:
        """Swaps the new files in.  :exc:`VolumeNotFoundError`, :exc:`StorageError`."""
        if self._store.stopping:
            raise StorageError(f"volume id {volume_id} skips compact because volume is stopping")
        volume = self._find(volume_id, "commit compact")
        was_read_only = volume.read_only
        self._store.commit_vacuum(volume)
        return Committed(was_read_only, volume.dat_size)

    def cleanup(self, volume_id: int) -> None:
        """Removes what was built.  :exc:`VolumeNotFoundError`, :exc:`StorageError`."""
        self._find(volume_id, "cleaning up").cleanup_compaction()

    def _find(self, volume_id: int, doing: str) -> Volume:
        volume = self._store.find_volume(volume_id)
        if volume is None:
            raise VolumeNotFoundError(
                f"volume id {volume_id} is not found during {doing}: volume not found"
            )
        return volume
