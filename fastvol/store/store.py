"""The store: all locations and volumes of one server.

Any thread may call any method.  Looking a volume up takes no lock.  What adds, removes or replaces
a volume holds that id's lock, so that operations on different volumes do not wait for each other;
choosing a location for a new volume is under one more lock, so that no location is overfilled.
Events are announced under the id's lock, that is, in the order in which things happened.
Sources of the rules: ``weed/storage/store.go``, ``weed/storage/disk_location.go``.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastvol.errors import (
    FastvolError,
    StorageError,
    VolumeExistsError,
    VolumeNotFoundError,
    reason_of,
)
from fastvol.formats import file_names, volume_info
from fastvol.limits import (
    DISK_CHECK_SECONDS,
    OFFSET_WIDTH_DEFAULT,
    REPLACED_LINGER_SECONDS,
)
from fastvol.remote.tier import Tier
from fastvol.store.discovery import find_volume
from fastvol.store.disk_location import DiskLocation
from fastvol.store.incoming import finish_replacement, interrupted_replacements
from fastvol.store.keyed_locks import KeyedLocks
from fastvol.store.loading import DamagedVolume, VolumeLoader
from fastvol.store.placement import Placement
from fastvol.store.removal import VolumeRemover
from fastvol.store.reports import (
    DiskTag,
    HeartbeatSampler,
    HeartbeatSnapshot,
    VolumeEvent,
    VolumeIdentity,
    VolumeReport,
    event_of,
    identity_of,
)
from fastvol.store.state import FILE_NAME as STATE_FILE_NAME
from fastvol.store.state import StoreState
from fastvol.store.volume_table import VolumeTable
from fastvol.volume.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fastvol.formats.replica_placement import ReplicaPlacement
    from fastvol.formats.ttl import TTL
    from fastvol.store.factories import CreateVolume, OpenVolume
    from fastvol.store.free_space import DiskStatus
    from fastvol.store.incoming import IncomingVolume, Replacement
    from fastvol.store.options import StoreOptions

__all__ = [
    "DamagedVolume",
    "DiskTag",
    "HeartbeatSnapshot",
    "Store",
    "VolumeEvent",
    "VolumeIdentity",
    "VolumeReport",
]

log = logging.getLogger(__name__)


class Store:
    """See the module's text for threads.

    ``volume_size_limit`` (bytes, 0 = not known) and ``preallocate`` come from the master;
    ``stopping`` and ``left`` are set by whoever stops the server.
    """

    def __init__(
        self,
        options: StoreOptions,
        *,
        open_volume: OpenVolume | None = None,
        create_volume: CreateVolume | None = None,
    ) -> None:
        self.ip = options.ip
        self.port = options.port
        self.server_id = options.server_id or f"{options.ip}:{options.port}"
        self._chosen_offset_width = options.offset_width
        self.ask_offset_width: Callable[[], int | None] = _no_advice
        """Advice on the width of offsets for a store whose volumes do not tell; asked once."""
        self._advised_offset_width: int | None = None
        self.volume_size_limit = 0
        self.preallocate = False
        self.stopping = False
        self.left = False
        self.on_volume_event: Callable[[VolumeEvent], None] = _ignore_event
        self.on_collection_deleted: Callable[[str], None] = _ignore_collection
        self.locations = tuple(
            DiskLocation(disk_id, location, options.index_directory)
            for disk_id, location in enumerate(options.directories)
        )
        state_directory = self.locations[0].index_directory
        self.state = StoreState(state_directory / STATE_FILE_NAME)
        self.table = VolumeTable()
        self.tier = Tier()
        """Where volumes may lie that are on remote storage, as the master announces it."""
        self._open_volume = open_volume or partial(Volume.open, index=options.index, tier=self.tier)
        self._create_volume = create_volume or partial(Volume.create, index=options.index)
        self._locks = KeyedLocks()
        self._placing = threading.Lock()
        self._receiving: set[int] = set()
        """Ids of volumes on their way here; each is changed under the lock of its id."""
        self._loader = VolumeLoader(
            self.table,
            self._locks,
            self._open_volume,
            self.usual_offset_width,
            self._prepare_loaded,
        )
        self._flagging = threading.Lock()
        self._remover = VolumeRemover(
            self.locations, self.table, self._locks, self._flagging, self._announce
        )
        self._placement = Placement(self.locations, self.table)
        self._sampler = HeartbeatSampler(self.locations, self.table, self._remover.delete_expired)
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch_disks, name="disk-space", daemon=True)

    # --- start and end ------------------------------------------------------------------------

    def load(self) -> None:
        """Locks the directories, loads the server's state and all volumes, and starts watching.

        :exc:`StorageError` when a directory is served by another process, given twice, or not
        usable, or when the state cannot be read.  Damaged volumes are no error; see ``damaged``.
        """
        with ExitStack() as undo:
            self._refuse_twins()
            for location in self.locations:
                location.open()
                undo.callback(location.close)
            self._finish_copies()
            self.state.load()
            undo.callback(self._remover.close_all)
            self.load_new_volumes()
            undo.pop_all()
        self._watcher.start()

    def _finish_copies(self) -> None:
        """What copies from other servers have left: what is complete gets its place first."""
        try:
            for location in self.locations:
                for files in interrupted_replacements(location):
                    finish_replacement(files)
            for location in self.locations:
                location.remove_leftovers()
        except OSError as error:
            raise StorageError(f"cannot list a data directory: {reason_of(error)}") from error

    def _refuse_twins(self) -> None:
        seen: dict[tuple[int, int], DiskLocation] = {}
        for location in self.locations:
            try:
                identity = location.identity
            except OSError as error:
                raise StorageError(f"data directory {reason_of(error)}") from error
            twin = seen.setdefault(identity, location)
            if twin is not location:
                raise StorageError(
                    f"Data Folder(-dir) {twin.directory} and {location.directory} "
                    "are the same directory"
                )

    def load_new_volumes(self) -> None:
        """Loads volumes that appeared in the directories (LoadNewVolumes); announces nothing.

        :exc:`StorageError` when a directory cannot be listed.
        """
        started = time.monotonic()
        try:
            self._loader.load_locations(self.locations)
        except OSError as error:
            raise StorageError(f"cannot list a data directory: {reason_of(error)}") from error
        log.info(
            "%d volumes in %d directories after %.1f s, %d damaged",
            len(self.volumes()),
            len(self.locations),
            time.monotonic() - started,
            len(self.damaged),
        )

    def sync(self) -> None:
        """Makes every acknowledged change of every volume durable; failures are logged."""
        for volume in self.volumes():
            try:
                volume.sync()
            except FastvolError as error:
                log.error("volume %d: %s", volume.id, error)

    def close(self) -> None:
        """Closes all volumes, waiting for running vacuums, and gives the directories up."""
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._remover.close_all()
        self.tier.close()
        for location in self.locations:
            location.close()

    def _watch_disks(self) -> None:
        while not self._closing.wait(DISK_CHECK_SECONDS):
            self.check_disk_space()

    def check_disk_space(self) -> None:
        """Looks at every disk once and tells the volumes what changed."""
        for location in self.locations:
            if location.space.check():
                with self._flagging:
                    for volume in self.table.on_disk(location.disk_id):
                        volume.disk_space_low = location.space.low

    # --- looking ------------------------------------------------------------------------------

    def find_volume(self, volume_id: int) -> Volume | None:
        """The volume that serves an id."""
        return self.table.find(volume_id)

    def get_volume(self, volume_id: int) -> Volume:
        """As :meth:`find_volume`; :exc:`VolumeNotFoundError` when there is none."""
        volume = self.table.find(volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"volume {volume_id} not found")
        return volume

    def volumes(self) -> list[Volume]:
        """All volumes, ascending by id; an id with a copy on each of two disks is there twice."""
        return self.table.volumes()

    @property
    def damaged(self) -> list[DamagedVolume]:
        """Volumes that are on the disks but could not be opened."""
        return self._loader.damaged

    def identity(self, volume: Volume) -> VolumeIdentity:
        """The volume as short messages name it."""
        return identity_of(volume)

    def healthy(self) -> bool:
        """Whether load balancers should send requests here."""
        return not (self.stopping or self.left) and not any(
            volume.quarantined or volume.unavailable for volume in self.volumes()
        )

    def disk_statuses(self) -> list[DiskStatus]:
        """Figures of each location's disk now."""
        return [location.status() for location in self.locations]

    def heartbeat_snapshot(self, now: float) -> HeartbeatSnapshot:
        """A sample for the master; destroys volumes whose TTL has passed long enough."""
        return self._sampler.sample(now, self.volume_size_limit)

    # --- room ---------------------------------------------------------------------------------

    def adjust_volume_max(self) -> bool:
        """Adapts automatic maxima to the free space; True when one changed."""
        return self._placement.adjust_maxima(self.volume_size_limit, preallocated=self.preallocate)

    def find_free_location(
        self, disk_type: str, volume_id: int = 0, needed_bytes: int = 0
    ) -> DiskLocation | None:
        """Where a copied volume of this disk type may go; None when there is no room."""
        return self._placement.for_copied_volume(disk_type, volume_id, needed_bytes)

    def find_staging_location(self, disk_type: str, volume_id: int) -> DiskLocation | None:
        """Where files of a volume that is being put together may go; None when there is no room."""
        return self._placement.for_staged_volume(disk_type, volume_id)

    def find_shard_location(self, collection: str, volume_id: int) -> DiskLocation | None:
        """Where shards of an erasure-coded volume may go; None when there is no room."""
        return self._placement.for_shards(collection, volume_id)

    def usual_offset_width(self, location: DiskLocation | None = None) -> int:
        """Bytes of an offset in volumes that do not tell, and in new ones.

        As the option says, else as most volumes of the location or of the store, else as advised,
        else 5: a ``weed`` that takes a directory over has one width for all of its volumes.
        """
        if self._chosen_offset_width is not None:
            return self._chosen_offset_width
        width = self._placement.neighbours_offset_width(location) or self._advised_offset_width
        if width is None:
            width = self._advised_offset_width = self.ask_offset_width() or OFFSET_WIDTH_DEFAULT
        return width

    # --- adding -------------------------------------------------------------------------------

    def add_volume(
        self,
        volume_id: int,
        collection: str,
        replica_placement: ReplicaPlacement,
        ttl: TTL,
        *,
        preallocate: int = 0,
        disk_type: str = "",
        version: int = 3,
    ) -> Volume:
        """Creates an empty volume where there is room and announces it (AddVolume).

        ``preallocate`` is in bytes.  :exc:`VolumeExistsError`, :exc:`NoSpaceError`, or
        :exc:`StorageError` when its files cannot be made.
        """
        if "/" in collection or "\0" in collection:
            raise StorageError(f"invalid collection name {collection!r}: it would be no file name")
        with self._locks.hold(volume_id), self._placing:
            if self.table.find(volume_id) is not None or volume_id in self._receiving:
                raise VolumeExistsError(f"Volume Id {volume_id} already exists!")
            location = self._placement.for_new_volume(disk_type)
            volume = self._create_volume(
                location.directory,
                location.index_directory,
                collection,
                volume_id,
                replica_placement=replica_placement,
                ttl=ttl,
                version=version,
                offset_width=self.usual_offset_width(location),
                preallocate=preallocate,
            )
            self._loader.register(location, volume)
            self._announce(event_of("new", volume))
            return volume

    def mount_volume(self, volume_id: int, collection: str | None = None) -> None:
        """Loads a volume from the disk and announces it, also when it was there already.

        ``collection`` is a hint where to look first; a wrong one is harmless.
        :exc:`StorageError` when no location has it.
        """
        with self._locks.hold(volume_id):
            for location in self.locations:
                volume = self.table.copy_on(location.disk_id, volume_id)
                if volume is None:
                    volume = self._loader.mount(location, volume_id, collection)
                if volume is not None:
                    # The master must not hear of a volume that the next heartbeat leaves out.
                    if not volume.unavailable:
                        self._announce(event_of("new", volume))
                    return
        damage = self._loader.damage_of(volume_id)
        reason = f": {damage}" if damage else ""
        raise StorageError(f"volume {volume_id} not found on disk{reason}")

    @contextmanager
    def receiving(self, volume_id: int) -> Iterator[None]:
        """While a copy of a volume is on its way here, the one that it will replace takes no change.

        :exc:`VolumeExistsError` when another one is on its way already.
        """
        with self._locks.hold(volume_id):
            if volume_id in self._receiving:
                raise VolumeExistsError(
                    f"volume {volume_id} is being copied to this server already"
                )
            self._receiving.add(volume_id)
            for volume in self.table.copies(volume_id):
                volume.set_being_replaced(True)
        try:
            yield
        finally:
            with self._locks.hold(volume_id):
                self._receiving.discard(volume_id)
                for volume in self.table.copies(volume_id):
                    volume.set_being_replaced(False)

    def _prepare_loaded(self, volume: Volume) -> None:
        """One that is mounted while its successor is on its way would lose what it takes."""
        if volume.id in self._receiving:
            volume.set_being_replaced(True)

    def adopt_volume(
        self, incoming: IncomingVolume, note: str, check: Callable[[Volume], None]
    ) -> None:
        """Mounts a volume that came whole, in the place of every copy that is here, and announces it.

        Somebody answers reads all the time.  ``note`` tells an operator what a crash broke off;
        ``check`` raises :exc:`StorageError` when it is not what was sent.  :exc:`StorageError`: the
        old copies are as they were, or, after an error of the disk in the middle, none is mounted and
        the new one waits for the next mount.
        """
        with self._locks.hold(incoming.volume_id):
            old = self.table.copies(incoming.volume_id)
            gone = [event_of("deleted", volume) for volume in old]
            try:
                self._open_where_it_lies(incoming, check)
                with self._retired(old):
                    plan = incoming.declare_complete(note, [volume.files for volume in old])
            except StorageError:
                incoming.discard()
                raise
            try:
                volume = self._put_in_place(incoming, plan)
            except StorageError:
                # Their files are going: what they took from now on would go with them.
                for copy in old:
                    self.table.remove(copy)
                    copy.close()
                raise
            finally:
                for event in gone:
                    self._announce(event)
            self._announce(event_of("new", volume))
        if old:
            time.sleep(REPLACED_LINGER_SECONDS)  # whoever found one of them ends its request
        for volume in old:
            volume.close()

    def _open_where_it_lies(
        self, incoming: IncomingVolume, check: Callable[[Volume], None]
    ) -> None:
        staged = incoming.staged
        volume = self._open_volume(
            staged.directory,
            staged.index_directory,
            staged.collection,
            staged.volume_id,
            default_offset_width=self.usual_offset_width(),
        )
        try:
            check(volume)
        finally:
            volume.close()

    @contextmanager
    def _retired(self, old: Sequence[Volume]) -> Iterator[None]:
        """They go on serving if what is done within cannot be done."""
        done = []
        try:
            for volume in old:
                volume.retire()
                done.append(volume)
            yield
        except BaseException:
            for volume in done:
                try:
                    volume.revive()
                    self.table.refresh(volume)
                except StorageError as error:
                    log.error("volume %d: %s", volume.id, error)
            raise

    def _put_in_place(self, incoming: IncomingVolume, plan: Replacement) -> Volume:
        files = incoming.files
        try:
            plan.put_in_place(files)
        except OSError as error:
            raise StorageError(
                f"put volume {files.volume_id} in place: {reason_of(error)}; "
                "the next mount goes on with it"
            ) from error
        volume = self._loader.replace(incoming.location, files.collection, files.volume_id)
        if volume is None:
            damage = self._loader.damage_of(files.volume_id)
            raise StorageError(damage or f"volume {files.volume_id} not found on disk")
        return volume

    # --- removing -----------------------------------------------------------------------------

    def unmount_volume(self, volume_id: int) -> None:
        """Closes every copy of a volume, waiting for its vacuum; the files stay.

        An absent volume is fine.
        """
        self._remover.unmount(volume_id)

    def delete_volume(
        self,
        volume_id: int,
        *,
        only_empty: bool = False,
        only_garbage: bool = False,
        keep_remote_data: bool = False,
    ) -> None:
        """Destroys every copy of a volume.

        With a condition nothing is destroyed unless every copy meets one of those given.
        ``keep_remote_data`` leaves the object of a tiered volume in its store: another server has
        the volume, too.
        :exc:`VolumeNotFoundError`, :exc:`VolumeNotEmptyError`, or :exc:`StorageError` when copies
        could not be destroyed, for example because they are being vacuumed.
        """
        self._remover.delete(
            volume_id,
            only_empty=only_empty,
            only_garbage=only_garbage,
            keep_remote_data=keep_remote_data,
        )

    def delete_collection(self, name: str) -> None:
        """Destroys all volumes of exactly this collection; ``""`` is the default one, too.

        Volumes under vacuum are passed over.  :exc:`StorageError` after the first location where
        something failed; later locations are not touched then.
        """
        self._remover.delete_collection(name)
        self.on_collection_deleted(name)

    # --- changing -----------------------------------------------------------------------------

    def mark_volume_read_only(self, volume_id: int, *, can_delete: bool, persist: bool) -> None:
        """Stops writes, and deletes unless they are allowed.

        :exc:`VolumeNotFoundError`, :exc:`StorageError` when the mark cannot be persisted.
        """
        with self._locks.hold(volume_id):
            volume = self.get_volume(volume_id)
            volume.mark_read_only(can_delete=can_delete, persist=persist)
            # It may have opened its files anew, so that deletes can be written.
            self.table.refresh(volume)

    def mark_volume_writable(self, volume_id: int) -> None:
        """Takes the read-only marks away.

        :exc:`VolumeNotFoundError`, :exc:`StorageError` when the volume cannot take writes.
        """
        with self._locks.hold(volume_id):
            volume = self.get_volume(volume_id)
            volume.mark_writable()
            # It may have opened its files anew.
            self.table.refresh(volume)

    def commit_vacuum(self, volume: Volume) -> None:
        """Puts a volume's vacuumed files in use.  :exc:`StorageError`: see the volume's method."""
        with self._locks.hold(volume.id):
            volume.commit_compaction()
            self.table.refresh(volume)

    def replace_data(self, volume: Volume, go_over: Callable[[], None]) -> None:
        """Has a volume go over to data elsewhere; :exc:`StorageError` as ``go_over`` raises it."""
        with self._locks.hold(volume.id):
            try:
                go_over()
            finally:
                self.table.refresh(volume)

    def configure_volume(self, volume_id: int, replication: str) -> None:
        """Writes a replication into the ``.vif`` of an unmounted volume (ConfigureVolume).

        The text is stored as given; ``""`` means: as the super block says.  :exc:`StorageError`.
        """
        with self._locks.hold(volume_id):
            for location in self.locations:
                for found in find_volume(location.directory, volume_id):
                    files = location.files(found.collection, volume_id)
                    _store_replication(files.data(file_names.VIF), volume_id, replication)
                    return
        raise StorageError(f"volume {volume_id} not found on disk")

    def consolidate_index(self, volume_id: int) -> None:
        """Moves an index that lies beside its data to the index directory (ConsolidateVolumeIndex).

        The volume is read and written as before.  :exc:`VolumeNotFoundError`, :exc:`StorageError`.
        """
        with self._locks.hold(volume_id):
            volume = self.table.find(volume_id)
            if volume is None:
                raise VolumeNotFoundError(f"volume {volume_id} not found on disk")
            if volume.consolidate_index():
                self.table.refresh(volume)

    def _announce(self, event: VolumeEvent) -> None:
        self.on_volume_event(event)


def _store_replication(path: Path, volume_id: int, replication: str) -> None:
    try:
        info = volume_info.load(path) or volume_info.VolumeInfo()
        if info.problem:
            raise StorageError(f"volume {volume_id} failed to load vif: {info.problem}")
    except OSError as error:
        raise StorageError(f"volume {volume_id} failed to load vif: {reason_of(error)}") from error
    info.replication = replication
    try:
        volume_info.save(path, info)
    except OSError as error:
        raise StorageError(f"volume {volume_id} failed to save vif: {reason_of(error)}") from error


def _no_advice() -> int | None:
    """Who advises on offset widths is set later."""
    return None


def _ignore_collection(name: str) -> None:
    """Nobody keeps books about collections."""


def _ignore_event(event: VolumeEvent) -> None:
    """Who announces volumes is set later."""
