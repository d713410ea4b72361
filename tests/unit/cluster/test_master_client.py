"""What is asked of masters, and what happens when they are down, slow or not the leader."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from fake_master import FakeMaster
from fake_node import volume_report

from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.master_client import MasterClient
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import MasterError
from fastvol.pb import master_pb2

DOWN = ServerAddress("127.0.0.1:9999.1")


def scenario(body: Callable[[ChannelPool], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            pool = ChannelPool()
            await body(pool)
            await pool.close()

    asyncio.run(bounded())


def client(pool: ChannelPool, *seeds: ServerAddress) -> MasterClient:
    return MasterClient(pool, seeds, ip="127.0.0.1", port=8080)


def answering(response: Any) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        return response

    return answer


def refusing(text: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> Any:
    async def refuse(request: Any, context: Any) -> Any:
        await context.abort(code, text)

    return refuse


def test_start_goes_round_the_seeds_until_one_answers() -> None:
    async def body(pool: ChannelPool) -> None:
        async with FakeMaster() as master:
            attempts = 0

            async def second_time(request: Any, context: Any) -> Any:
                nonlocal attempts
                attempts += 1
                if attempts == 1:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
                return master_pb2.GetMasterConfigurationResponse(volume_size_limit_m_b=32)

            master.unary["GetMasterConfiguration"] = second_time
            masters = client(pool, DOWN, master.address)
            found = await masters.wait_for_configuration(retry_seconds=0.02)
            assert found.volume_size_limit_m_b == 32
            assert attempts == 2

    scenario(body)


def test_waiting_for_a_master_can_be_interrupted() -> None:
    async def body(pool: ChannelPool) -> None:
        waiting = asyncio.create_task(client(pool, DOWN).wait_for_configuration())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    scenario(body)


def test_a_read_only_mark_names_the_volume_as_it_is_registered() -> None:
    async def body(pool: ChannelPool) -> None:
        async with FakeMaster() as master:
            master.unary["VolumeMarkReadonly"] = answering(master_pb2.VolumeMarkReadonlyResponse())
            volume = volume_report(
                7, collection="c", replica_placement=10, ttl=769, disk_type="ssd"
            )
            await client(pool, master.address).notify_read_only(volume, read_only=True)
            ((_, request),) = master.calls
            assert request == master_pb2.VolumeMarkReadonlyRequest(
                ip="127.0.0.1",
                port=8080,
                volume_id=7,
                collection="c",
                replica_placement=10,
                ttl=769,
                disk_type="ssd",
                is_readonly=True,
            )

    scenario(body)


def test_a_master_that_cannot_be_told_is_an_error_with_upstreams_text() -> None:
    async def body(pool: ChannelPool) -> None:
        with pytest.raises(MasterError) as caught:
            await client(pool, DOWN).notify_read_only(volume_report(8400), read_only=False)
        assert str(caught.value).startswith(
            "grpc VolumeMarkReadonly with master 127.0.0.1:9999: "
            "set volume 8400 to read only on master: rpc error: code = Unavailable desc = "
        )

    scenario(body)


def test_a_mark_is_repeated_once_at_the_leader() -> None:
    async def body(pool: ChannelPool) -> None:
        async with FakeMaster(9333) as follower, FakeMaster(9334) as leader:
            follower.unary["VolumeMarkReadonly"] = refusing("Not current leader")
            follower.unary["GetMasterConfiguration"] = answering(
                master_pb2.GetMasterConfigurationResponse(leader=leader.address.text)
            )
            leader.unary["VolumeMarkReadonly"] = answering(master_pb2.VolumeMarkReadonlyResponse())
            masters = client(pool, DOWN, follower.address)
            masters.current = follower.address
            await masters.notify_read_only(volume_report(7), read_only=True)
            assert [name for name, _ in leader.calls] == ["VolumeMarkReadonly"]

            leader.unary["VolumeMarkReadonly"] = refusing("Not current leader")
            with pytest.raises(MasterError, match=r"with master 127\.0\.0\.1:9334: .*Not current"):
                await masters.notify_read_only(volume_report(7), read_only=True)
            assert len(leader.calls) == 2, "no second retry"

    scenario(body)


def test_a_leader_that_cannot_be_found_is_said_so() -> None:
    async def body(pool: ChannelPool) -> None:
        async with FakeMaster() as master:
            master.unary["VolumeMarkReadonly"] = refusing("Not current leader")
            master.unary["GetMasterConfiguration"] = refusing("no quorum")
            with pytest.raises(MasterError) as caught:
                await client(pool, master.address).notify_read_only(
                    volume_report(7), read_only=True
                )
            assert str(caught.value) == (
                "heartbeat master 127.0.0.1:9333 rejected mark-readonly and leader lookup failed: "
                "rpc error: code = Unknown desc = no quorum"
            )

    scenario(body)


def test_volumes_are_looked_up_at_the_current_master() -> None:
    async def body(pool: ChannelPool) -> None:
        async with FakeMaster() as master:
            wanted = master_pb2.LookupVolumeResponse()
            found = wanted.volume_id_locations.add(volume_or_file_id="7")
            found.locations.add(url="a:8080", grpc_port=18080)
            master.unary["LookupVolume"] = answering(wanted)
            masters = client(pool, DOWN, master.address)
            with pytest.raises(MasterError):
                await masters.lookup_volume([7])
            masters.current = master.address
            assert await masters.lookup_volume([7, 8]) == wanted
            assert list(master.calls[-1][1].volume_or_file_ids) == ["7", "8"]

    scenario(body)


def test_seeds_and_the_current_master_are_known_by_their_http_form() -> None:
    async def body(pool: ChannelPool) -> None:
        masters = client(pool, ServerAddress("a:9333.1"), ServerAddress("b:9333"))
        masters.current = ServerAddress("c:9333")
        for known in ("a:9333", "b:9333.7", "c:9333"):
            assert masters.is_known(known)
        for unknown in ("a:9334", "", "a"):
            assert not masters.is_known(unknown)

    scenario(body)


def test_a_ping_brings_the_masters_clock() -> None:
    async def body(pool: ChannelPool) -> None:
        async with FakeMaster() as master:
            master.unary["Ping"] = answering(master_pb2.PingResponse(start_time_ns=99))
            assert await client(pool, DOWN).ping(master.address) == 99

    scenario(body)
