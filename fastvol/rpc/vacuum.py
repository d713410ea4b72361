"""Vacuum, as the master drives it. Source: weed/server/volume_grpc_vacuum.go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import grpc

from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import StatusError

if TYPE_CHECKING:
    from fastvol.store.store import Store


class VacuumHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"VacuumVolumeCheck": self.check}

    def check(self, request: pb.VacuumVolumeCheckRequest) -> pb.VacuumVolumeCheckResponse:
        """How much of a volume is garbage, 0 to 1."""
        volume = self._store.find_volume(request.volume_id)
        if volume is None:
            text = f"volume id {request.volume_id} is not found during check compact"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"{text}: volume not found")
        return pb.VacuumVolumeCheckResponse(garbage_ratio=volume.garbage_ratio())
