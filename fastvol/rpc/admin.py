"""Volumes come, go and change their mode: what masters and ``weed shell`` order.

Source: weed/server/volume_grpc_admin.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastvol.cluster.master_client import MasterClient
from fastvol.errors import (
    InvalidRequestError,
    StorageError,
    VolumeExistsError,
    VolumeNotFoundError,
)
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.gates import Gates
from fastvol.rpc.go_message import go_text
from fastvol.rpc.service import Handler
from fastvol.rpc.status import wrap

if TYPE_CHECKING:
    from fastvol.store.store import Store, VolumeIdentity

_NEEDLE_VERSIONS: Final = (1, 2, 3)

log = logging.getLogger(__name__)


class AdminHandlers:
    """Handlers over ``store``; ``masters`` None is a node that has no master to tell."""

    def __init__(self, store: Store, masters: MasterClient | None, gates: Gates):
        self._store = store
        self._masters = masters
        self._gates = gates

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "AllocateVolume": self.allocate_volume,
            "VolumeMount": self.mount_volume,
            "VolumeUnmount": self.unmount_volume,
            "VolumeConfigure": self.configure_volume,
            "VolumeConsolidateIndex": self.consolidate_index,
            "VolumeDelete": self.delete_volume,
            "DeleteCollection": self.delete_collection,
            "VolumeMarkReadonly": self.mark_read_only,
            "VolumeMarkWritable": self.mark_writable,
        }

    def allocate_volume(self, request: pb.AllocateVolumeRequest) -> pb.AllocateVolumeResponse:
        """Create an empty volume."""
        try:
            replica_placement = ReplicaPlacement.parse(request.replication)
            ttl = TTL.parse(request.ttl)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error
        if request.version not in _NEEDLE_VERSIONS:
            # Checked before the store makes files for it; an existing volume still goes first.
            if self._store.find_volume(request.volume_id) is not None:
                raise VolumeExistsError(f"Volume Id {request.volume_id} already exists!")
            raise InvalidRequestError(
                f"volume super block version {request.version} is not supported"
            )
        self._store.add_volume(
            request.volume_id,
            request.collection,
            replica_placement,
            ttl,
            preallocate=request.preallocate,
            disk_type=request.disk_type,
            version=request.version,
        )
        return pb.AllocateVolumeResponse()

    def mount_volume(self, request: pb.VolumeMountRequest) -> pb.VolumeMountResponse:
        """Load a volume from its files; announces a mounted one again."""
        hint = request.collection if request.HasField("collection") else None
        self._store.mount_volume(request.volume_id, hint)
        return pb.VolumeMountResponse()

    def unmount_volume(self, request: pb.VolumeUnmountRequest) -> pb.VolumeUnmountResponse:
        """Close a volume on all disks and keep its files; waits for a running vacuum."""
        self._store.unmount_volume(request.volume_id)
        return pb.VolumeUnmountResponse()

    def configure_volume(self, request: pb.VolumeConfigureRequest) -> pb.VolumeConfigureResponse:
        """Change the replication; what goes wrong is told in an answer that says OK.

        The volume is unmounted meanwhile, and the master hears of both.
        """
        asked = go_text(request)
        try:
            ReplicaPlacement.parse(request.replication)
        except ValueError as error:
            return pb.VolumeConfigureResponse(
                error=f"volume configure replication {asked}: {error}"
            )
        volume_id = request.volume_id
        self._store.unmount_volume(volume_id)
        try:
            self._store.configure_volume(volume_id, request.replication)
        except StorageError as error:
            failure = f"volume configure {asked}: {error}"
            try:
                self._store.mount_volume(volume_id)
            except StorageError as again:
                failure += f". Also failed to restore mount: {again}"
            return pb.VolumeConfigureResponse(error=failure)
        try:
            self._store.mount_volume(volume_id)
        except StorageError as error:
            return pb.VolumeConfigureResponse(error=f"volume configure mount {asked}: {error}")
        return pb.VolumeConfigureResponse()

    def consolidate_index(
        self, request: pb.VolumeConsolidateIndexRequest
    ) -> pb.VolumeConsolidateIndexResponse:
        """Move an index that lies beside its data to the directory for indexes."""
        self._store.consolidate_index(request.volume_id)
        return pb.VolumeConsolidateIndexResponse()

    def delete_volume(self, request: pb.VolumeDeleteRequest) -> pb.VolumeDeleteResponse:
        """Remove a volume and its files from all disks, if its conditions hold."""
        try:
            self._store.delete_volume(
                request.volume_id,
                only_empty=request.only_empty,
                only_garbage=request.only_garbage,
                keep_remote_data=request.keep_remote_data,
            )
        except StorageError as error:
            raise wrap("", error, store=True) from error
        return pb.VolumeDeleteResponse()

    def delete_collection(self, request: pb.DeleteCollectionRequest) -> pb.DeleteCollectionResponse:
        """Remove all volumes of a collection; "" names the default collection, as upstream."""
        if not request.collection:
            log.warning("DeleteCollection removes every volume of the default collection")
        try:
            self._store.delete_collection(request.collection)
        except (StorageError, OSError) as error:
            raise wrap(f"delete collection {request.collection}: ", error, store=True) from error
        return pb.DeleteCollectionResponse()

    async def mark_read_only(
        self, request: pb.VolumeMarkReadonlyRequest
    ) -> pb.VolumeMarkReadonlyResponse:
        """Take no more writes, and perhaps no deletes.

        The master is told before, so that it assigns no more writes, and again after, because a
        heartbeat in between may have said the opposite.
        """
        identity = self._identity(request.volume_id)
        await self._tell_master(identity, read_only=True)
        await asyncio.to_thread(
            self._store.mark_volume_read_only,
            request.volume_id,
            can_delete=request.can_delete,
            persist=request.persist,
        )
        await self._tell_master(identity, read_only=True)
        return pb.VolumeMarkReadonlyResponse()

    async def mark_writable(
        self, request: pb.VolumeMarkWritableRequest
    ) -> pb.VolumeMarkWritableResponse:
        """Take writes again; the change stays even when the master cannot be told."""
        identity = self._identity(request.volume_id)
        self._gates.refuse_in_maintenance()
        await asyncio.to_thread(self._store.mark_volume_writable, request.volume_id)
        await self._tell_master(identity, read_only=False)
        return pb.VolumeMarkWritableResponse()

    def _identity(self, volume_id: int) -> VolumeIdentity:
        volume = self._store.find_volume(volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"volume {volume_id} not found")
        return self._store.identity(volume)

    async def _tell_master(self, identity: VolumeIdentity, *, read_only: bool) -> None:
        if self._masters is not None:
            await self._masters.notify_read_only(identity, read_only=read_only)
