"""The heartbeat against a scripted master: sessions, deltas, redirects, failures, leaving."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import grpc
import pytest
from fake_master import WAIT_SECONDS, FakeMaster
from fake_node import NODE, UUID, FakeStore, volume_event

from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.heartbeat import Heartbeat, HeartbeatPace
from fastvol.cluster.master_client import MasterClient
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import DuplicateDirectoriesError

PACE = HeartbeatPace(pulse=0.15, leader=0.02, duplicate=0.02)
SLOW = HeartbeatPace(pulse=30, leader=0.02, duplicate=0.02)
LIMIT = 32 << 20


class Cluster:
    """One node, its heartbeat running, and the masters it knows."""

    def __init__(self, store: FakeStore, heartbeat: Heartbeat, task: asyncio.Task[None]) -> None:
        self.store = store
        self.heartbeat = heartbeat
        self.task = task

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, WAIT_SECONDS)


@asynccontextmanager
async def beating(
    *masters: FakeMaster | ServerAddress,
    store: FakeStore | None = None,
    pace: HeartbeatPace = PACE,
) -> AsyncIterator[Cluster]:
    store = store or FakeStore()
    seeds = [each.address if isinstance(each, FakeMaster) else each for each in masters]
    channels = ChannelPool()
    client = MasterClient(channels, seeds, ip=NODE.ip, port=NODE.port)
    heartbeat = Heartbeat(NODE, store, client, channels, pace=pace)  # type: ignore[arg-type]
    task = asyncio.create_task(heartbeat.run())
    try:
        yield Cluster(store, heartbeat, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await channels.close()


def scenario(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


def ids(messages: Any) -> list[int]:
    return [message.id for message in messages]


def test_a_stream_starts_with_the_full_list_and_the_ec_beat() -> None:
    async def body() -> None:
        store = FakeStore()
        store.put(1)
        async with FakeMaster() as master, beating(master, store=store, pace=SLOW):
            first = await (await master.next_stream()).opening()
            assert ids(first.volumes) == [1]
            assert first.grpc_port == 25041

    scenario(body)


def test_without_digest_support_every_beat_is_a_full_list() -> None:
    async def body() -> None:
        store = FakeStore()
        store.put(1)
        async with FakeMaster() as master, beating(master, store=store):
            stream = await master.next_stream()
            await stream.opening()
            await stream.answer(volume_size_limit=LIMIT)
            for _ in range(2):
                assert ids((await stream.beat()).volumes) == [1]

    scenario(body)


def test_with_digest_support_later_beats_carry_changes_and_a_mismatch_brings_the_list_back() -> (
    None
):
    async def body() -> None:
        store = FakeStore()
        store.put(1)
        async with FakeMaster() as master, beating(master, store=store):
            stream = await master.next_stream()
            await stream.opening()
            await stream.answer(volume_size_limit=LIMIT, volume_digest_supported=True)
            quiet = await stream.beat()
            while quiet.volumes:  # built before the answer arrived
                quiet = await stream.beat()
            assert not quiet.changed_volumes
            assert not quiet.has_no_volumes
            store.put(1, size=16)
            changed = await stream.beat()
            while not changed.changed_volumes:
                changed = await stream.beat()
            assert [each.size for each in changed.changed_volumes] == [16]
            await stream.answer(volume_size_limit=LIMIT, resend_full_volume_list=True)
            full = await stream.beat()
            while not full.volumes:
                full = await stream.beat()
            assert [each.size for each in full.volumes] == [16]
            assert not (await stream.beat()).volumes, "the request is satisfied once"

    scenario(body)


def test_events_are_announced_at_once_in_order_and_equal_neighbours_together() -> None:
    async def body() -> None:
        async with FakeMaster() as master, beating(master, pace=SLOW) as cluster:
            stream = await master.next_stream()
            await stream.opening()
            events = [
                volume_event("new", 1),
                volume_event("new", 2),
                volume_event("deleted", 1),
                volume_event("new", 1),
                volume_event("deleted", 2),
            ]

            def from_a_store_thread() -> None:
                for event in events:
                    cluster.store.on_volume_event(event)

            started = time.monotonic()
            thread = threading.Thread(target=from_a_store_thread)
            thread.start()
            seen: list[tuple[str, int]] = []
            beats = []
            while len(seen) < len(events):
                beat = await stream.beat()
                beats.append(beat)
                assert not (beat.new_volumes and beat.deleted_volumes)
                seen += [("new", vid) for vid in ids(beat.new_volumes)]
                seen += [("deleted", vid) for vid in ids(beat.deleted_volumes)]
            thread.join()
            assert seen == [(event.kind, event.volume.id) for event in events]
            assert time.monotonic() - started < 5, "deltas do not wait for the pulse"
            assert not any(beat.HasField("volume_digest") for beat in beats)

    scenario(body)


def test_events_while_disconnected_are_part_of_the_next_full_list_only() -> None:
    async def body() -> None:
        store = FakeStore()
        async with FakeMaster() as master, beating(master, store=store) as cluster:
            stream = await master.next_stream()
            await stream.opening()
            stream.end()
            await stream.gone()
            await asyncio.sleep(PACE.pulse / 3)
            assert cluster.heartbeat._session is None
            store.put(5)
            cluster.heartbeat.publish(volume_event("new", 5))  # type: ignore[arg-type]
            stream = await master.next_stream()
            assert ids((await stream.opening()).volumes) == [5]
            assert not (await stream.beat()).new_volumes

    scenario(body)


def test_another_leader_is_followed_and_the_old_stream_is_closed_first() -> None:
    async def body() -> None:
        async with FakeMaster(9333) as follower, FakeMaster(9334) as leader:
            open_before = []
            async with beating(follower, pace=SLOW) as cluster:
                stream = await follower.next_stream()
                await stream.opening()
                await stream.answer(leader=follower.address.http)
                await stream.answer(leader=leader.address.text)
                await stream.gone()
                await (await leader.next_stream()).opening()
                open_before.append(follower.open_streams)
                assert cluster.heartbeat._masters.current == leader.address
            assert open_before == [0]
            assert follower.stream_count == 1, "a leader equal to the current master is no move"

    scenario(body)


def test_a_leader_that_fails_is_forgotten_and_the_seeds_are_tried_again() -> None:
    async def body() -> None:
        async with FakeMaster() as seed, beating(seed) as cluster:
            stream = await seed.next_stream()
            await stream.opening()
            await stream.answer(leader="127.0.0.1:9999.1")
            await (await seed.next_stream()).opening()
            assert cluster.heartbeat._masters.current == seed.address

    scenario(body)


@pytest.mark.parametrize("failure", [None, (grpc.StatusCode.INTERNAL, "no")])
def test_a_stream_that_ends_is_opened_again_after_a_pulse(
    failure: tuple[grpc.StatusCode, str] | None,
) -> None:
    async def body() -> None:
        async with FakeMaster() as master, beating(master):
            for _ in range(3):
                stream = await master.next_stream()
                await stream.opening()
                ended = time.monotonic()
                stream.end(failure)
            await (await master.next_stream()).opening()
            assert time.monotonic() - ended >= PACE.pulse * 0.9
            assert master.most_open_streams == 1

    scenario(body)


def test_the_next_seed_is_tried_when_one_is_down() -> None:
    async def body() -> None:
        down = ServerAddress("127.0.0.1:9999.1")
        async with FakeMaster() as up, beating(down, up):
            await (await up.next_stream()).opening()

    scenario(body)


def test_a_master_that_comes_back_is_found() -> None:
    async def body() -> None:
        async with FakeMaster() as first:
            address, port = first.address, first.grpc_port
        async with beating(address):
            await asyncio.sleep(3 * PACE.pulse)
            again = FakeMaster()
            again.grpc_port = port
            async with again:
                await (await again.next_stream()).opening()

    scenario(body)


def test_persistently_duplicate_directories_end_the_heartbeat_after_three_retries() -> None:
    async def body() -> None:
        async with FakeMaster() as master, beating(master) as cluster:
            moments = []
            for _ in range(4):
                stream = await master.next_stream()
                moments.append(time.monotonic())
                await stream.beat()
                await stream.answer(duplicated_uuids=[UUID])
                stream.end((grpc.StatusCode.UNKNOWN, "Duplicated volume directories were loaded"))
            with pytest.raises(DuplicateDirectoriesError, match=f"after 3 retries: .{UUID}"):
                await cluster.ended()
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            assert gaps[1] >= 2 * PACE.duplicate
            assert gaps[2] >= 4 * PACE.duplicate
            assert master.most_open_streams == 1

    scenario(body)


def test_refusals_that_stop_are_forgiven() -> None:
    async def body() -> None:
        async with FakeMaster() as master, beating(master) as cluster:
            for round_number in range(8):
                stream = await master.next_stream()
                await stream.beat()
                if round_number % 3 == 2:
                    stream.end()  # an ordinary failure between refusals starts the count anew
                else:
                    await stream.answer(duplicated_uuids=[UUID])
            await asyncio.sleep(0.05)
            assert not cluster.task.done()

    scenario(body)


def test_new_limits_that_change_the_automatic_maximum_are_answered_with_one_beat_at_once() -> None:
    async def body() -> None:
        store = FakeStore()
        store.max_changes = True
        async with FakeMaster() as master, beating(master, store=store, pace=SLOW):
            stream = await master.next_stream()
            await stream.opening()
            store.max_volume_counts = {"": 2430}
            await stream.answer(
                volume_size_limit=LIMIT, preallocate=True, volume_digest_supported=True
            )
            extra = await stream.beat()
            assert dict(extra.max_volume_counts) == {"": 2430}
            assert extra.has_no_volumes, "decided before the digest support was heard of"
            assert store.adjustments == [(LIMIT, True)]
            await stream.answer(volume_size_limit=LIMIT, preallocate=True)
            await stream.answer(volume_size_limit=2 * LIMIT, preallocate=True)
            await stream.beat()
            assert store.adjustments == [(LIMIT, True), (2 * LIMIT, True)]
            assert stream.beats.empty()

    scenario(body)


def test_a_size_limit_of_zero_is_no_news() -> None:
    async def body() -> None:
        store = FakeStore()
        store.volume_size_limit = LIMIT
        store.max_changes = True
        async with FakeMaster() as master, beating(master, store=store, pace=SLOW):
            stream = await master.next_stream()
            await stream.opening()
            await stream.answer()
            await asyncio.sleep(0.1)
            assert store.volume_size_limit == LIMIT
            assert stream.beats.empty()

    scenario(body)


def test_leaving_sends_an_empty_beat_and_closes_the_stream_for_good() -> None:
    async def body() -> None:
        store = FakeStore()
        store.put(1)
        async with FakeMaster() as master, beating(master, store=store, pace=SLOW) as cluster:
            stream = await master.next_stream()
            await stream.opening()
            threading.Thread(target=cluster.heartbeat.stop).start()
            last = await stream.beat()
            assert last.has_no_volumes
            assert not last.volumes
            await stream.gone()
            await cluster.ended()
            cluster.heartbeat.stop()
            cluster.heartbeat.publish(volume_event("new", 2))  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            assert master.stream_count == 1

    scenario(body)


def test_leaving_does_not_wait_for_a_master_that_is_away() -> None:
    async def body() -> None:
        async with beating(ServerAddress("127.0.0.1:9999.1"), pace=SLOW) as cluster:
            await asyncio.sleep(0.1)
            cluster.heartbeat.stop()
            await cluster.ended()

    scenario(body)


def test_leaving_before_the_first_beat_never_opens_a_stream() -> None:
    async def body() -> None:
        async with FakeMaster() as master, beating(master) as cluster:
            cluster.heartbeat.stop()
            await cluster.ended()
            assert master.stream_count == 0

    scenario(body)


def test_leaving_does_not_wait_for_a_store_that_hangs() -> None:
    async def body() -> None:
        store = FakeStore()
        release = threading.Event()
        async with FakeMaster() as master, beating(master, store=store) as cluster:
            await (await master.next_stream()).opening()
            store.before_snapshot = lambda: release.wait(20) and None
            await asyncio.sleep(2 * PACE.pulse)
            cluster.heartbeat.stop()
            try:
                await cluster.ended()
            finally:
                release.set()

    scenario(body)


def test_a_failing_store_ends_a_session_but_not_the_heartbeat() -> None:
    async def body() -> None:
        store = FakeStore()

        def fail_once() -> None:
            store.before_snapshot = lambda: None
            raise OSError(5, "Input/output error")

        store.before_snapshot = fail_once
        async with FakeMaster() as master, beating(master, store=store):
            await (await _stream_with_beats(master)).opening()

    scenario(body)


async def _stream_with_beats(master: FakeMaster) -> Any:
    """The first stream that is not closed again without a beat."""
    while True:
        stream = await master.next_stream()
        gone = asyncio.create_task(stream.closed_by_peer.wait())
        await asyncio.wait({gone}, timeout=0.1)
        if not gone.done():
            gone.cancel()
            return stream
