"""Catching up with a volume of another server. Source: weed/server/volume_grpc_tail.go:
VolumeTailReceiver.

How each record is applied, tombstones above all: :mod:`fastvol.volume.received`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import grpc

from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.server_address import ServerAddress
from fastvol.cluster.stub import bind
from fastvol.errors import VolumeNotFoundError
from fastvol.limits import MIB
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.source_guard import check_source
from fastvol.rpc.threads import to_the_end
from fastvol.volume.received import RecordAssembler, apply_record

if TYPE_CHECKING:
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

_TAIL: Final = pb.DESCRIPTOR.services_by_name["VolumeServer"].methods_by_name["VolumeTailSender"]
_BATCH_BYTES: Final = MIB
_BATCH_MESSAGES: Final = 256


class TailTargetHandlers:
    """Handlers over ``store``; ``trusts_callers`` switches the check of source addresses off."""

    def __init__(self, store: Store, channels: ChannelPool, *, trusts_callers: bool = False):
        self._store = store
        self._channels = channels
        self._trusts_callers = trusts_callers

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"VolumeTailReceiver": self.receive_tail}

    async def receive_tail(
        self, request: pb.VolumeTailReceiverRequest
    ) -> pb.VolumeTailReceiverResponse:
        """Applies what the source appended since a moment, until it has been idle for a while."""
        source = ServerAddress(request.source_volume_server)
        resolved = []
        if not self._trusts_callers:
            resolved = await check_source(source.text, "source volume server")
        volume = self._store.find_volume(request.volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"receiver not found volume id {request.volume_id}")
        channel = await self._channels.open(source, resolved)
        try:
            stream = bind(channel, _TAIL)(
                pb.VolumeTailSenderRequest(
                    volume_id=request.volume_id,
                    since_ns=request.since_ns,
                    idle_timeout_seconds=request.idle_timeout_seconds,
                )
            )
            await _Follower(volume).follow(stream)
        finally:
            await channel.close(None)
        return pb.VolumeTailReceiverResponse()


class _Follower:
    """Applies one tail, many small records with one change of threads."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._assembler = RecordAssembler()
        self._batch: list[pb.VolumeTailSenderResponse] = []
        self._size = 0
        self._version = 0

    async def follow(self, stream: Any) -> None:
        """To its end; what came before an error of the sender's is applied."""
        try:
            await self._take_all(aiter(stream))
        except grpc.RpcError:
            await self._apply_batch()
            raise
        await self._apply_batch()
        await to_the_end(self._apply_rest)

    async def _take_all(self, messages: Any) -> None:
        pending: asyncio.Future[Any] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(messages, None))
                # What is there already waits for more only as long as more is there.
                done, _ = await asyncio.wait((pending,), timeout=0 if self._batch else None)
                if not done:
                    await self._apply_batch()
                    continue
                message, pending = pending.result(), None
                if message is None:
                    return
                self._batch.append(message)
                self._size += len(message.needle_body)
                if self._size >= _BATCH_BYTES or len(self._batch) >= _BATCH_MESSAGES:
                    await self._apply_batch()
        finally:
            if pending is not None:
                pending.cancel()

    async def _apply_batch(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        if batch:
            await to_the_end(self._apply, batch)

    def _apply(self, batch: list[pb.VolumeTailSenderResponse]) -> None:
        for message in batch:
            self._version = message.version
            record = self._assembler.add(
                message.needle_header, message.needle_body, is_last=message.is_last_chunk
            )
            if record is not None:
                apply_record(self._volume, record, message.version)

    def _apply_rest(self) -> None:
        """A sender that ends within a record: what is whole counts, as upstream."""
        record = self._assembler.rest()
        if record is not None:
            apply_record(self._volume, record, self._version)
