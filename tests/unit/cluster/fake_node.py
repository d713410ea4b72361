"""A node's store as the heartbeat sees it, with every answer settable."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fastvol.cluster.beats import NodeIdentity

NODE = NodeIdentity(
    ip="127.0.0.1",
    port=25040,
    grpc_port=25041,
    public_url="127.0.0.1:25040",
    id="127.0.0.1:25040",
    data_center="",
    rack="",
)
UUID = "d0e3a1c2-0000-4000-8000-00000000d72f"


def volume_report(volume_id: int, **fields: Any) -> SimpleNamespace:
    """What the store reports of one volume; everything but the id defaults to an empty volume."""
    values: dict[str, Any] = {
        "id": volume_id,
        "size": 8,
        "collection": "",
        "file_count": 0,
        "delete_count": 0,
        "deleted_byte_count": 0,
        "read_only": False,
        "replica_placement": 0,
        "version": 3,
        "ttl": 0,
        "compact_revision": 0,
        "modified_at_second": 1795333431,
        "remote_storage_name": "",
        "remote_storage_key": "",
        "disk_type": "",
        "disk_id": 0,
        "read_only_can_delete": False,
    }
    assert set(fields) <= set(values)
    return SimpleNamespace(**values | fields)


def volume_event(kind: str, volume_id: int, **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(kind=kind, volume=volume_report(volume_id, **fields))


class FakeStore:
    """The members of the store that a heartbeat touches."""

    def __init__(self) -> None:
        self.volumes: dict[int, SimpleNamespace] = {}
        self.max_volume_counts = {"": 16}
        self.on_volume_event: Callable[[Any], None] = lambda _: None
        self.volume_size_limit = 0
        self.preallocate = False
        self.state = SimpleNamespace(maintenance=False, version=0)
        self.max_changes = False
        self.adjustments: list[tuple[int, bool]] = []
        self.snapshot_threads: set[str] = set()
        self.before_snapshot: Callable[[], None] = lambda: None

    def adjust_volume_max(self) -> bool:
        self.adjustments.append((self.volume_size_limit, self.preallocate))
        return self.max_changes

    def heartbeat_snapshot(self, now: float) -> SimpleNamespace:
        assert now > 1e9, "seconds since the epoch"
        self.snapshot_threads.add(threading.current_thread().name)
        self.before_snapshot()
        return SimpleNamespace(
            volumes=list(self.volumes.values()),
            max_volume_counts=self.max_volume_counts,
            max_file_key=0,
            location_uuids=[UUID],
            disk_tags=[
                SimpleNamespace(disk_id=0, tags=["fast", "ssd"], type="", max_volume_count=16)
            ],
            disk_total_bytes={"": 270553174016},
            disk_free_bytes={"": 83219193856},
        )

    def put(self, volume_id: int, **fields: Any) -> None:
        self.volumes[volume_id] = volume_report(volume_id, **fields)
