"""Volume id -> volume.

An id may have a copy on each disk; the one on the first disk *serves*.  Readers take no lock: they
look into a dict that is only ever changed entry by entry.  Writers exclude each other, and run the
hooks before they let go, so that whoever mirrors the table (the fast read's table in C) sees the
changes in their order.  Hooks must be quick and must not come back here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fastvol.errors import VolumeExistsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastvol.volume.volume import Volume


def _ignore(volume: Volume) -> None:
    """The hook of a table that nobody mirrors."""


class VolumeTable:
    """All volumes of a store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serving: dict[int, Volume] = {}
        self._by_disk: dict[int, dict[int, Volume]] = {}
        self.on_add: Callable[[Volume], None] = _ignore
        """Serve this volume under its id from now on, in place of any other."""
        self.on_remove: Callable[[Volume], None] = _ignore
        """Nothing serves this volume's id any more."""

    def find(self, volume_id: int) -> Volume | None:
        """The serving volume, without a lock."""
        return self._serving.get(volume_id)

    def on_disk(self, disk_id: int) -> list[Volume]:
        """All volumes of one disk."""
        with self._lock:
            return list(self._by_disk.get(disk_id, {}).values())

    def count(self, disk_id: int) -> int:
        """How many volumes a disk has."""
        return len(self._by_disk.get(disk_id, ()))

    def copy_on(self, disk_id: int, volume_id: int) -> Volume | None:
        """The copy on one disk."""
        return self._by_disk.get(disk_id, {}).get(volume_id)

    def copies(self, volume_id: int) -> list[Volume]:
        """All copies of an id, the serving one first."""
        with self._lock:
            return self._copies(volume_id)

    def volumes(self) -> list[Volume]:
        """All volumes, all copies, ascending by id."""
        with self._lock:
            found = [v for disk in self._by_disk.values() for v in disk.values()]
        return sorted(found, key=lambda volume: (volume.id, volume.disk_id))

    def add(self, volume: Volume) -> None:
        """Takes a volume in; its ``disk_id`` is set.

        :exc:`VolumeExistsError` when its disk has a copy already.
        """
        with self._lock:
            disk = self._by_disk.setdefault(volume.disk_id, {})
            if volume.id in disk:
                raise VolumeExistsError(f"Volume Id {volume.id} already exists!")
            disk[volume.id] = volume
            self._serve_first(volume)

    def replace(self, volume: Volume) -> None:
        """Takes a volume in, in the place of every copy of its id: one of them serves all the time."""
        with self._lock:
            for disk in self._by_disk.values():
                disk.pop(volume.id, None)
            self._by_disk.setdefault(volume.disk_id, {})[volume.id] = volume
            self._serve_first(volume)

    def remove(self, volume: Volume) -> bool:
        """Takes a volume out; False when it was not there."""
        with self._lock:
            disk = self._by_disk.get(volume.disk_id, {})
            if disk.get(volume.id) is not volume:
                return False
            del disk[volume.id]
            self._serve_first(volume)
            return True

    def refresh(self, volume: Volume) -> None:
        """Runs ``on_add`` again for a serving volume whose C volume was replaced."""
        with self._lock:
            if self._serving.get(volume.id) is volume:
                self.on_add(volume)

    def _copies(self, volume_id: int) -> list[Volume]:
        return [
            self._by_disk[disk_id][volume_id]
            for disk_id in sorted(self._by_disk)
            if volume_id in self._by_disk[disk_id]
        ]

    def _serve_first(self, changed: Volume) -> None:
        copies = self._copies(changed.id)
        if not copies:
            del self._serving[changed.id]
            self.on_remove(changed)
        elif self._serving.get(changed.id) is not copies[0]:
            self._serving[changed.id] = copies[0]
            self.on_add(copies[0])
