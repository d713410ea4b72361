"""All needles of volumes, as a stream. Source: weed/server/volume_grpc_read_all.go."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from fastvol.observability.counts import Counts, Total
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.volumes import readable_volume
from fastvol.volume.live_needles import live_needle_messages

if TYPE_CHECKING:
    from fastvol.rpc.streams import ReplySender
    from fastvol.store.store import Store


class ReadAllHandlers:
    """Handlers over ``store``; failures are counted in ``counts``."""

    def __init__(self, store: Store, counts: Counts | None = None):
        self._store = store
        self._counts = counts or Counts()

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"ReadAllNeedles": self.read_all}

    def read_all(self, request: pb.ReadAllNeedlesRequest, send: ReplySender) -> None:
        """Payload, name, type, time and checksum of every needle, volume by volume."""
        for volume_id in request.volume_ids:
            try:
                volume = readable_volume(self._store, volume_id)
                with closing(live_needle_messages(volume)) as messages:
                    if not send.send_each(messages):
                        return
            except BaseException:
                self._counts.add(Total.READ_FAILURES)
                raise
