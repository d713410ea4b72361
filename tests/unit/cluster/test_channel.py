"""Channels are shared by target, dropped when broken, and carry the request id on."""

import asyncio
from typing import Any

import grpc
import pytest
from fake_master import SEAWEED, FakeMaster

from fastvol.cluster.channel import ChannelPool, code_name, error_text, request_id
from fastvol.cluster.server_address import ServerAddress
from fastvol.cluster.stub import Stub
from fastvol.errors import InvalidRequestError
from fastvol.pb import master_pb2

PING = SEAWEED.methods_by_name["Ping"]


async def pong(request: Any, context: Any) -> Any:
    return master_pb2.PingResponse(start_time_ns=7)


def failing(code: grpc.StatusCode) -> Any:
    async def fail(request: Any, context: Any) -> Any:
        await context.abort(code, "as asked")

    return fail


def test_calls_to_one_target_share_a_channel_until_it_breaks() -> None:
    async def body() -> None:
        async with FakeMaster() as master:
            pool = ChannelPool()
            master.unary["Ping"] = pong
            for address in (master.address, ServerAddress(f"127.0.0.1:1.{master.grpc_port}")):
                answer = await pool.call(address, PING, master_pb2.PingRequest())
                assert answer.start_time_ns == 7
            (channel,) = pool._shared.values()
            for code, kept in (
                (grpc.StatusCode.UNKNOWN, True),
                (grpc.StatusCode.RESOURCE_EXHAUSTED, True),
                (grpc.StatusCode.UNAVAILABLE, False),
            ):
                master.unary["Ping"] = failing(code)
                with pytest.raises(grpc.aio.AioRpcError):
                    await pool.call(master.address, PING, master_pb2.PingRequest())
                assert (channel in pool._shared.values()) is kept, code
            master.unary["Ping"] = pong
            await pool.call(master.address, PING, master_pb2.PingRequest())
            await pool.close()

    asyncio.run(body())


def test_our_own_deadline_does_not_cost_the_channel() -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.sleep(5)

    async def body() -> None:
        async with FakeMaster() as master:
            pool = ChannelPool()
            master.unary["Ping"] = hang
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pool.call(
                    master.address, PING, master_pb2.PingRequest(), timeout_seconds=0.05
                )
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert len(pool._shared) == 1
            await pool.close()

    asyncio.run(body())


def test_the_request_id_travels_on() -> None:
    async def body() -> None:
        async with FakeMaster() as master:
            pool = ChannelPool()
            master.unary["Ping"] = pong
            await pool.call(master.address, PING, master_pb2.PingRequest())
            request_id.set("abc-1")
            await pool.call(master.address, PING, master_pb2.PingRequest())
            await pool.close()
            assert "x-amz-request-id" not in master.metadata[0]
            assert master.metadata[1]["x-amz-request-id"] == "abc-1"

    asyncio.run(body())


def test_an_address_without_a_usable_port_is_refused() -> None:
    async def body() -> None:
        with pytest.raises(InvalidRequestError):
            await ChannelPool().call(ServerAddress("h:x"), PING, master_pb2.PingRequest())

    asyncio.run(body())


def test_status_codes_are_spelled_as_go_does() -> None:
    names = {
        "CANCELLED": "Canceled",
        "NOT_FOUND": "NotFound",
        "DEADLINE_EXCEEDED": "DeadlineExceeded",
        "OK": "OK",
        "UNKNOWN": "Unknown",
    }
    for code, name in names.items():
        assert code_name(grpc.StatusCode[code]) == name


def test_a_peers_error_reads_as_in_go() -> None:
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone"
    )
    assert error_text(error) == "rpc error: code = Unavailable desc = gone"
    assert error_text(OSError("x")) == "x"


def test_a_stub_knows_exactly_the_methods_of_its_service() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        stub = Stub(channel, SEAWEED)
        assert callable(stub.SendHeartbeat)
        assert stub.Ping is stub.Ping
        with pytest.raises(AttributeError, match=r"master_pb\.Seaweed has no method Pong"):
            _ = stub.Pong


def test_a_name_that_was_resolved_before_is_not_resolved_again() -> None:
    """Whoever answers for it could say something else the second time."""

    async def body() -> None:
        async with FakeMaster() as master:
            pool = ChannelPool()
            master.unary["Ping"] = pong
            named = ServerAddress(f"no-such-host.invalid:1.{master.grpc_port}")
            channel = await pool.open(named, ["127.0.0.1", "::1", "127.0.0.1"])
            answer = await pool.call(named, PING, master_pb2.PingRequest(), via=channel)
            assert answer.start_time_ns == 7
            assert not pool._shared
            await channel.close(None)

    asyncio.run(body())
