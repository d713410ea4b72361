"""The control plane as a whole: port, request ids, missing methods, blocking work, stopping."""

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from rpc_fakes import WAIT_SECONDS, Node, serving

from fastvol.cluster.channel import request_id
from fastvol.errors import ConfigError
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.gates import Gates
from fastvol.rpc.server import ControlPlane
from fastvol.rpc.service import VOLUME_SERVER, volume_server_handler

OPEN = Gates(lambda _: True, lambda: False, "n")


class Alone(Node):
    """A node that serves one handler table only."""

    def __init__(self, table: dict[str, Callable[[Any], Any]]) -> None:
        super().__init__()
        self.handler = volume_server_handler(OPEN, table)


def test_methods_without_a_handler_say_so() -> None:
    with serving(Alone({})) as node:
        for method in VOLUME_SERVER.methods:
            request: Any = GetMessageClass(method.input_type)()
            if method.client_streaming:
                request = iter([request])
            assert node.refusal(method.name, request) == (
                grpc.StatusCode.UNIMPLEMENTED,
                f"{method.name} is not built yet in fastvol",
            )


def test_an_unknown_method_is_unimplemented(node: Node) -> None:
    call = node.channel.unary_unary("/volume_server_pb.VolumeServer/Nope")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_bytes_that_are_no_message_are_an_internal_error(node: Node) -> None:
    call = node.channel.unary_unary("/volume_server_pb.VolumeServer/VolumeStatus")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "cannot parse invalid wire-format data" in caught.value.details()
    assert node.call("Ping", pb.PingRequest()).start_time_ns


def trailer(call: Any) -> str | None:
    return dict(call.trailing_metadata()).get("x-amz-request-id")


def test_unary_calls_return_the_request_id_that_was_sent_or_a_new_one(node: Node) -> None:
    _, call = node.stub.Ping.with_call(
        pb.PingRequest(), metadata=(("x-amz-request-id", "given"),), timeout=WAIT_SECONDS
    )
    assert trailer(call) == "given"
    seen = set()
    for _ in range(2):
        _, call = node.stub.Ping.with_call(pb.PingRequest(), timeout=WAIT_SECONDS)
        made = trailer(call)
        assert made is not None
        assert str(uuid.UUID(made)) == made
        assert uuid.UUID(made).version == 4
        seen.add(made)
    assert len(seen) == 2


def test_failing_unary_calls_return_the_request_id_too_and_streams_do_not(node: Node) -> None:
    metadata = (("x-amz-request-id", "given"),)
    with pytest.raises(grpc.RpcError) as caught:
        node.stub.VolumeStatus(
            pb.VolumeStatusRequest(volume_id=9), metadata=metadata, timeout=WAIT_SECONDS
        )
    assert trailer(caught.value) == "given"
    with pytest.raises(grpc.RpcError) as caught:
        list(node.stub.CopyFile(pb.CopyFileRequest(), metadata=metadata, timeout=WAIT_SECONDS))
    assert trailer(caught.value) is None


def test_the_request_id_is_known_to_blocking_and_to_asynchronous_handlers() -> None:
    seen: list[str] = []

    def blocking(_: Any) -> Any:
        seen.append(request_id.get())
        return pb.VolumeMountResponse()

    async def asynchronous(_: Any) -> Any:
        seen.append(request_id.get())
        return pb.PingResponse()

    with serving(Alone({"VolumeMount": blocking, "Ping": asynchronous})) as node:
        metadata = (("x-amz-request-id", "r-1"),)
        node.stub.VolumeMount(pb.VolumeMountRequest(), metadata=metadata, timeout=WAIT_SECONDS)
        node.stub.Ping(pb.PingRequest(), metadata=metadata, timeout=WAIT_SECONDS)
        assert seen == ["r-1", "r-1"]


def test_any_number_of_blocked_calls_leaves_room_for_the_next() -> None:
    release = threading.Event()
    entered = threading.Semaphore(0)

    def blocked(_: Any) -> Any:
        entered.release()
        release.wait(WAIT_SECONDS)
        return pb.VolumeUnmountResponse()

    def quick(_: Any) -> Any:
        return pb.VolumeMountResponse()

    with serving(Alone({"VolumeUnmount": blocked, "VolumeMount": quick})) as node:
        calls = [node.stub.VolumeUnmount.future(pb.VolumeUnmountRequest()) for _ in range(100)]
        for _ in calls:
            assert entered.acquire(timeout=WAIT_SECONDS)
        node.call("VolumeMount", pb.VolumeMountRequest())
        release.set()
        for call in calls:
            call.result(timeout=WAIT_SECONDS)


def test_a_bug_in_a_handler_fails_its_call_only() -> None:
    def broken(_: Any) -> Any:
        raise KeyError("oops")

    with serving(Alone({"VolumeMount": broken})) as node:
        assert node.refusal("VolumeMount", pb.VolumeMountRequest()) == (
            grpc.StatusCode.UNKNOWN,
            "internal error: KeyError: 'oops'",
        )
        assert node.refusal("Ping", pb.PingRequest())[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_port_in_use_is_a_clear_error_and_not_shared() -> None:
    first = ControlPlane("127.0.0.1", 0)
    first.start()
    try:
        port = first.port
        with pytest.raises(ConfigError) as caught:
            ControlPlane("127.0.0.1", port).start()
        assert str(caught.value) == (
            f"failed to listen on grpc port {port}: "
            f"listen tcp 127.0.0.1:{port}: bind: address already in use"
        )
    finally:
        first.stop(0)
    again = ControlPlane("127.0.0.1", port)
    again.start()
    again.stop(0)


def test_an_address_that_is_not_ours_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="bind: cannot assign requested address"):
        ControlPlane("192.0.2.1", 0).start()


def test_the_port_is_bound_before_calls_are_answered() -> None:
    node = Node()
    node.plane.start()
    try:
        with socket.create_connection(("127.0.0.1", node.plane.port), WAIT_SECONDS):
            pass
        target = f"127.0.0.1:{node.plane.port}"
        with grpc.insecure_channel(target) as channel:
            early = channel.unary_unary("/volume_server_pb.VolumeServer/GetState")
            with pytest.raises(grpc.RpcError):
                early(b"", timeout=0.2)
        node.plane.serve(node.handler)
        with grpc.insecure_channel(target) as channel:
            late = channel.unary_unary("/volume_server_pb.VolumeServer/GetState")
            assert late(b"", timeout=WAIT_SECONDS) == b"\x0a\x00"
    finally:
        node.plane.stop(0)


def test_all_addresses_are_served_when_none_is_given() -> None:
    plane = ControlPlane("", 0)
    plane.start()
    try:
        with socket.create_connection(("127.0.0.1", plane.port), WAIT_SECONDS):
            pass
    finally:
        plane.stop(0)


def test_stopping_lets_a_running_call_finish() -> None:
    entered = threading.Event()
    release = threading.Event()

    def slow(_: Any) -> Any:
        entered.set()
        release.wait(WAIT_SECONDS)
        return pb.VolumeMountResponse()

    with serving(Alone({"VolumeMount": slow})) as node:
        call = node.stub.VolumeMount.future(pb.VolumeMountRequest())
        assert entered.wait(WAIT_SECONDS)
        stopping = threading.Thread(target=node.plane.stop, args=(WAIT_SECONDS,))
        stopping.start()
        time.sleep(0.1)
        assert stopping.is_alive()
        release.set()
        assert call.result(timeout=WAIT_SECONDS) == pb.VolumeMountResponse()
        stopping.join(WAIT_SECONDS)
        assert not stopping.is_alive()
        node.plane.stop()


def test_work_of_other_threads_runs_on_the_loop_and_can_be_cancelled() -> None:
    plane = ControlPlane("127.0.0.1", 0)
    plane.start()
    try:

        async def where() -> str:
            return threading.current_thread().name

        assert plane.submit(where()).result(WAIT_SECONDS) == "fastvol-control-plane"
        begun, cancelled = threading.Event(), threading.Event()

        async def wait() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()

        future = plane.submit(wait())
        assert begun.wait(WAIT_SECONDS)
        future.cancel()
        assert cancelled.wait(WAIT_SECONDS)
    finally:
        plane.stop(0)


def test_the_loop_is_a_plain_one_under_any_policy() -> None:
    assert isinstance(ControlPlane("127.0.0.1", 0)._loop, asyncio.SelectorEventLoop)
