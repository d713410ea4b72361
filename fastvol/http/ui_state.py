"""What the status page shows, taken from the store at one moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastvol.formats import disk_type
from fastvol.limits import STATUS_PAGE_CACHE_SECONDS
from fastvol.version import full_version

if TYPE_CHECKING:
    from fastvol.observability.activity import Activity, ActivityReport
    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.loading import DamagedVolume
    from fastvol.store.store import Store
    from fastvol.volume.reasons import ReadOnlyReason
    from fastvol.volume.volume import Volume

WRITABLE = "writable"


@dataclass(frozen=True, slots=True)
class VolumeRow:
    """One volume; sizes in bytes, times in Unix seconds."""

    id: int
    collection: str
    disk_id: int
    disk_type: str
    size: int
    """Bytes of everything written, garbage included."""
    file_size: int
    files: int
    trash_files: int
    trash: int
    ttl: str
    ttl_minutes: int
    state: str
    """``writable``, ``read-only``, ``deletes only``, ``quarantined`` or ``unavailable``."""
    reasons: tuple[ReadOnlyReason, ...]
    compacting: bool
    version: int
    map_kind: str
    map_memory: int
    modified: int
    remote: tuple[str, str]
    """Backend and object key; empty for a volume on a disk of this server."""

    @classmethod
    def of(cls, volume: Volume) -> VolumeRow:
        """A volume now."""
        stat = volume.stat()
        return cls(
            id=volume.id,
            collection=volume.collection,
            disk_id=volume.disk_id,
            disk_type=disk_type.readable(volume.disk_type),
            size=stat.content_size,
            file_size=stat.dat_size,
            files=stat.file_count,
            trash_files=stat.deleted_count,
            trash=stat.deleted_size,
            ttl=str(volume.ttl),
            ttl_minutes=volume.ttl.minutes,
            state=_state_of(volume),
            reasons=tuple(_reasons_of(volume)),
            compacting=volume.compacting,
            version=volume.version,
            map_kind=volume.map_kind,
            map_memory=stat.map_memory,
            modified=stat.modified_second,
            remote=volume.remote_storage,
        )


def _state_of(volume: Volume) -> str:
    if volume.unavailable:
        return "unavailable"
    if volume.quarantined:
        return "quarantined"
    if volume.read_only_can_delete:
        return "deletes only"
    return "read-only" if volume.read_only else WRITABLE


def _reasons_of(volume: Volume) -> Sequence[ReadOnlyReason]:
    return volume.read_only_reasons if volume.read_only else ()


@dataclass(frozen=True, slots=True)
class DiskRow:
    """One data directory; the figures are those of the last check."""

    id: int
    directory: str
    type: str
    total: int
    used: int
    free: int
    volumes: int
    volumes_max: int
    low: bool
    failed: bool

    @property
    def percent_used(self) -> float:
        """0 for a disk that tells nothing."""
        return 100 * self.used / self.total if self.total else 0.0

    @classmethod
    def of(cls, location: DiskLocation, volumes: int) -> DiskRow:
        """A location now; its file system is not asked, because it might not answer."""
        status = location.space.status
        return cls(
            id=location.disk_id,
            directory=str(location.directory),
            type=disk_type.readable(location.disk_type),
            total=status.all,
            used=status.used,
            free=status.free,
            volumes=volumes,
            volumes_max=max(0, location.max_volume_count),
            low=location.space.low,
            failed=location.space.unavailable,
        )


@dataclass(frozen=True, slots=True)
class ShardsRow:
    """The shards of one erasure-coded volume that are here: number and bytes of each."""

    id: int
    collection: str
    shards: tuple[tuple[int, int], ...]
    created: int
    """Unix seconds, 0 when not known."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(size for _, size in self.shards)


@dataclass(frozen=True, slots=True)
class ServerState:
    """Everything at one moment; ``taken`` and ``started`` are Unix seconds."""

    taken: float
    started: float
    version: str
    address: str
    masters: tuple[str, ...]
    notices: tuple[str, ...]
    """What is unusual about the server as a whole."""
    healthy: bool
    volume_size_limit: int
    """Bytes, 0 when not known."""
    disks: tuple[DiskRow, ...]
    volumes: tuple[VolumeRow, ...]
    shards: tuple[ShardsRow, ...]
    damaged: tuple[DamagedVolume, ...]
    activity: ActivityReport | None

    @property
    def uptime(self) -> float:
        """Seconds."""
        return max(0.0, self.taken - self.started)


@dataclass
class StateTaker:
    """Takes the state when it is asked for, at most once in a while; for any number of threads.

    ``activity`` is None while nobody counts requests; ``shards`` tells of erasure-coded volumes.
    """

    store: Store
    address: str
    masters: tuple[str, ...]
    offset_width: int
    activity: Activity | None = None
    shards: Callable[[], Sequence[ShardsRow]] = tuple
    started: float = field(default_factory=time.time)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: ServerState | None = None
    _last_at: float = 0

    def take(self) -> ServerState:
        """The state, up to :data:`STATUS_PAGE_CACHE_SECONDS` old."""
        with self._lock:
            now = time.monotonic()
            if self._last is None or now - self._last_at >= STATUS_PAGE_CACHE_SECONDS:
                self._last = self._take()
                self._last_at = now
            return self._last

    def _take(self) -> ServerState:
        store = self.store
        return ServerState(
            taken=time.time(),
            started=self.started,
            version=full_version(self.offset_width),
            address=self.address,
            masters=self.masters,
            notices=tuple(self._notices()),
            healthy=store.healthy(),
            volume_size_limit=store.volume_size_limit,
            disks=tuple(
                DiskRow.of(location, store.table.count(location.disk_id))
                for location in store.locations
            ),
            volumes=tuple(VolumeRow.of(volume) for volume in store.volumes()),
            shards=tuple(self.shards()),
            damaged=tuple(store.damaged),
            activity=self.activity.report() if self.activity is not None else None,
        )

    def _notices(self) -> list[str]:
        store = self.store
        found = []
        if store.stopping:
            found.append("The server is stopping.")
        if store.left:
            found.append("The server has left its cluster: no master counts on it.")
        if store.state.maintenance:
            found.append("Maintenance mode: administrative changes are refused.")
        return found
