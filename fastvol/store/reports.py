"""What a store tells about its volumes: identities, events, and the sample behind a heartbeat.

Field names are those of the master's messages.  Source of the rules:
``weed/storage/store.go: CollectHeartbeat``.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from fastvol.formats import file_names
from fastvol.formats.file_names import base_name
from fastvol.limits import UNLINKED_RECHECK_SECONDS
from fastvol.log_limiter import LogLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.volume_table import VolumeTable
    from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)
_per_beat = LogLimiter(log)


@dataclass(frozen=True, slots=True)
class VolumeIdentity:
    """A volume as short messages name it: placement as one byte, TTL as ``count << 8 | unit``."""

    id: int
    collection: str
    replica_placement: int
    version: int
    ttl: int
    disk_type: str
    disk_id: int
    read_only: bool
    read_only_can_delete: bool


@dataclass(frozen=True, slots=True)
class VolumeEvent:
    """A volume came or went."""

    kind: Literal["new", "deleted"]
    volume: VolumeIdentity


@dataclass(slots=True)
class VolumeReport:
    """A volume as heartbeats describe it; sizes in bytes, ``modified_at_second`` Unix time."""

    id: int
    size: int
    collection: str
    file_count: int
    delete_count: int
    deleted_byte_count: int
    read_only: bool
    replica_placement: int
    version: int
    ttl: int
    compact_revision: int
    modified_at_second: int
    remote_storage_name: str
    remote_storage_key: str
    disk_type: str
    disk_id: int
    read_only_can_delete: bool


@dataclass(frozen=True, slots=True)
class DiskTag:
    """A location as heartbeats describe it."""

    disk_id: int
    tags: tuple[str, ...]
    type: str
    max_volume_count: int


@dataclass(slots=True)
class HeartbeatSnapshot:
    """One sample of a store; the dicts go by disk type, sizes are in bytes."""

    volumes: list[VolumeReport] = field(default_factory=list)
    max_volume_counts: dict[str, int] = field(default_factory=dict)
    max_file_key: int = 0
    location_uuids: list[str] = field(default_factory=list)
    disk_tags: list[DiskTag] = field(default_factory=list)
    disk_total_bytes: dict[str, int] = field(default_factory=dict)
    disk_free_bytes: dict[str, int] = field(default_factory=dict)


def identity_of(volume: Volume) -> VolumeIdentity:
    """The volume's identity now."""
    return VolumeIdentity(
        id=volume.id,
        collection=volume.collection,
        replica_placement=volume.super_block.replica_placement.to_byte(),
        version=volume.version,
        ttl=volume.super_block.ttl.to_uint32(),
        disk_type=volume.disk_type,
        disk_id=volume.disk_id,
        read_only=volume.read_only,
        read_only_can_delete=_takes_deletes_only(volume),
    )


def event_of(kind: Literal["new", "deleted"], volume: Volume) -> VolumeEvent:
    """An announcement; what is gone is not read-only either."""
    identity = identity_of(volume)
    if kind == "deleted":
        identity = replace(identity, read_only=False, read_only_can_delete=False)
    return VolumeEvent(kind, identity)


def report_of(volume: Volume) -> VolumeReport:
    """The volume's full description now."""
    counters = volume.counters
    remote_name, remote_key = volume.remote_storage
    return VolumeReport(
        id=volume.id,
        size=volume.dat_size,
        collection=volume.collection,
        file_count=counters.file_count,
        delete_count=counters.deleted_count,
        deleted_byte_count=counters.deleted_size,
        read_only=volume.read_only,
        replica_placement=volume.super_block.replica_placement.to_byte(),
        version=volume.version,
        ttl=volume.super_block.ttl.to_uint32(),
        compact_revision=volume.super_block.compaction_revision,
        modified_at_second=volume.modified_at_second,
        remote_storage_name=remote_name,
        remote_storage_key=remote_key,
        disk_type=volume.disk_type,
        disk_id=volume.disk_id,
        read_only_can_delete=_takes_deletes_only(volume),
    )


def _takes_deletes_only(volume: Volume) -> bool:
    return volume.no_write_can_delete and not volume.no_write_or_delete


def is_local(volume: Volume) -> bool:
    """Whether the data lies on this machine's disk."""
    return not volume.remote_storage[0]


class HeartbeatSampler:
    """Takes samples; one thread at a time.  Destroys what its TTL has condemned on the way."""

    def __init__(
        self,
        locations: Sequence[DiskLocation],
        table: VolumeTable,
        destroy_expired: Callable[[Volume], None],
    ) -> None:
        self._locations = locations
        self._table = table
        self._destroy_expired = destroy_expired
        self._seen_on_disk: dict[tuple[int, int], float] = {}

    def sample(self, now: float, size_limit: int) -> HeartbeatSnapshot:
        """The store at Unix time ``now``; ``size_limit`` in bytes, 0 when not known."""
        snapshot = HeartbeatSnapshot()
        max_counts: dict[str, int] = defaultdict(int)
        total_bytes: dict[str, int] = defaultdict(int)
        free_bytes: dict[str, int] = defaultdict(int)
        for location in self._locations:
            snapshot.location_uuids.append(location.uuid)
            maximum = self._effective_max(location)
            snapshot.disk_tags.append(
                DiskTag(location.disk_id, location.tags, location.disk_type, maximum)
            )
            if location.space.unavailable:
                continue
            max_counts[location.disk_type] += maximum
            total_bytes[location.disk_type] += location.space.status.all
            free_bytes[location.disk_type] += location.space.status.free
            self._sample_volumes(location, snapshot, now, size_limit)
        snapshot.max_volume_counts = dict(max_counts)
        snapshot.disk_total_bytes = dict(total_bytes)
        snapshot.disk_free_bytes = dict(free_bytes)
        return snapshot

    def _effective_max(self, location: DiskLocation) -> int:
        if location.space.unavailable:
            return 0
        if location.space.low:
            return sum(map(is_local, self._table.on_disk(location.disk_id)))
        return max(0, location.max_volume_count)

    def _sample_volumes(
        self, location: DiskLocation, snapshot: HeartbeatSnapshot, now: float, size_limit: int
    ) -> None:
        for volume in self._table.on_disk(location.disk_id):
            snapshot.max_file_key = max(snapshot.max_file_key, volume.counters.max_file_key)
            if volume.expired(size_limit, now):
                if volume.expired_long_enough(now):
                    self._destroy_expired(volume)
                continue
            if volume.quarantined or volume.unavailable or self._is_unlinked(volume, now):
                continue
            snapshot.volumes.append(report_of(volume))

    def _is_unlinked(self, volume: Volume, now: float) -> bool:
        """Whether the data file was removed behind an open volume, which would die with us."""
        if volume.counters.file_count == 0 or not is_local(volume):
            return False
        key = (volume.disk_id, volume.id)
        if now - self._seen_on_disk.get(key, 0) < UNLINKED_RECHECK_SECONDS:
            return False
        base = base_name(volume.collection, volume.id)
        if not (volume.directory / (base + file_names.DAT)).exists():
            _per_beat.error(volume.directory, "volume %d: its data file is gone", volume.id)
            return True
        self._seen_on_disk[key] = now
        return False
