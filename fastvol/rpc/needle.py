"""What is known of a single needle. Source: weed/server/volume_grpc_admin.go: VolumeNeedleStatus;
weed/storage/needle/crc.go: Value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import grpc

from fastvol.errors import (
    NeedleDeletedError,
    NeedleNotFoundError,
    VolumeNotFoundError,
)
from fastvol.formats.needle import legacy_checksum
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import StatusError

if TYPE_CHECKING:
    from fastvol.store.store import Store


class NeedleHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "VolumeNeedleStatus": self.needle_status,
        }

    def needle_status(self, request: pb.VolumeNeedleStatusRequest) -> pb.VolumeNeedleStatusResponse:
        """What the record of one needle says; the needle is read and checked for it."""
        volume = self._store.find_volume(request.volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"volume not found {request.volume_id}")
        try:
            needle = volume.read(request.needle_id)
        except NeedleDeletedError as error:
            raise StatusError(grpc.StatusCode.UNKNOWN, "already deleted") from error
        except NeedleNotFoundError as error:
            text = f"needle not found {request.needle_id}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, text) from error
        return pb.VolumeNeedleStatusResponse(
            needle_id=needle.id,
            cookie=needle.cookie,
            size=needle.size,
            last_modified=needle.last_modified,
            crc=legacy_checksum(needle.checksum),
            ttl=str(needle.ttl),
        )
