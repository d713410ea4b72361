"""A master that does what the test says: streams and answers are driven by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import grpc
from google.protobuf.message_factory import GetMessageClass

from fastvol.cluster.server_address import ServerAddress
from fastvol.pb import master_pb2

SEAWEED = master_pb2.DESCRIPTOR.services_by_name["Seaweed"]
WAIT_SECONDS = 5


class FakeStream:
    """One heartbeat stream, seen from the master."""

    def __init__(self, context: grpc.aio.ServicerContext) -> None:
        self.context = context
        self.beats: asyncio.Queue[Any] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.closed_by_peer = asyncio.Event()
        self.failure: tuple[grpc.StatusCode, str] | None = None

    async def beat(self) -> Any:
        return await asyncio.wait_for(self.beats.get(), WAIT_SECONDS)

    async def opening(self) -> Any:
        """The first volume beat, after checking that the EC beat follows it."""
        first = await self.beat()
        ec = await self.beat()
        assert ec.SerializeToString() == bytes.fromhex("980101")
        return first

    async def answer(self, **fields: Any) -> None:
        await self.context.write(master_pb2.HeartbeatResponse(**fields))

    def end(self, failure: tuple[grpc.StatusCode, str] | None = None) -> None:
        self.failure = failure
        self.ended.set()

    async def gone(self) -> None:
        await asyncio.wait_for(self.closed_by_peer.wait(), WAIT_SECONDS)


class FakeMaster:
    """An ``async with`` block of a listening master; ``unary[name]`` answers a unary method."""

    def __init__(
        self,
        http_port: int = 9333,
        credentials: grpc.ServerCredentials | None = None,
        grpc_port: int = 0,
    ) -> None:
        self.http_port = http_port
        self.grpc_port = grpc_port
        self._credentials = credentials
        self.streams: asyncio.Queue[FakeStream] = asyncio.Queue()
        self.stream_count = 0
        self.open_streams = 0
        self.most_open_streams = 0
        self.unary: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []

    @property
    def address(self) -> ServerAddress:
        return ServerAddress(f"127.0.0.1:{self.http_port}.{self.grpc_port}")

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        handlers = {"SendHeartbeat": self._stream_handler("SendHeartbeat")}
        for method in SEAWEED.methods:
            if not (method.client_streaming or method.server_streaming):
                handlers[method.name] = self._unary_handler(method.name)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SEAWEED.full_name, handlers),)
        )
        address = f"127.0.0.1:{self.grpc_port}"
        if self._credentials is None:
            self.grpc_port = self._server.add_insecure_port(address)
        else:
            self.grpc_port = self._server.add_secure_port(address, self._credentials)
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def next_stream(self) -> FakeStream:
        return await asyncio.wait_for(self.streams.get(), WAIT_SECONDS)

    def _codec(self, name: str) -> dict[str, Any]:
        method = SEAWEED.methods_by_name[name]
        return {
            "request_deserializer": GetMessageClass(method.input_type).FromString,
            "response_serializer": GetMessageClass(method.output_type).SerializeToString,
        }

    def _unary_handler(self, name: str) -> grpc.RpcMethodHandler:
        async def handle(request: Any, context: Any) -> Any:
            self.calls.append((name, request))
            self.metadata.append(dict(context.invocation_metadata()))
            if name not in self.unary:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {name} in this test")
            return await self.unary[name](request, context)

        return grpc.unary_unary_rpc_method_handler(handle, **self._codec(name))

    def _stream_handler(self, name: str) -> grpc.RpcMethodHandler:
        async def handle(requests: Any, context: Any) -> None:
            stream = FakeStream(context)
            self.stream_count += 1
            self.open_streams += 1
            self.most_open_streams = max(self.most_open_streams, self.open_streams)
            self.streams.put_nowait(stream)
            ended = asyncio.create_task(stream.ended.wait())

            async def pump() -> None:
                async for request in requests:
                    stream.beats.put_nowait(request)

            pumping = asyncio.create_task(pump())
            try:
                await asyncio.wait({pumping, ended}, return_when=asyncio.FIRST_COMPLETED)
                if stream.failure:
                    await context.abort(*stream.failure)
            finally:
                self.open_streams -= 1
                stream.closed_by_peer.set()
                pumping.cancel()
                ended.cancel()

        return grpc.stream_stream_rpc_method_handler(handle, **self._codec(name))
