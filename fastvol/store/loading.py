"""Loading volumes: all of a location at the start, or one that an operator mounts.

A volume that cannot be opened is logged, remembered as damaged and left as it is; the others are
served.  Source of the rules: ``weed/storage/disk_location.go``, concurrentLoadingVolumes and
LoadVolume.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastvol.errors import FastvolError
from fastvol.limits import LOAD_THREADS_MIN
from fastvol.store.compaction_recovery import reconcile_compactions
from fastvol.store.discovery import (
    FoundVolume,
    Verdict,
    VolumePaths,
    find_volumes,
    judge,
    remove_unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.factories import OpenVolume
    from fastvol.store.keyed_locks import KeyedLocks
    from fastvol.store.volume_table import VolumeTable
    from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DamagedVolume:
    """A volume that is there but cannot be served; ``since`` is Unix time in seconds."""

    path: str
    reason: str
    since: float = field(default_factory=time.time)


class VolumeLoader:
    """Opens volumes and puts them into the table."""

    def __init__(
        self,
        table: VolumeTable,
        locks: KeyedLocks,
        open_volume: OpenVolume,
        default_offset_width: Callable[[], int],
    ) -> None:
        self._table = table
        self._locks = locks
        self._open_volume = open_volume
        self._default_offset_width = default_offset_width
        self._damaged_lock = threading.Lock()
        self._damaged: dict[str, DamagedVolume] = {}

    @property
    def damaged(self) -> list[DamagedVolume]:
        """Volumes whose last opening failed."""
        with self._damaged_lock:
            return list(self._damaged.values())

    def forget_damaged(self, location: DiskLocation, found: FoundVolume) -> None:
        """A volume that is gone is not damaged any more."""
        path = str(_paths(location, found).data(""))
        with self._damaged_lock:
            self._damaged.pop(path, None)

    def _forget_absent(self, location: DiskLocation, on_disk: dict[int, list[FoundVolume]]) -> None:
        present = {str(_paths(location, f).data("")) for group in on_disk.values() for f in group}
        with self._damaged_lock:
            for path in set(self._damaged) - present:
                if os.path.dirname(path) == str(location.directory):  # noqa: PTH120
                    del self._damaged[path]

    def load_location(self, location: DiskLocation) -> None:
        """Loads whatever a location has and the table has not; :exc:`OSError` if it has no list."""
        loaded = {volume.id for volume in self._table.on_disk(location.disk_id)}
        reconcile_compactions(location.directory, location.index_directory, loaded)
        on_disk = find_volumes(location.directory)
        self._forget_absent(location, on_disk)
        groups = [group for volume_id, group in on_disk.items() if volume_id not in loaded]
        workers = max(LOAD_THREADS_MIN, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers, thread_name_prefix="load") as pool:
            for _ in pool.map(lambda group: self.load_first(location, group), groups):
                pass

    def mount(self, location: DiskLocation, found: list[FoundVolume]) -> Volume | None:
        """Loads one volume that an operator named; None when there is nothing to load."""
        return self.load_first(location, found, mounting=True)

    def load_first(
        self, location: DiskLocation, group: list[FoundVolume], *, mounting: bool = False
    ) -> Volume | None:
        """Loads the first of a group of files that speak for one volume id."""
        for found in group:
            with self._locks.hold(found.volume_id):
                present = self._table.copy_on(location.disk_id, found.volume_id)
                if present is not None:
                    return present
                volume = self._load_one(location, found, mounting=mounting)
                if volume is not None:
                    self.register(location, volume)
                    return volume
        return None

    def register(self, location: DiskLocation, volume: Volume) -> None:
        """Puts an open volume of a location into the table."""
        volume.disk_id = location.disk_id
        volume.disk_type = location.disk_type
        volume.disk_space_low = location.space.low
        self._table.add(volume)

    def _load_one(
        self, location: DiskLocation, found: FoundVolume, *, mounting: bool
    ) -> Volume | None:
        paths = _paths(location, found)
        try:
            verdict = judge(paths, mounting=mounting)
            if verdict is Verdict.UNFINISHED:
                remove_unfinished(paths)
            if verdict is not Verdict.OPEN:
                return None
            volume = self._open_volume(
                location.directory,
                location.index_directory,
                found.collection,
                found.volume_id,
                default_offset_width=self._default_offset_width(),
            )
        except (FastvolError, OSError, ValueError, MemoryError) as error:
            self._note_damaged(paths, str(error) or type(error).__name__)
            return None
        except Exception as error:
            # One broken volume must not keep the others from being served.
            log.exception("new volume %s", paths.data(""))
            self._note_damaged(paths, repr(error))
            return None
        self.forget_damaged(location, found)
        return volume

    def _note_damaged(self, paths: VolumePaths, reason: str) -> None:
        path = str(paths.data(""))
        log.error("new volume %s error %s", path, reason)
        with self._damaged_lock:
            self._damaged[path] = DamagedVolume(path, reason)


def _paths(location: DiskLocation, found: FoundVolume) -> VolumePaths:
    return VolumePaths.of(location.directory, location.index_directory, found)
