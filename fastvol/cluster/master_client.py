"""Unary calls to the masters of the cluster.

``current`` is the master that the heartbeat goes to (the first seed before there is one); calls
that change something go there. Lives on the control plane's loop. Source:
weed/server/volume_server.go: checkWithMaster; weed/server/volume_grpc_admin.go:
notifyMasterVolumeReadonly, volumeMarkReadonlyOnMaster, isKnownPingTarget.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import grpc

from fastvol.cluster.channel import ChannelPool, error_text
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import FastvolError, MasterError
from fastvol.limits import MASTER_CALL_SECONDS, MASTER_RETRY_SECONDS
from fastvol.pb import master_pb2

if TYPE_CHECKING:
    from fastvol.store.store import VolumeIdentity

_METHODS: Final = master_pb2.DESCRIPTOR.services_by_name["Seaweed"].methods_by_name
_NOT_LEADER: Final = "Not current leader"

log = logging.getLogger(__name__)


class MasterClient:
    """The seed masters and what this server asks of them.

    ``ip`` and ``port`` (admin HTTP) name this server in its requests.
    """

    def __init__(
        self, channels: ChannelPool, seeds: Sequence[ServerAddress], *, ip: str, port: int
    ):
        assert seeds, "a cluster member has at least one master"
        self.seeds = tuple(seeds)
        self.current = self.seeds[0]
        self._channels = channels
        self._ip = ip
        self._port = port

    @property
    def seed_text(self) -> str:
        """The seeds for a log line."""
        return " ".join(str(seed) for seed in self.seeds)

    def is_known(self, target: str) -> bool:
        """Whether ``target`` is a seed master or the current one, by HTTP form."""
        address = ServerAddress(target)
        return any(address.same_server(known) for known in (*self.seeds, self.current))

    async def wait_for_configuration(
        self, *, retry_seconds: float = MASTER_RETRY_SECONDS
    ) -> master_pb2.GetMasterConfigurationResponse:
        """The first GetMasterConfigurationResponse that any seed gives.

        Goes round the seeds for ever, so that servers and masters may start in any order; cancel
        it to give up.
        """
        while True:
            for seed in self.seeds:
                try:
                    answer = await self.configuration(seed)
                except (grpc.RpcError, FastvolError) as error:
                    log.warning(
                        "checkWithMaster %s: get master %s configuration: %s",
                        seed,
                        seed,
                        error_text(error),
                    )
                else:
                    self.current = seed
                    return answer
            await asyncio.sleep(retry_seconds)

    async def configuration(
        self, master: ServerAddress
    ) -> master_pb2.GetMasterConfigurationResponse:
        """What ``master`` hands to its volume servers.

        Raises grpc.RpcError, and InvalidRequestError for an address that cannot be dialled.
        """
        answer: master_pb2.GetMasterConfigurationResponse = await self._channels.call(
            master,
            _METHODS["GetMasterConfiguration"],
            master_pb2.GetMasterConfigurationRequest(),
            timeout_seconds=MASTER_CALL_SECONDS,
        )
        return answer

    async def notify_read_only(self, volume: VolumeIdentity, *, read_only: bool) -> None:
        """Tell the leader that ``volume`` takes no more writes, or takes them again.

        Raises MasterError with upstream's text when the leader cannot be told.
        """
        request = master_pb2.VolumeMarkReadonlyRequest(
            ip=self._ip,
            port=self._port,
            volume_id=volume.id,
            collection=volume.collection,
            replica_placement=volume.replica_placement,
            ttl=volume.ttl,
            disk_type=volume.disk_type,
            is_readonly=read_only,
        )
        master = self.current
        try:
            await self._mark_read_only(master, request)
        except MasterError as error:
            if _NOT_LEADER not in str(error):
                raise
            leader = await self._find_leader(master, error)
            await self._mark_read_only(leader, request)

    async def lookup_volume(
        self, volume_ids: Iterable[int], *, timeout_seconds: float | None = None
    ) -> master_pb2.LookupVolumeResponse:
        """LookupVolumeResponse of the current master; raises MasterError."""
        request = master_pb2.LookupVolumeRequest(
            volume_or_file_ids=[str(volume_id) for volume_id in volume_ids]
        )
        try:
            answer: master_pb2.LookupVolumeResponse = await self._channels.call(
                self.current, _METHODS["LookupVolume"], request, timeout_seconds=timeout_seconds
            )
        except grpc.RpcError as error:
            raise MasterError(error_text(error)) from error
        return answer

    async def ping(self, master: ServerAddress) -> int:
        """Clock of ``master`` in ns since the epoch; raises as ``configuration``."""
        answer = await self._channels.call(
            master,
            _METHODS["Ping"],
            master_pb2.PingRequest(),
            timeout_seconds=MASTER_CALL_SECONDS,
        )
        return int(answer.start_time_ns)

    async def _mark_read_only(
        self, master: ServerAddress, request: master_pb2.VolumeMarkReadonlyRequest
    ) -> None:
        try:
            await self._channels.call(master, _METHODS["VolumeMarkReadonly"], request)
        except (grpc.RpcError, FastvolError) as error:
            raise MasterError(
                f"grpc VolumeMarkReadonly with master {master}: set volume {request.volume_id} "
                f"to read only on master: {error_text(error)}"
            ) from error

    async def _find_leader(self, refused_by: ServerAddress, refusal: MasterError) -> ServerAddress:
        last: BaseException = refusal
        for seed in self.seeds:
            try:
                leader = (await self.configuration(seed)).leader
            except (grpc.RpcError, FastvolError) as error:
                last = error
                continue
            if leader:
                return ServerAddress(leader)
        raise MasterError(
            f"heartbeat master {refused_by} rejected mark-readonly and leader lookup failed: "
            f"{error_text(last)}"
        ) from refusal
