"""The server's part in a cluster, from its first question to a master to its farewell.

All of it runs on the control plane's loop; the methods here are for other threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING

from fastvol.cluster.beats import NodeIdentity
from fastvol.cluster.heartbeat import Heartbeat
from fastvol.cluster.master_build import offset_width_of
from fastvol.cluster.master_client import MasterClient
from fastvol.cluster.server_address import parse_addresses
from fastvol.errors import ConfigError, DuplicateDirectoriesError, FastvolError
from fastvol.limits import LEAVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from fastvol.cluster.channel import ChannelPool
    from fastvol.config import Config
    from fastvol.observability.operation_stats import Tally
    from fastvol.rpc.server import ControlPlane
    from fastvol.store.store import Store

log = logging.getLogger(__name__)


class Membership:
    """``masters`` and ``heartbeat`` are what the gRPC handlers need of it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        control: ControlPlane,
        channels: ChannelPool,
        disconnections: Tally,
    ) -> None:
        """``channels`` belong to the control plane, and are closed with this."""
        self._store = store
        self._control = control
        self._channels = channels
        self._beating: Future[None] | None = None
        seeds = parse_addresses(",".join(config.masters))
        if not seeds:
            raise ConfigError("neither -mserver nor -master names a master server")
        self.masters = MasterClient(channels, seeds, ip=config.ip, port=config.port)
        node = NodeIdentity(
            ip=config.ip,
            port=config.port,
            grpc_port=config.grpc_port,
            public_url=config.public_url,
            id=store.server_id,
            data_center=config.data_center,
            rack=config.rack,
        )
        self.heartbeat = Heartbeat(
            node, store, self.masters, channels, disconnections=disconnections
        )
        self.push_gateway: tuple[str, int] | None = None
        """Where the master wants metrics pushed, and each how many seconds."""

    def meet_master(self) -> None:
        """Waits for the first master that answers, for ever; before the store is loaded."""
        answer = self._control.submit(self.masters.wait_for_configuration()).result()
        self._store.volume_size_limit = answer.volume_size_limit_m_b << 20
        self._store.preallocate = answer.volume_preallocate
        self._store.tier.backends.load(answer.storage_backends)
        if answer.metrics_address and answer.metrics_interval_seconds:
            self.push_gateway = answer.metrics_address, answer.metrics_interval_seconds
        self._store.ask_offset_width = partial(offset_width_of, self.masters.seeds)

    def join(self, on_refused: Callable[[], None]) -> None:
        """Begins to tell the master; ``on_refused`` when it refuses our directories for good."""

        def ended(done: Future[None]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is None:
                return
            log.critical("%s", error)
            if isinstance(error, DuplicateDirectoriesError):
                on_refused()

        self._beating = self._control.submit(self.heartbeat.run())
        self._beating.add_done_callback(ended)

    async def leave(self) -> None:
        """Says farewell; a master that does not take it is left without."""
        if self._beating is None:
            return
        self.heartbeat.stop()
        # However the heartbeat ended, ``join`` has logged it.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.wrap_future(self._beating), timeout=LEAVE_SECONDS)

    def close(self) -> None:
        """Begins to close the connections to other servers."""
        with contextlib.suppress(FastvolError):
            self._control.submit(self._channels.close())
