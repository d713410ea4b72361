"""Taking volumes out: unmounting, deleting, dropping a collection, TTL expiry.

Every removal holds the id's lock and takes the volume out of the table before it closes or destroys
it, so that nobody finds a volume that is going.  Sources of the rules: ``weed/storage/store.go``
(UnmountVolume, DeleteVolume), ``weed/storage/disk_location.go: DeleteCollectionFromDiskLocation``.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastvol.errors import (
    FastvolError,
    StorageError,
    VolumeNotEmptyError,
    VolumeNotFoundError,
    reason_of,
)
from fastvol.limits import COMPACTION_POLL_SECONDS
from fastvol.log_limiter import LogLimiter
from fastvol.store.discovery import is_erasure_coded
from fastvol.store.reports import event_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Lock

    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.keyed_locks import KeyedLocks
    from fastvol.store.reports import VolumeEvent
    from fastvol.store.volume_table import VolumeTable
    from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)
_per_beat = LogLimiter(log)


class VolumeRemover:
    """Takes volumes out of a store and announces it."""

    def __init__(
        self,
        locations: Sequence[DiskLocation],
        table: VolumeTable,
        locks: KeyedLocks,
        flagging: Lock,
        announce: Callable[[VolumeEvent], None],
    ) -> None:
        """``flagging`` is held by whoever sets ``disk_space_low`` of volumes."""
        self._locations = locations
        self._table = table
        self._locks = locks
        self._flagging = flagging
        self._announce = announce

    def close_all(self) -> None:
        """Closes every volume without announcing it, for the end of the server."""
        for volume in self._table.volumes():
            with self._locks.hold(volume.id):
                self._close(volume)

    def unmount(self, volume_id: int) -> None:
        """Closes every copy and announces each."""
        with self._locks.hold(volume_id):
            for volume in self._table.copies(volume_id):
                gone = event_of("deleted", volume)
                self._close(volume)
                self._announce(gone)

    def _close(self, volume: Volume) -> None:
        while volume.compacting:
            time.sleep(COMPACTION_POLL_SECONDS)
        self._table.remove(volume)
        volume.close()

    def delete(
        self, volume_id: int, *, only_empty: bool, only_garbage: bool, keep_remote_data: bool
    ) -> None:
        """Destroys every copy, if all of them meet the conditions given."""
        conditional = only_empty or only_garbage
        with self._locks.hold(volume_id):
            copies = self._table.copies(volume_id)
            if not copies:
                raise VolumeNotFoundError(
                    f"delete volume {volume_id} not found on disk: volume not found"
                )
            with self._writes_held(copies if conditional else ()):
                for volume in copies if conditional else ():
                    if not (
                        (only_empty and volume.is_empty())
                        or (only_garbage and volume.is_garbage_only())
                    ):
                        raise VolumeNotEmptyError(f"DeleteVolume {volume_id}: volume not empty")
                errors = self._destroy_all(copies, keep_remote_data=keep_remote_data)
        if errors:
            raise StorageError(
                f"DeleteVolume {volume_id} failed on some disks: {'; '.join(errors)}"
            )

    @contextmanager
    def _writes_held(self, volumes: Sequence[Volume]) -> Iterator[None]:
        """Keeps writes out between looking at a volume and destroying it.

        Setting the flag waits for the write that is under way, so that its object is seen.
        """
        if not volumes:
            yield
            return
        with self._flagging:
            for volume in volumes:
                volume.disk_space_low = True
            try:
                yield
            finally:
                for volume in volumes:
                    if self._table.copy_on(volume.disk_id, volume.id) is volume:
                        volume.disk_space_low = self._locations[volume.disk_id].space.low

    def delete_collection(self, name: str) -> None:
        """Destroys the collection location by location, until one reports errors."""
        for location in self._locations:
            errors: list[str] = []
            for volume in self._table.on_disk(location.disk_id):
                if volume.collection != name or volume.compacting:
                    continue
                with self._locks.hold(volume.id):
                    errors += self._destroy_all([volume])
            if errors:
                raise StorageError("; ".join(errors))

    def delete_expired(self, volume: Volume) -> None:
        """Destroys a volume whose TTL has passed.  The heartbeat that found it tells the master."""
        with self._locks.hold(volume.id):
            try:
                if self._destroy(volume):
                    log.info("volume %d is deleted: its TTL has passed", volume.id)
            except (FastvolError, OSError) as error:
                words = reason_of(error)
                _per_beat.error(volume.directory, "delete expired volume %d: %s", volume.id, words)

    def _destroy_all(
        self, volumes: Sequence[Volume], *, keep_remote_data: bool = False
    ) -> list[str]:
        errors = []
        for volume in volumes:
            gone = event_of("deleted", volume)
            try:
                if self._destroy(volume, keep_remote_data=keep_remote_data):
                    self._announce(gone)
            except (FastvolError, OSError) as error:
                errors.append(reason_of(error))
        return errors

    def _destroy(self, volume: Volume, *, keep_remote_data: bool = False) -> bool:
        """Takes a volume out and removes its files; False when it was out already."""
        if volume.compacting:
            raise StorageError(f"volume {volume.id} is compacting")
        if not self._table.remove(volume):
            return False
        files = self._locations[volume.disk_id].files(volume.collection, volume.id)
        try:
            volume.destroy(keep_vif=is_erasure_coded(files), keep_remote_data=keep_remote_data)
        except BaseException:
            self._table.add(volume)
            raise
        return True
