"""File ids and volumes of a node without a master (``fastvol serve``).

Needle ids ascend; the first one after a start lies above every id that the volumes have seen. Each
collection and TTL has one volume that takes new objects; when it is full, the next one is created.
The files are those of a cluster member, so the directory can be given to a cluster later.
"""

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastvol.errors import InvalidRequestError, NoSpaceError, VolumeExistsError
from fastvol.formats.file_id import format_file_id
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.pb import master_pb2
from fastvol.store.store import Store
from fastvol.volume.volume import Volume, WouldWaitError

_COUNT_MAX: Final = 1 << 32
_CREATE_ATTEMPTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Assignment:
    """``count`` ids, the first being ``fid``; the others are ``fid_1``, ``fid_2`` …"""

    fid: str
    count: int


class SingleNodeAssigner:
    """Hands out file ids and grows volumes; may be called from any thread."""

    def __init__(self, store: Store, volume_size_max: int) -> None:
        """``volume_size_max``: bytes at which a volume takes no new objects."""
        self._store = store
        self._volume_size_max = volume_size_max
        self._lock = threading.Lock()
        self._next_key = 1 + max((v.counters.max_file_key for v in store.volumes()), default=0)

    def assign(
        self, count: int, collection: str, ttl: TTL, replication: str, *, nowait: bool = False
    ) -> Assignment:
        """The next ``count`` ids in a volume that has room.

        Raises:
            WouldWaitError: a volume must be created first; only with ``nowait``.
            InvalidRequestError: the request cannot be served by one node.
            NoSpaceError, StorageError: no volume has room and none can be created.
        """
        if not 1 <= count <= _COUNT_MAX:
            raise InvalidRequestError(f"count {count} is not between 1 and {_COUNT_MAX}")
        _check_placement(replication)
        if "/" in collection or "\\" in collection or collection in (".", ".."):
            raise InvalidRequestError(f"invalid collection name {collection!r}")
        if not self._lock.acquire(blocking=not nowait):
            raise WouldWaitError("a volume is being created")
        try:
            volume = self._writable_volume(collection, ttl)
            if volume is None:
                if nowait:
                    raise WouldWaitError("a volume has to be created")
                volume = self._grow(collection, ttl)
            key = max(self._next_key, volume.counters.max_file_key + 1)
            self._next_key = key + count
        finally:
            self._lock.release()
        cookie = secrets.randbits(32)
        return Assignment(format_file_id(volume.id, key, cookie), count)

    def _writable_volume(self, collection: str, ttl: TTL) -> Volume | None:
        for volume in self._store.volumes():
            if (
                volume.collection == collection
                and volume.ttl == ttl
                and not volume.read_only
                and volume.super_block.replica_placement.copy_count == 1
                and volume.dat_size < self._volume_size_max
            ):
                return volume
        return None

    def _grow(self, collection: str, ttl: TTL) -> Volume:
        volume_id = max((volume.id for volume in self._store.volumes()), default=0) + 1
        for attempt in range(_CREATE_ATTEMPTS):
            try:
                return self._store.add_volume(
                    volume_id + attempt, collection, ReplicaPlacement.parse("000"), ttl
                )
            except VolumeExistsError:
                continue  # files of a volume that could not be loaded: not ours to touch
        raise NoSpaceError(f"no free volume id from {volume_id} on")


def _check_placement(replication: str) -> None:
    try:
        placement = ReplicaPlacement.parse(replication or "000")
    except ValueError as error:
        raise InvalidRequestError(str(error)) from None
    if placement.copy_count != 1:
        raise InvalidRequestError(
            f"replication {replication} needs {placement.copy_count} servers; "
            "a single node keeps one copy (000)"
        )


class SingleNodeLookup:
    """Knows where the volumes of a single node are; see :class:`fastvol.cluster.locations.Lookup`."""

    def __init__(self, store: Store, *, address: str, grpc_port: int) -> None:
        self._store = store
        self._address = address
        self._grpc_port = grpc_port

    async def lookup_volume(
        self,
        volume_ids: Iterable[int],
        *,
        timeout_seconds: float | None = None,  # noqa: ARG002 - there is nothing to wait for
    ) -> master_pb2.LookupVolumeResponse:
        """Here, or nowhere."""
        answer = master_pb2.LookupVolumeResponse()
        for volume_id in volume_ids:
            entry = answer.volume_id_locations.add(volume_or_file_id=str(volume_id))
            if self._store.find_volume(volume_id) is None:
                entry.error = f"volume id {volume_id} not found"
            else:
                entry.locations.add(
                    url=self._address, public_url=self._address, grpc_port=self._grpc_port
                )
        return answer
