"""Families about volumes and disks, read from the store when they are asked for.

Upstream sets most of them with each heartbeat; here they are never older than the scrape.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.limits import METRICS_SLICE_VOLUMES
from fastvol.observability.families import Sample, counter, gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.core import Metric

    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

_READ_ONLY_TYPES: Final = (
    ("IsReadOnly", "read_only"),
    ("noWriteOrDelete", "no_write_or_delete"),
    ("noWriteCanDelete", "no_write_can_delete"),
    ("isDiskSpaceLow", "disk_space_low"),
)


@dataclass(slots=True)
class _Collection:
    """Sums over the volumes of one collection; bytes."""

    volumes: int = 0
    sound: int = 0
    """Those that are neither quarantined nor unavailable."""
    size: int = 0
    deleted: int = 0
    read_only: list[int] | None = None

    def add(self, volume: Volume) -> None:
        self.volumes += 1
        if volume.quarantined or volume.unavailable:
            return
        self.sound += 1
        stat = volume.stat()
        self.size += stat.dat_size
        self.deleted += stat.deleted_size
        if volume.read_only:
            marks = [bool(getattr(volume, name)) for _, name in _READ_ONLY_TYPES]
            before = self.read_only or [0] * len(marks)
            self.read_only = [a + b for a, b in zip(before, marks, strict=True)]


class StoreCollector:
    """Registered with a ``CollectorRegistry``; any thread may collect."""

    def __init__(self, store: Store, count_io_errors: Callable[[], int]) -> None:
        self._store = store
        self._count_io_errors = count_io_errors
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        """Collections whose ``volumes`` series stays, with 0, when they have none any more."""
        store.on_collection_deleted = self.forget

    def forget(self, collection: str) -> None:
        """A collection was deleted as a whole: it has no series any more."""
        with self._lock:
            self._seen.discard(collection)

    def collect(self) -> Iterable[Metric]:
        """All families; lets other threads go on between the volumes."""
        volumes = self._store.volumes()
        with self._lock:
            collections = self._sum_up(volumes)
        sick = sum(volume.quarantined or volume.unavailable for volume in volumes)
        yield from _collection_families(collections)
        yield gauge(
            "io_quarantine",
            "Volumes and shards that are out of service.",
            [({"kind": "volume"}, sick), ({"kind": "ec_shard"}, 0)],
        )
        yield counter(
            "storage_io_error_total",
            "Reads and writes that a disk failed.",
            [({}, self._count_io_errors())],
        )
        yield from _disk_families(self._store.locations)

    def _sum_up(self, volumes: Sequence[Volume]) -> dict[str, _Collection]:
        sums: defaultdict[str, _Collection] = defaultdict(_Collection)
        for number, volume in enumerate(volumes, 1):
            sums[volume.collection].add(volume)
            if number % METRICS_SLICE_VOLUMES == 0:
                time.sleep(0)  # the event loop must not wait for all of them
        self._seen.update(sums)
        for collection in self._seen:
            _ = sums[collection]
        return dict(sums)


def _collection_families(collections: dict[str, _Collection]) -> Iterable[Metric]:
    volumes: list[Sample] = []
    sizes: list[Sample] = []
    read_only: list[Sample] = []
    for name, sums in sorted(collections.items()):
        volumes.append(({"collection": name, "type": "volume"}, sums.volumes))
        if not sums.sound:
            continue
        sizes.append(({"collection": name, "type": "normal"}, sums.size))
        sizes.append(({"collection": name, "type": "deleted_bytes"}, sums.deleted))
        marks = sums.read_only or [0] * len(_READ_ONLY_TYPES)
        read_only += [
            ({"collection": name, "type": kind}, mark)
            for (kind, _), mark in zip(_READ_ONLY_TYPES, marks, strict=True)
        ]
    yield gauge("volumes", "Volumes that are loaded.", volumes)
    yield gauge("total_disk_size", "Bytes of data files, and of what is garbage in them.", sizes)
    yield gauge("read_only_volumes", "Volumes that take no writes, by reason.", read_only)


def _disk_families(locations: Sequence[DiskLocation]) -> Iterable[Metric]:
    resources: list[Sample] = []
    errors: list[Sample] = []
    for location in locations:
        name, status = str(location.directory), location.space.status
        if not (status.all or location.space.unavailable):
            continue  # the store is not loaded yet
        figures = {
            "all": status.all,
            "used": status.used,
            "free": status.free,
            "avail": location.space.available_bytes,
        }
        resources += [({"name": name, "type": kind}, size) for kind, size in figures.items()]
        errors.append(({"name": name, "type": "error"}, int(location.space.unavailable)))
    maximum = sum(max(0, location.max_volume_count) for location in locations)
    yield gauge("max_volumes", "Volumes that there is room for.", [({}, maximum)])
    yield gauge("resource", "Bytes of the disk under a data directory.", resources)
    yield gauge("disk_error_status", "Whether a data directory fails.", errors)
