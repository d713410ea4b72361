"""The server itself: its state, its health figures, its ties to the cluster.

Source: weed/server/volume_grpc_admin.go: VolumeServerStatus, VolumeServerLeave, Ping;
weed/server/volume_grpc_state.go; weed/stats/memory.go.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import psutil

from fastvol.cluster.channel import error_text
from fastvol.cluster.heartbeat import Heartbeat
from fastvol.cluster.master_client import MasterClient
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import FastvolError, MasterError, PingTargetError
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import StatusError

if TYPE_CHECKING:
    from fastvol.store.store import Store

_DIALLED_TYPES: Final = frozenset({"master", "filer", "volumeServer"})


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What VolumeServerStatus tells besides the store's figures."""

    version: str
    """Never empty: ``8000GB 4.48 fastvol``."""
    data_center: str
    rack: str


class NodeHandlers:
    """Handlers; ``masters`` and ``heartbeat`` are None on a node that belongs to no cluster."""

    def __init__(
        self,
        store: Store,
        masters: MasterClient | None,
        heartbeat: Heartbeat | None,
        facts: NodeFacts,
    ):
        self._store = store
        self._masters = masters
        self._heartbeat = heartbeat
        self._facts = facts

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "GetState": self.get_state,
            "SetState": self.set_state,
            "VolumeServerStatus": self.server_status,
            "VolumeServerLeave": self.leave,
            "Ping": self.ping,
        }

    async def get_state(self, _: pb.GetStateRequest) -> pb.GetStateResponse:
        """Maintenance mode and its version."""
        return pb.GetStateResponse(state=self._state())

    def set_state(self, request: pb.SetStateRequest) -> pb.SetStateResponse:
        """Change the mode if the caller knows the current version; without a state, just look."""
        if request.HasField("state"):
            self._store.state.update(request.state.maintenance, request.state.version)
        return pb.SetStateResponse(state=self._state())

    def server_status(self, _: pb.VolumeServerStatusRequest) -> pb.VolumeServerStatusResponse:
        """Disks, memory, version and place of this server."""
        return pb.VolumeServerStatusResponse(
            disk_statuses=[
                pb.DiskStatus(
                    dir=disk.dir,
                    all=disk.all,
                    used=disk.used,
                    free=disk.free,
                    percent_free=disk.percent_free,
                    percent_used=disk.percent_used,
                )
                for disk in self._store.disk_statuses()
            ],
            memory_status=_memory_status(),
            version=self._facts.version,
            data_center=self._facts.data_center,
            rack=self._facts.rack,
            state=self._state(),
        )

    async def leave(self, _: pb.VolumeServerLeaveRequest) -> pb.VolumeServerLeaveResponse:
        """Leave the cluster until the process is restarted; keeps serving. Idempotent."""
        self._store.left = True
        if self._heartbeat is not None:
            self._heartbeat.stop()
        return pb.VolumeServerLeaveResponse()

    async def ping(self, request: pb.PingRequest) -> pb.PingResponse:
        """Clocks, and with a target the clock of a known master as seen from here."""
        response = pb.PingResponse(start_time_ns=time.time_ns())
        target, kind = request.target, request.target_type
        if target and not self._is_known(target, kind):
            raise PingTargetError(f"unknown ping target {target} of type {kind}")
        if kind in _DIALLED_TYPES:
            try:
                response.remote_time_ns = await self._remote_clock(target)
            except (grpc.RpcError, FastvolError) as error:
                text = f"ping {kind} {target}: {error_text(error)}"
                raise StatusError(grpc.StatusCode.UNKNOWN, text) from error
        response.stop_time_ns = time.time_ns()
        return response

    def _is_known(self, target: str, kind: str) -> bool:
        return kind == "master" and self._masters is not None and self._masters.is_known(target)

    async def _remote_clock(self, target: str) -> int:
        if not target or self._masters is None:
            # A type without a target: upstream dials "", which gRPC refuses.
            raise MasterError("missing address")
        return await self._masters.ping(ServerAddress(target))

    def _state(self) -> pb.VolumeServerState:
        state = self._store.state
        return pb.VolumeServerState(maintenance=state.maintenance, version=state.version)


def _memory_status() -> pb.MemStatus:
    """Sizes in bytes. The machine's figures are those of sysinfo(2): ``free`` is without caches."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    free = os.sysconf("SC_AVPHYS_PAGES") * page
    own = psutil.Process().memory_info()
    return pb.MemStatus(
        goroutines=threading.active_count(),
        all=total,
        free=free,
        used=total - free,
        self=own.rss,
        heap=own.rss - own.shared,
        stack=_stack_bytes(),
    )


def _stack_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmStk:"):
            return int(line.split()[1]) * 1024
    return 0
