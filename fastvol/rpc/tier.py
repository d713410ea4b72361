"""Moving the data of a volume to an object store and back. Source: weed/server/
volume_grpc_tier_upload.go, volume_grpc_tier_download.go; what is done: :mod:`fastvol.store.tiering`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastvol.limits import REMOTE_PROGRESS_SECONDS
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.store.tiering import Tiering

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastvol.rpc.streams import ReplySender
    from fastvol.store.store import Store


class TierHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._tiering = Tiering(store)

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "VolumeTierMoveDatToRemote": self.to_remote,
            "VolumeTierMoveDatFromRemote": self.from_remote,
        }

    def to_remote(self, request: pb.VolumeTierMoveDatToRemoteRequest, send: ReplySender) -> None:
        """Moves a volume up; a caller who leaves before the data is through ends it."""
        self._tiering.to_remote(
            request.volume_id,
            request.collection,
            request.destination_backend_name,
            keep_local=request.keep_local_dat_file,
            parts_at_once=request.concurrency,
            progress=_progress(send, pb.VolumeTierMoveDatToRemoteResponse),
        )

    def from_remote(
        self, request: pb.VolumeTierMoveDatFromRemoteRequest, send: ReplySender
    ) -> None:
        """Moves a volume down; a caller who leaves before the data is through ends it."""
        self._tiering.to_local(
            request.volume_id,
            request.collection,
            keep_remote=request.keep_remote_dat_file,
            parts_at_once=request.concurrency,
            progress=_progress(send, pb.VolumeTierMoveDatFromRemoteResponse),
        )


def _progress(
    send: ReplySender,
    reply: type[pb.VolumeTierMoveDatToRemoteResponse | pb.VolumeTierMoveDatFromRemoteResponse],
) -> Callable[[int, int], bool]:
    """Tells at most once a second; False when the caller has gone."""
    told = time.monotonic()

    def tell(done: int, size: int) -> bool:
        nonlocal told
        if send.is_gone:
            return False
        now = time.monotonic()
        if now - told < REMOTE_PROGRESS_SECONDS:
            return True
        told = now
        share = 100 * done / size if size else 100
        return send(reply(processed=done, processedPercentage=share))

    return tell
