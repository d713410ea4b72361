"""The messages of the heartbeat stream, built from the store's state.

Four kinds exist. The *volume beat* describes the whole node and carries the volume list or what
changed in it; the *EC beat* carries erasure-coded shards and nothing else; a *delta beat*
announces volumes that came or went this moment; the *farewell* empties the node. Source:
weed/storage/store.go: CollectHeartbeat; weed/server/volume_grpc_client_to_master.go.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from fastvol.cluster.report_state import ReportState
from fastvol.cluster.volume_digest import VolumeHasher, digest
from fastvol.pb import master_pb2, volume_server_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastvol.store.store import (
        HeartbeatSnapshot,
        Store,
        VolumeEvent,
        VolumeIdentity,
        VolumeReport,
    )

_VOLUME_FIELDS: Final = tuple(
    field.name for field in master_pb2.VolumeInformationMessage.DESCRIPTOR.fields
)
_IDENTITY_FIELDS: Final = (
    "id",
    "collection",
    "replica_placement",
    "version",
    "ttl",
    "disk_type",
    "disk_id",
)
_NEW_VOLUME_FIELDS: Final = (*_IDENTITY_FIELDS, "read_only", "read_only_can_delete")

_volume_values = attrgetter(*_VOLUME_FIELDS)
_identity_values = attrgetter(*_IDENTITY_FIELDS)
_new_volume_values = attrgetter(*_NEW_VOLUME_FIELDS)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who this server is to the cluster: the fixed part of every volume beat."""

    ip: str
    port: int
    """Admin HTTP port."""
    grpc_port: int
    public_url: str
    id: str
    data_center: str
    rack: str


class BeatBuilder:
    """Builds the beats of one stream; ``report`` remembers what this stream was told."""

    def __init__(self, node: NodeIdentity, store: Store):
        self.report = ReportState()
        self._node = node
        self._store = store
        self._hasher = VolumeHasher()

    async def volume_beat(self, *, force_full: bool = False) -> master_pb2.Heartbeat:
        """The periodic beat: full list or changes, as ``report`` demands.

        Sampling the store may touch the disks (and destroys expired volumes), so it runs on a
        thread; the rest is quick.
        """
        full = self.report.begin(force_full=force_full)
        snapshot = await asyncio.to_thread(self._store.heartbeat_snapshot, time.time())
        hashes = self._hasher.hash_all(snapshot.volumes)
        listed = [
            volume_message(report)
            for report, value in zip(snapshot.volumes, hashes, strict=True)
            if self.report.record(report, value) or full
        ]
        gone = self.report.commit()

        beat = self._node_beat(snapshot)
        beat.volume_digest = digest(hashes)
        if full:
            beat.volumes.extend(listed)
            # An empty list of changes says nothing; an empty full list empties the node.
            beat.has_no_volumes = not listed
        else:
            beat.changed_volumes.extend(listed)
            beat.deleted_volumes.extend(deleted_volume_message(report) for report in gone)
        return beat

    def ec_beat(self) -> master_pb2.Heartbeat:
        """The list of erasure-coded shards. It carries no address: the stream is the address."""
        return master_pb2.Heartbeat(has_no_ec_shards=True)

    def delta_beat(self, events: Sequence[VolumeEvent]) -> master_pb2.Heartbeat:
        """What just happened. All ``events`` are of one kind, so that no order is lost."""
        kinds = {event.kind for event in events}
        assert len(kinds) == 1, f"a delta beat of {kinds}"
        node = self._node
        beat = master_pb2.Heartbeat(
            ip=node.ip, port=node.port, data_center=node.data_center, rack=node.rack
        )
        if kinds == {"new"}:
            beat.new_volumes.extend(new_volume_message(event.volume) for event in events)
        else:
            beat.deleted_volumes.extend(deleted_volume_message(event.volume) for event in events)
        return beat

    def farewell(self) -> master_pb2.Heartbeat:
        """The last beat of a server that leaves: it has no volumes any more."""
        node = self._node
        return master_pb2.Heartbeat(
            ip=node.ip,
            port=node.port,
            public_url=node.public_url,
            data_center=node.data_center,
            rack=node.rack,
            has_no_volumes=True,
        )

    def _node_beat(self, snapshot: HeartbeatSnapshot) -> master_pb2.Heartbeat:
        node = self._node
        return master_pb2.Heartbeat(
            ip=node.ip,
            port=node.port,
            grpc_port=node.grpc_port,
            public_url=node.public_url,
            id=node.id,
            data_center=node.data_center,
            rack=node.rack,
            max_volume_counts=snapshot.max_volume_counts,
            max_file_key=snapshot.max_file_key,
            location_uuids=snapshot.location_uuids,
            disk_total_bytes=snapshot.disk_total_bytes,
            disk_free_bytes=snapshot.disk_free_bytes,
            disk_tags=[
                master_pb2.DiskTag(
                    disk_id=tag.disk_id,
                    tags=tag.tags,
                    type=tag.type,
                    max_volume_count=tag.max_volume_count,
                )
                for tag in snapshot.disk_tags
            ],
            state=volume_server_pb2.VolumeServerState(
                maintenance=self._store.state.maintenance, version=self._store.state.version
            ),
            has_no_ec_shards=True,
        )


def volume_message(report: VolumeReport) -> master_pb2.VolumeInformationMessage:
    """The full description of one volume."""
    return master_pb2.VolumeInformationMessage(
        **dict(zip(_VOLUME_FIELDS, _volume_values(report), strict=True))
    )


def new_volume_message(volume: VolumeIdentity) -> master_pb2.VolumeShortInformationMessage:
    """Announcement of a volume that came."""
    return master_pb2.VolumeShortInformationMessage(
        **dict(zip(_NEW_VOLUME_FIELDS, _new_volume_values(volume), strict=True))
    )


def deleted_volume_message(
    volume: VolumeIdentity | VolumeReport,
) -> master_pb2.VolumeShortInformationMessage:
    """Announcement of a volume that went.

    The master finds the layout to take it from by these fields, so all must be as registered.
    """
    return master_pb2.VolumeShortInformationMessage(
        **dict(zip(_IDENTITY_FIELDS, _identity_values(volume), strict=True))
    )
