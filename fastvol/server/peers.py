"""What the data plane needs of other servers: where they are, what they hold, and changes for them.

Calls by gRPC belong to the control plane's loop, HTTP to the data plane's; the bridge is here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastvol.cluster.locations import VolumeLocations
from fastvol.cluster.lookup_batches import LookupBatches
from fastvol.cluster.needle_deletion import delete_needles
from fastvol.cluster.peer_http import PeerHttp
from fastvol.http.chunks import ChunkReader
from fastvol.http.elsewhere import Elsewhere
from fastvol.http.replication import Replication
from fastvol.limits import MASTER_CALL_SECONDS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from fastvol.cluster.channel import ChannelPool
    from fastvol.cluster.locations import Lookup
    from fastvol.http.replication import ReplicationObserver
    from fastvol.observability.counts import Counts
    from fastvol.pb import master_pb2
    from fastvol.rpc.server import ControlPlane


class Peers:
    """Made on the data plane's loop, while it runs."""

    def __init__(
        self,
        own_address: str,
        control: ControlPlane,
        lookup: Lookup,
        channels: ChannelPool,
        counts: Counts,
        *,
        tls: ssl.SSLContext | None,
        observer: ReplicationObserver,
    ) -> None:
        """``channels`` belong to the control plane; ``own_address`` is ``ip:port``; with ``tls``
        others are spoken to by HTTPS; ``observer`` is told how changes on other copies fare."""
        self._control = control
        self._lookup = lookup
        self._channels = channels
        self._http = PeerHttp(tls=tls)
        locations = VolumeLocations(LookupBatches(self._ask_many).ask)
        self.elsewhere = Elsewhere(own_address, locations, self._http, counts)
        self.replication = Replication(own_address, locations, self._http, observer)
        self.chunks = ChunkReader(locations, self._http)

    async def _ask_many(self, volume_ids: Sequence[int]) -> master_pb2.LookupVolumeResponse:
        asking = self._lookup.lookup_volume(volume_ids, timeout_seconds=MASTER_CALL_SECONDS)
        return await asyncio.wrap_future(self._control.submit(asking))

    async def delete_chunks(self, fids: Sequence[str]) -> None:
        """See :class:`fastvol.http.delete.DeleteChunks`."""
        deleting = delete_needles(self._lookup, self._channels, fids)
        await asyncio.wrap_future(self._control.submit(deleting))

    async def close(self) -> None:
        """Closes the connections of this plane."""
        await self._http.close()
