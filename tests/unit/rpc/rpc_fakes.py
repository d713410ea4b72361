"""A store, volumes and a server around them, small enough to see what a handler asks of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc

from fastvol.cluster.stub import Stub
from fastvol.errors import (
    NeedleDeletedError,
    NeedleNotFoundError,
    StorageError,
    VolumeClosedError,
    VolumeExistsError,
    VolumeNotFoundError,
)
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import VolumeInfo
from fastvol.rpc.admin import AdminHandlers
from fastvol.rpc.batch_delete import BatchDeleteHandlers
from fastvol.rpc.gates import Gates
from fastvol.rpc.needle import NeedleHandlers
from fastvol.rpc.node import NodeFacts, NodeHandlers
from fastvol.rpc.server import ControlPlane
from fastvol.rpc.service import VOLUME_SERVER, volume_server_handler
from fastvol.rpc.vacuum import VacuumHandlers
from fastvol.rpc.volume_status import VolumeStatusHandlers
from fastvol.store.vacuuming import Vacuuming

WAIT_SECONDS = 10


def needle(key: int, cookie: int, **fields: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        "id": key,
        "cookie": cookie,
        "size": 59,
        "checksum": 0x0A5358F2,
        "last_modified": 1795335350,
        "ttl": TTL(),
        "is_chunk_manifest": False,
    }
    return SimpleNamespace(**values | fields)


class FakeVolume:
    """One volume; ``needles`` maps keys to needles, None for a deleted one, or to an error."""

    def __init__(self, volume_id: int, collection: str = "") -> None:
        self.id = volume_id
        self.collection = collection
        self.disk_type = ""
        self.super_block = SimpleNamespace(
            version=3,
            replica_placement=ReplicaPlacement.parse("010"),
            ttl=TTL.parse("3m"),
            compaction_revision=2,
        )
        self.info = VolumeInfo(version=3, bytes_offset=5, read_only=True)
        self.version = 3
        self.dat_size = 96
        self.idx_size = 17
        self.modified_at_second = 1795333431
        self.counters = SimpleNamespace(file_count=4, deleted_count=1)
        self.read_only = False
        self.unavailable = False
        self.garbage = 0.25
        self.needles: dict[int, Any] = {}
        self.deletions: list[tuple[int, int, int]] = []

    @property
    def native(self) -> Any:
        raise VolumeClosedError("what C would decide is decided here")

    def read(self, key: int) -> Any:
        if key not in self.needles:
            raise NeedleNotFoundError("not found")
        found = self.needles[key]
        if found is None:
            raise NeedleDeletedError("already deleted")
        if isinstance(found, Exception):
            raise found
        return found

    def delete(self, key: int, cookie: int, checksum: int) -> int:
        self.deletions.append((key, cookie, checksum))
        found = self.needles.get(key)
        if isinstance(found, Exception):
            raise found
        self.needles[key] = None
        return found.size if found else 0

    def garbage_ratio(self) -> float:
        return self.garbage


class FakeState:
    def __init__(self) -> None:
        self.maintenance = False
        self.version = 0

    def update(self, maintenance: bool, version: int) -> None:
        if version != self.version:
            raise StorageError(
                f"version mismatch for VolumeServerState (got {self.version}, want {version})"
            )
        self.maintenance, self.version = maintenance, version + 1


class FakeStore:
    """Volumes in a dict; every order that reaches the store is noted in ``orders``."""

    def __init__(self) -> None:
        self.ip = "127.0.0.1"
        self.port = 23080
        self.server_id = "127.0.0.1:23080"
        self.left = False
        self.state = FakeState()
        self.volumes_by_id: dict[int, FakeVolume] = {}
        self.orders: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None

    def put(self, volume_id: int, collection: str = "") -> FakeVolume:
        volume = self.volumes_by_id[volume_id] = FakeVolume(volume_id, collection)
        return volume

    def _order(self, *order: Any) -> None:
        self.orders.append(order)
        if self.refusal is not None:
            raise self.refusal

    def find_volume(self, vid: int) -> FakeVolume | None:
        return self.volumes_by_id.get(vid)

    def get_volume(self, vid: int) -> FakeVolume:
        if vid not in self.volumes_by_id:
            raise VolumeNotFoundError(f"volume {vid} not found")
        return self.volumes_by_id[vid]

    def identity(self, volume: FakeVolume) -> SimpleNamespace:
        return SimpleNamespace(id=volume.id, collection=volume.collection)

    def add_volume(self, vid: int, *details: Any, **options: Any) -> FakeVolume:
        if vid in self.volumes_by_id:
            raise VolumeExistsError(f"Volume Id {vid} already exists!")
        self._order("add", vid, *details, options)
        return self.put(vid)

    def mount_volume(self, vid: int, collection: str | None = None) -> None:
        self._order("mount", vid, collection)

    def unmount_volume(self, vid: int) -> None:
        self._order("unmount", vid)

    def delete_volume(self, vid: int, **conditions: bool) -> None:
        self._order("delete", vid, conditions)

    def delete_collection(self, name: str) -> None:
        self._order("delete collection", name)

    def mark_volume_read_only(self, vid: int, **how: bool) -> None:
        self._order("read only", vid, how)

    def mark_volume_writable(self, vid: int) -> None:
        self._order("writable", vid)

    def disk_statuses(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                dir="/data",
                all=1000,
                used=250,
                free=750,
                percent_free=75.0,
                percent_used=25.0,
                disk_type="ssd",
                error="",
            )
        ]


class FakeMasters:
    """Notes what it is told, in the store's list of orders, so that the order is visible."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.refusals: dict[int, Exception] = {}  # by number of the notification
        self.known: dict[str, int | Exception] = {}
        self._count = 0

    async def notify_read_only(self, identity: Any, *, read_only: bool) -> None:
        self.store.orders.append(("master", identity.id, read_only))
        self._count += 1
        if self._count in self.refusals:
            raise self.refusals[self._count]

    def is_known(self, target: str) -> bool:
        return target in self.known

    async def ping(self, address: Any) -> int:
        clock = self.known[address.text]
        if isinstance(clock, Exception):
            raise clock
        return clock


class FakeHeartbeat:
    def __init__(self) -> None:
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1


class Node:
    """A served control plane over fakes, and a blocking client of it."""

    def __init__(self, *, cluster: bool = True) -> None:
        self.store = FakeStore()
        self.masters = FakeMasters(self.store)
        self.heartbeat = FakeHeartbeat()
        self.white_list: set[str] = set()
        gates = Gates(
            lambda ip: not self.white_list or ip in self.white_list,
            lambda: self.store.state.maintenance,
            self.store.server_id,
        )
        store: Any = self.store
        masters: Any = self.masters if cluster else None
        heartbeat: Any = self.heartbeat if cluster else None
        facts = NodeFacts(version="8000GB 4.48 fastvol", data_center="dc1", rack="r1")
        self.handler = volume_server_handler(
            gates,
            AdminHandlers(store, masters, gates).table(),
            NodeHandlers(store, masters, heartbeat, facts).table(),
            VolumeStatusHandlers(store).table(),
            NeedleHandlers(store).table(),
            BatchDeleteHandlers(store).table(),
            VacuumHandlers(store, Vacuuming(store)).table(),
        )
        self.plane = ControlPlane("127.0.0.1", 0)

    def call(self, name: str, request: Any) -> Any:
        """Response of a unary method."""
        return getattr(self.stub, name)(request, timeout=WAIT_SECONDS)

    def refusal(self, name: str, request: Any) -> tuple[grpc.StatusCode, str]:
        """Code and text of a call that must fail."""
        try:
            answer = getattr(self.stub, name)(request, timeout=WAIT_SECONDS)
            if VOLUME_SERVER.methods_by_name[name].server_streaming:
                answer = list(answer)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError(f"{name} answered {answer}")


@contextmanager
def serving(node: Node) -> Iterator[Node]:
    node.plane.start()
    try:
        node.plane.serve(node.handler)
        with grpc.insecure_channel(f"127.0.0.1:{node.plane.port}") as channel:
            node.stub = Stub(channel, VOLUME_SERVER)
            node.channel = channel
            yield node
    finally:
        node.plane.stop(0)
