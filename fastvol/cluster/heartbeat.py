"""The membership of this server in its cluster: one heartbeat stream at a time, for ever.

Theory of operation
-------------------
The seed masters are tried in turn. A session (see heartbeat_session) ends in one of four ways:

    it names a leader   -> wait 3 s, go there; the seed list moves on by one all the same
    it fails            -> wait 5 s, next seed (a stream that the master closes is a failure too)
    our directories are -> wait 2, 4, 8 s and try again; the fourth refusal in a row ends ``run``
      refused               with DuplicateDirectoriesError, and the process with status 1
    it was stopped      -> ``run`` returns

A failure forgets the leader, so that a cluster whose leader died is found again through the seeds.
``run`` lives on the control plane's loop; ``publish`` and ``stop`` may be called from any thread.

Source: weed/server/volume_grpc_client_to_master.go: heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvol.cluster.beats import NodeIdentity
from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.heartbeat_session import HeartbeatSession
from fastvol.cluster.master_client import MasterClient
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import DuplicateDirectoriesError, FastvolError, reason_of
from fastvol.limits import (
    DUPLICATE_DIRECTORY_RETRIES,
    DUPLICATE_DIRECTORY_SECONDS,
    HEARTBEAT_LEADER_SECONDS,
    HEARTBEAT_SECONDS,
)
from fastvol.observability.operation_stats import Tally

if TYPE_CHECKING:
    from fastvol.store.store import Store, VolumeEvent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeartbeatPace:
    """Intervals in seconds."""

    pulse: float = HEARTBEAT_SECONDS
    """Between beats, and before the next attempt after a failure."""
    leader: float = HEARTBEAT_LEADER_SECONDS
    duplicate: float = DUPLICATE_DIRECTORY_SECONDS


class Heartbeat:
    """Keeps ``node`` registered with the cluster's leader, and the master informed of ``store``."""

    def __init__(
        self,
        node: NodeIdentity,
        store: Store,
        masters: MasterClient,
        channels: ChannelPool,
        *,
        pace: HeartbeatPace = HeartbeatPace(),
        disconnections: Tally | None = None,
    ):
        self._node = node
        self._store = store
        self._masters = masters
        self._channels = channels
        self._pace = pace
        self._disconnections = disconnections or Tally()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: HeartbeatSession | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Beat until ``stop``. Raises DuplicateDirectoriesError when refused for good."""
        self._loop = asyncio.get_running_loop()
        self._store.on_volume_event = self.publish
        log.info("Volume server start with seed master nodes: %s", self._masters.seed_text)
        leader: ServerAddress | None = None
        refusals = 0
        while not self._stopped.is_set():
            for seed in self._masters.seeds:
                if leader is not None:
                    await self._pause(self._pace.leader)
                if self._stopped.is_set():
                    return
                target = leader or seed
                try:
                    leader = await self._beat_to(target)
                    refusals = 0
                except DuplicateDirectoriesError as error:
                    leader = None
                    refusals += 1
                    self._disconnections.add(str(target))
                    await self._after_refusal(target, error, refusals)
                except Exception as error:
                    # Whatever it was (a disk, even a bug), a node without heartbeat is lost.
                    leader = None
                    refusals = 0
                    self._disconnections.add(str(target))
                    unexpected = not isinstance(error, FastvolError | OSError)
                    log.warning(
                        "heartbeat to %s error: %s", target, reason_of(error), exc_info=unexpected
                    )
                    await self._pause(self._pace.pulse)

    def stop(self) -> None:
        """Leave the cluster for good; idempotent. ``run`` returns soon after."""
        self._on_loop(self._stop)

    def publish(self, event: VolumeEvent) -> None:
        """Tell the master at once that a volume came or went."""
        self._on_loop(self._enqueue, event)

    async def _beat_to(self, target: ServerAddress) -> ServerAddress | None:
        log.info("Heartbeat to: %s", target)
        self._masters.current = target
        self._session = HeartbeatSession(
            self._node, self._store, self._channels, target, pulse_seconds=self._pace.pulse
        )
        try:
            return await self._session.run()
        finally:
            self._session = None

    async def _after_refusal(
        self, target: ServerAddress, error: DuplicateDirectoriesError, refusals: int
    ) -> None:
        if refusals > DUPLICATE_DIRECTORY_RETRIES:
            raise DuplicateDirectoriesError(
                "Shut down Volume Server due to persistent duplicate volume directories after "
                f"{DUPLICATE_DIRECTORY_RETRIES} retries: [{error}]"
            ) from error
        log.warning(
            "heartbeat to %s error: duplicate UUIDs detected, retrying connection "
            "(attempt %d/%d): %s",
            target,
            refusals,
            DUPLICATE_DIRECTORY_RETRIES,
            error,
        )
        await self._pause(self._pace.duplicate * 2 ** (refusals - 1))

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless asked to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    def _stop(self) -> None:
        self._stopped.set()
        if self._session is not None:
            self._session.stop()

    def _enqueue(self, event: VolumeEvent) -> None:
        # Without a session nobody needs telling: the next one starts with a full list.
        if self._session is not None:
            self._session.enqueue(event)

    def _on_loop(self, act: Callable[..., None], *arguments: object) -> None:
        if self._loop is None:  # not running yet: nobody to race with
            act(*arguments)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the beats with it
            self._loop.call_soon_threadsafe(act, *arguments)
