"""One heartbeat stream to one master, from its opening to its end.

Theory of operation
-------------------
A stream starts with the full volume beat and, without waiting for an answer, the EC beat. Then a
single writer sends whatever is due, most urgent first:

    stop asked for       -> farewell, end of the stream          (session returns None)
    reader is finished   -> its result or its error ends the session
    volumes came or went -> delta beat at once, one run of equal events a beat, order kept
    limits changed       -> one extra volume beat at once
    pulse (5 s)          -> adjust automatic maximums, volume beat
    17 pulses            -> EC beat

A single reader applies the master's answers; it never writes. It ends the session by returning the
address of another leader, or by an error: the stream broke (MasterError) or the master refused our
directories (DuplicateDirectoriesError).

Events that precede the stream are of no interest: its first beat is a full list, sampled after
them. The channel is the stream's own, and closed with it before ``run`` returns, because a master
counts two open streams of one server as two servers with the same directories.

Source: weed/server/volume_grpc_client_to_master.go: doHeartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

from fastvol.cluster.beats import BeatBuilder, NodeIdentity
from fastvol.cluster.channel import ChannelPool, error_text
from fastvol.cluster.server_address import ServerAddress
from fastvol.cluster.stub import Stub
from fastvol.errors import DuplicateDirectoriesError, MasterError
from fastvol.limits import HEARTBEAT_CLOSE_SECONDS, HEARTBEAT_EC_PULSES
from fastvol.pb import master_pb2

if TYPE_CHECKING:
    from fastvol.store.store import Store, VolumeEvent

_SEAWEED: Final = master_pb2.DESCRIPTOR.services_by_name["Seaweed"]


@dataclass(frozen=True, slots=True)
class _ExtraBeat:
    """A volume beat that does not wait for the pulse."""

    full: bool


class HeartbeatSession:
    """One stream. ``enqueue`` and ``stop`` are called on the loop that runs ``run``."""

    def __init__(
        self,
        node: NodeIdentity,
        store: Store,
        channels: ChannelPool,
        master: ServerAddress,
        *,
        pulse_seconds: float,
    ):
        self._store = store
        self._channels = channels
        self._master = master
        self._pulse_seconds = pulse_seconds
        self._beats = BeatBuilder(node, store)
        self._events: deque[VolumeEvent] = deque()
        self._extra: deque[_ExtraBeat] = deque()
        self._stopping = False
        self._wake = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    def enqueue(self, event: VolumeEvent) -> None:
        """Announce a volume that came or went."""
        self._events.append(event)
        self._wake.set()

    def stop(self) -> None:
        """Take leave of the master and end."""
        self._stopping = True
        self._wake.set()
        if self._deadline is not None:
            now = asyncio.get_running_loop().time()
            self._deadline.reschedule(now + 2 * HEARTBEAT_CLOSE_SECONDS)

    async def run(self) -> ServerAddress | None:
        """The leader to go to, or None after ``stop``.

        Raises MasterError when the stream fails, DuplicateDirectoriesError when the master refuses
        our directories. The stream and its connection are closed in any case.
        """
        channel = await self._channels.open(self._master)
        call = Stub(channel, _SEAWEED).SendHeartbeat()
        reader = asyncio.create_task(self._read_answers(call), name="heartbeat-reader")
        reader.add_done_callback(lambda _: self._wake.set())
        try:
            async with asyncio.timeout(None) as self._deadline:
                return await self._send_beats(call, reader)
        except TimeoutError:
            if not self._stopping:
                raise
            return None  # a master that does not read cannot hold us
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            call.cancel()
            await channel.close(None)

    # --- the writer -----------------------------------------------------------------------------

    async def _send_beats(
        self, call: Any, reader: asyncio.Task[ServerAddress]
    ) -> ServerAddress | None:
        try:
            await call.write(await self._beats.volume_beat(force_full=True))
            await call.write(self._beats.ec_beat())
            await self._send_until_end(call, reader)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            # The reader knows better why: the master's last words may still be on their way.
            await asyncio.wait({reader}, timeout=HEARTBEAT_CLOSE_SECONDS)
            if not reader.done():
                raise MasterError(error_text(error)) from error
        if reader.done():
            return reader.result()
        await call.write(self._beats.farewell())
        await call.done_writing()
        await asyncio.wait({reader}, timeout=HEARTBEAT_CLOSE_SECONDS)
        return None

    async def _send_until_end(self, call: Any, reader: asyncio.Task[ServerAddress]) -> None:
        """Send what is due until the reader is finished or we have to stop."""
        clock = asyncio.get_running_loop().time
        beat_at = clock() + self._pulse_seconds
        ec_at = clock() + self._pulse_seconds * HEARTBEAT_EC_PULSES
        while not (self._stopping or reader.done()):
            self._wake.clear()
            now = clock()
            if self._events:
                await call.write(self._beats.delta_beat(self._take_run_of_events()))
            elif self._extra:
                extra = self._extra.popleft()
                await call.write(await self._beats.volume_beat(force_full=extra.full))
            elif now >= beat_at:
                beat_at = max(beat_at + self._pulse_seconds, now)
                await asyncio.to_thread(self._store.adjust_volume_max)
                await call.write(await self._beats.volume_beat())
            elif now >= ec_at:
                ec_at = max(ec_at + self._pulse_seconds * HEARTBEAT_EC_PULSES, now)
                await call.write(self._beats.ec_beat())
            else:
                await self._wait(min(beat_at, ec_at) - now)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _take_run_of_events(self) -> list[VolumeEvent]:
        """The longest run of equal kind from the front of the queue."""
        run = [self._events.popleft()]
        while self._events and self._events[0].kind == run[0].kind:
            run.append(self._events.popleft())
        return run

    # --- the reader -----------------------------------------------------------------------------

    async def _read_answers(self, call: Any) -> ServerAddress:
        try:
            async for answer in call:
                leader = await self._apply(answer)
                if leader is not None:
                    return leader
        except grpc.RpcError as error:
            raise MasterError(error_text(error)) from error
        raise MasterError("EOF")

    async def _apply(self, answer: master_pb2.HeartbeatResponse) -> ServerAddress | None:
        """Act on one answer, in the protocol's order; returns another leader if one is named."""
        if answer.duplicated_uuids:
            raise DuplicateDirectoriesError(", ".join(answer.duplicated_uuids))
        await self._adopt_limits(answer)
        if answer.volume_digest_supported:
            self._beats.report.accept_deltas()
        if answer.resend_full_volume_list:
            self._beats.report.request_full()
        if answer.leader:
            leader = ServerAddress(answer.leader)
            if not leader.same_server(self._master):
                return leader
        return None

    async def _adopt_limits(self, answer: master_pb2.HeartbeatResponse) -> None:
        store = self._store
        changed = answer.preallocate != store.preallocate
        store.preallocate = answer.preallocate
        if answer.volume_size_limit and answer.volume_size_limit != store.volume_size_limit:
            store.volume_size_limit = answer.volume_size_limit
            changed = True
        if changed and await asyncio.to_thread(store.adjust_volume_max):
            # Decided now, before this very answer may declare that changes are enough.
            self._extra.append(_ExtraBeat(full=not self._beats.report.deltas_accepted))
            self._wake.set()
