"""Messages of streams between threads and the loop, whenever a caller leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from rpc_fakes import WAIT_SECONDS

from fastvol.cluster.stub import Stub
from fastvol.errors import ClientGoneError, StorageError
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.gates import Gates
from fastvol.rpc.server import ControlPlane
from fastvol.rpc.service import VOLUME_SERVER, volume_server_handler
from fastvol.rpc.streams import RequestReceiver
from fastvol.rpc.threads import on_threads, to_the_end


def piece(size: int = 1) -> bytes:
    return pb.CopyFileResponse(file_content=bytes(size)).SerializeToString()


class Server:
    """Streams by handlers of a test, each of which tells when it has ended."""

    def __init__(self, send: Callable[..., Any], receive: Callable[..., Any]) -> None:
        self.ended = threading.Event()
        self.outcome: Any = None
        gates = Gates(lambda ip: True, lambda: False, "server")
        table = {"CopyFile": self._noted(send), "ReceiveFile": self._noted(receive)}
        self._handler = volume_server_handler(gates, table)
        self.plane = ControlPlane("127.0.0.1", 0)

    def _noted(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            try:
                self.outcome = handler(*arguments)
                return self.outcome
            except BaseException as error:
                self.outcome = error
                raise
            finally:
                self.ended.set()

        return run

    @contextmanager
    def running(self) -> Iterator[Stub]:
        self.plane.start()
        try:
            self.plane.serve(self._handler)
            with grpc.insecure_channel(f"127.0.0.1:{self.plane.port}") as channel:
                yield Stub(channel, VOLUME_SERVER)
        finally:
            self.plane.stop(0)

    def wait(self) -> Any:
        assert self.ended.wait(WAIT_SECONDS), "the handler's thread is held"
        return self.outcome


def nothing(*_: Any) -> None:
    """The other handler."""


@pytest.mark.parametrize("size", [1, 300_000])
@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_every_reply_arrives_in_order(count: int, size: int) -> None:
    if size * count > 50_000_000:
        count = 100
    messages = [pb.CopyFileResponse(file_content=b"%d" % n * (size // 8 + 1)) for n in range(count)]
    server = Server(lambda _, send: send.send_each(messages), nothing)
    with server.running() as stub:
        assert list(stub.CopyFile(pb.CopyFileRequest(), timeout=WAIT_SECONDS)) == messages


def test_what_was_sent_before_an_error_arrives_before_it() -> None:
    def failing(_: Any, send: Any) -> None:
        send.send_all([piece()] * 5)
        raise StorageError("then it failed")

    server = Server(failing, nothing)
    found = []
    with server.running() as stub, pytest.raises(grpc.RpcError, match="then it failed"):
        for message in stub.CopyFile(pb.CopyFileRequest(), timeout=WAIT_SECONDS):
            found.append(message)
    assert len(found) == 5


@pytest.mark.parametrize("how", ["each", "one", "all"])
@pytest.mark.parametrize("taken", [0, 1, 2, 300])
def test_a_caller_who_leaves_lets_the_thread_go(how: str, taken: int) -> None:
    """After any number of messages, also while it takes none and the thread waits for it."""

    def forever() -> Iterator[bytes]:
        while True:
            yield piece(1000)

    def endless(_: Any, send: Any) -> str:
        if how == "each":
            while send.send_each(forever()):
                pass
        elif how == "one":
            while send(piece(1000)):
                pass
        else:
            while send.send_all([piece(1000)] * 10):
                pass
        return "told"

    server = Server(endless, nothing)
    with server.running() as stub:
        call = stub.CopyFile(pb.CopyFileRequest(), timeout=WAIT_SECONDS)
        for _ in range(taken):
            next(call)
        time.sleep(0.05)
        call.cancel()
        assert server.wait() == "told"


def test_the_end_of_the_server_lets_threads_go() -> None:
    """Those that send, and those that wait for a request."""
    sending = Server(lambda _, send: [True for _ in iter(lambda: send(piece()), False)], nothing)
    with sending.running() as stub:
        call = stub.CopyFile(pb.CopyFileRequest(), timeout=WAIT_SECONDS)
        next(call)
    sending.wait()

    receiving = Server(nothing, list)
    silent = threading.Event()

    def requests() -> Iterator[Any]:
        yield pb.ReceiveFileRequest(file_content=b"x")
        silent.wait(WAIT_SECONDS)

    with receiving.running() as stub:
        pending = stub.ReceiveFile.future(requests(), timeout=WAIT_SECONDS)
        time.sleep(0.1)
        assert not pending.done()
    assert isinstance(receiving.wait(), ClientGoneError)
    silent.set()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_requests_are_taken_until_the_last(count: int) -> None:
    def take(requests: Any) -> pb.ReceiveFileResponse:
        return pb.ReceiveFileResponse(bytes_written=sum(len(r.file_content) for r in requests))

    server = Server(nothing, take)
    sent = [pb.ReceiveFileRequest(file_content=b"abc")] * count
    with server.running() as stub:
        assert stub.ReceiveFile(iter(sent), timeout=WAIT_SECONDS).bytes_written == 3 * count


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_caller_who_leaves_is_not_one_who_has_ended(count: int) -> None:
    left = threading.Event()

    def requests() -> Iterator[Any]:
        for _ in range(count):
            yield pb.ReceiveFileRequest(file_content=b"abc")
        left.wait(WAIT_SECONDS)

    server = Server(nothing, list)
    with server.running() as stub:
        call = stub.ReceiveFile.future(requests(), timeout=WAIT_SECONDS)
        time.sleep(0.1)
        call.cancel()
        left.set()
        assert isinstance(server.wait(), ClientGoneError)


def test_a_loop_that_has_ended_is_a_caller_who_has_left() -> None:
    """Else the thread would wait for it for ever, and the process for the thread."""

    async def make() -> RequestReceiver:
        return RequestReceiver(None, bytes)  # type: ignore[arg-type]

    receiver = asyncio.run(make())
    with pytest.raises(ClientGoneError):
        next(iter(receiver))


# --- work that must not be left alone ---------------------------------------------------------------


@pytest.mark.parametrize("cancellations", [0, 1, 3])
def test_work_is_waited_for_however_often_its_caller_is_cancelled(cancellations: int) -> None:
    async def run() -> list[str]:
        release, told = threading.Event(), []

        def work() -> str:
            release.wait(WAIT_SECONDS)
            told.append("worked")
            return "result"

        task = asyncio.ensure_future(to_the_end(work))
        await asyncio.sleep(0.02)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
        release.set()
        try:
            told.append(await task)
        except asyncio.CancelledError:
            told.append("cancelled")
        return told

    assert asyncio.run(run()) == ["worked", "cancelled" if cancellations else "result"]


def test_an_error_of_the_work_is_told() -> None:
    def fail() -> None:
        raise StorageError("no")

    with pytest.raises(StorageError, match="no"):
        asyncio.run(to_the_end(fail))


@pytest.mark.parametrize("when", ["entering", "within"])
def test_a_context_is_left_whenever_its_caller_is_cancelled(when: str) -> None:
    steps = []
    release = threading.Event()

    @contextmanager
    def context() -> Iterator[None]:
        release.wait(WAIT_SECONDS)
        steps.append("entered")
        try:
            yield
        finally:
            steps.append("left")

    async def use() -> None:
        async with on_threads(context()):
            await asyncio.sleep(WAIT_SECONDS)

    async def run() -> None:
        task = asyncio.ensure_future(use())
        if when == "within":
            release.set()
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.01)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert steps == ["entered", "left"]
