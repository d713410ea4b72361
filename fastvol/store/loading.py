"""Loading volumes: all of the locations at the start, or one that an operator mounts.

A volume that cannot be opened is logged, remembered as damaged and left as it is; the others are
served.  Volumes whose files do not tell how wide their offsets are (empty ones of an older release)
come last, when the others have shown what is usual here: rows of another width would make them
unreadable to the ``weed`` that may take the directory over.  Source of the rules:
``weed/storage/disk_location.go``, concurrentLoadingVolumes and LoadVolume.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from fastvol.errors import FastvolError, reason_of
from fastvol.formats import file_names, volume_info
from fastvol.limits import LOAD_THREADS_MAX, OFFSET_WIDTH_DEFAULT
from fastvol.store.compaction_recovery import reconcile_compactions
from fastvol.store.discovery import (
    FoundVolume,
    Verdict,
    find_volume,
    find_volumes,
    judge,
    remove_unfinished,
)
from fastvol.store.incoming import finish_replacement, interrupted_replacements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.factories import OpenVolume
    from fastvol.store.keyed_locks import KeyedLocks
    from fastvol.store.volume_table import VolumeTable
    from fastvol.volume.files import VolumeFiles
    from fastvol.volume.volume import Volume

    _Job: TypeAlias = tuple[DiskLocation, list[FoundVolume]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DamagedVolume:
    """A volume that is there but cannot be served; ``since`` is Unix time in seconds."""

    path: str
    reason: str
    since: float = field(default_factory=time.time)


def _leave_as_it_is(volume: Volume) -> None:
    """Nobody has anything to say about volumes that are loaded."""


class VolumeLoader:
    """Opens volumes and puts them into the table."""

    def __init__(
        self,
        table: VolumeTable,
        locks: KeyedLocks,
        open_volume: OpenVolume,
        usual_offset_width: Callable[[], int],
        prepare: Callable[[Volume], None] = _leave_as_it_is,
    ) -> None:
        """``prepare`` gets every volume, under the lock of its id, before anybody finds it."""
        self._table = table
        self._prepare = prepare
        self._locks = locks
        self._open_volume = open_volume
        self._usual_offset_width = usual_offset_width
        self._damaged_lock = threading.Lock()
        self._damaged: dict[str, DamagedVolume] = {}

    @property
    def damaged(self) -> list[DamagedVolume]:
        """Volumes whose last opening failed."""
        with self._damaged_lock:
            return list(self._damaged.values())

    def damage_of(self, volume_id: int) -> str:
        """Why the last opening of a volume failed; empty when none did."""
        for volume in self.damaged:
            base = volume.path.rpartition("/")[2]
            if file_names.parse_base_name(base)[1] == volume_id:
                return volume.reason
        return ""

    def forget_damaged(self, location: DiskLocation, found: FoundVolume) -> None:
        """A volume that is gone is not damaged any more."""
        if not self._damaged:
            return
        path = str(_files(location, found).data(""))
        with self._damaged_lock:
            self._damaged.pop(path, None)

    def _forget_absent(self, location: DiskLocation, on_disk: dict[int, list[FoundVolume]]) -> None:
        if not self._damaged:
            return
        present = {str(_files(location, f).data("")) for group in on_disk.values() for f in group}
        with self._damaged_lock:
            for path in set(self._damaged) - present:
                if os.path.dirname(path) == str(location.directory):  # noqa: PTH120
                    del self._damaged[path]

    def load_locations(self, locations: Sequence[DiskLocation]) -> None:
        """Loads whatever the locations have and the table has not.

        :exc:`OSError` when a location has no list.
        """
        workers = LOAD_THREADS_MAX * len(locations)
        with ThreadPoolExecutor(workers, thread_name_prefix="load") as pool:
            jobs = [job for found in pool.map(self._scan, locations) for job in found]
            undecided = [job for job in pool.map(self._load_if_it_tells, jobs) if job]
            if undecided:
                load = partial(self._load_job, self._usual_offset_width())
                list(pool.map(load, undecided))

    def _scan(self, location: DiskLocation) -> list[_Job]:
        """What is to be loaded: groups of files that speak for one volume id each."""
        loaded = {volume.id for volume in self._table.on_disk(location.disk_id)}
        reconcile_compactions(location.directory, location.index_directory, loaded)
        on_disk = find_volumes(location.directory)
        self._forget_absent(location, on_disk)
        return [
            (location, group) for volume_id, group in on_disk.items() if volume_id not in loaded
        ]

    def _load_if_it_tells(self, job: _Job) -> _Job | None:
        """Loads a volume unless the width of its offsets is not known; then gives the job back."""
        location, group = job
        if not _tells_offset_width(_files(location, group[0])):
            return job
        self._load_job(OFFSET_WIDTH_DEFAULT, job)
        return None

    def _load_job(self, offset_width: int, job: _Job) -> None:
        location, group = job
        self._load_first(location, group, offset_width)

    def mount(
        self, location: DiskLocation, volume_id: int, collection: str | None
    ) -> Volume | None:
        """Loads one volume that an operator named; None when there is nothing to load.

        ``collection`` is a hint where to look first.  A replacement that an error broke off is ended.
        """
        for files in interrupted_replacements(location):
            if files.volume_id == volume_id:
                finish_replacement(files)
        found = find_volume(location.directory, volume_id, collection)
        if not found:
            return None
        return self._load_first(location, found, self._usual_offset_width(), mounting=True)

    def _load_first(
        self,
        location: DiskLocation,
        group: list[FoundVolume],
        offset_width: int,
        *,
        mounting: bool = False,
    ) -> Volume | None:
        """Loads the first of a group of files that speak for one volume id."""
        for found in group:
            with self._locks.hold(found.volume_id):
                present = self._table.copy_on(location.disk_id, found.volume_id)
                if present is not None:
                    return present
                volume = self._load_one(location, found, offset_width, mounting=mounting)
                if volume is not None:
                    self.register(location, volume)
                    return volume
        return None

    def register(self, location: DiskLocation, volume: Volume) -> None:
        """Puts an open volume of a location into the table."""
        _belongs_to(location, volume)
        self._prepare(volume)
        self._table.add(volume)

    def replace(self, location: DiskLocation, collection: str, volume_id: int) -> Volume | None:
        """Loads a volume whose files are new, in the place of every copy in the table.

        None when it cannot be loaded: then those are in the table as before.
        """
        found = FoundVolume(volume_id, collection)
        volume = self._load_one(location, found, self._usual_offset_width(), mounting=True)
        if volume is not None:
            _belongs_to(location, volume)
            self._table.replace(volume)
        return volume

    def _load_one(
        self, location: DiskLocation, found: FoundVolume, offset_width: int, *, mounting: bool
    ) -> Volume | None:
        files = _files(location, found)
        try:
            verdict = judge(files, mounting=mounting)
            if verdict is Verdict.UNFINISHED:
                remove_unfinished(files)
            if verdict is not Verdict.OPEN:
                return None
            volume = self._open_volume(
                location.directory,
                location.index_directory,
                found.collection,
                found.volume_id,
                default_offset_width=offset_width,
            )
        except (FastvolError, OSError, ValueError, MemoryError) as error:
            self._note_damaged(files, reason_of(error) or type(error).__name__)
            return None
        except Exception as error:
            # One broken volume must not keep the others from being served.
            log.exception("new volume %s", files.data(""))
            self._note_damaged(files, repr(error))
            return None
        self.forget_damaged(location, found)
        return volume

    def _note_damaged(self, files: VolumeFiles, reason: str) -> None:
        path = str(files.data(""))
        log.error("new volume %s error %s", path, reason)
        with self._damaged_lock:
            self._damaged[path] = DamagedVolume(path, reason)


def _belongs_to(location: DiskLocation, volume: Volume) -> None:
    volume.disk_id = location.disk_id
    volume.disk_type = location.disk_type
    volume.disk_space_low = location.space.low


def _tells_offset_width(files: VolumeFiles) -> bool:
    """Whether there are rows to measure, or a ``.vif`` that says it."""
    if any(path.exists() and path.stat().st_size for path in files.everywhere([file_names.IDX])):
        return True
    try:
        info = volume_info.load(files.data(file_names.VIF))
    except (OSError, ValueError):
        return False
    return info is not None and info.bytes_offset != 0


def _files(location: DiskLocation, found: FoundVolume) -> VolumeFiles:
    return location.files(found.collection, found.volume_id)
