"""gRPC channels to other servers: one shared channel a target, dropped when it looks broken.

Everything here belongs to the control plane's event loop. Source of the settings and of the rule
when a channel is dropped: weed/pb/grpc_client_server.go: GrpcDial, WithGrpcClient.
"""

import asyncio
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor

from fastvol.cluster.peer_name import name_of
from fastvol.cluster.server_address import ServerAddress, join_host_port
from fastvol.cluster.stub import bind
from fastvol.errors import reason_of
from fastvol.limits import (
    CHANNEL_DRAIN_SECONDS,
    GRPC_KEEPALIVE_MS,
    GRPC_KEEPALIVE_TIMEOUT_MS,
    GRPC_MESSAGE_BYTES_MAX,
    GRPC_METADATA_BYTES_MAX,
    GRPC_STREAM_WINDOW_BYTES,
)
from fastvol.security.grpc_tls import GrpcIdentities

REQUEST_ID_KEY: Final = "x-amz-request-id"

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being handled; calls made on its behalf carry it on."""

CHANNEL_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", GRPC_METADATA_BYTES_MAX),
    ("grpc.http2.lookahead_bytes", GRPC_STREAM_WINDOW_BYTES),
    ("grpc.keepalive_time_ms", GRPC_KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", GRPC_KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 0),
    # grpcio stops pinging a quiet stream after two pings; a dead peer must be noticed on it too.
    ("grpc.http2.max_pings_without_data", 0),
    # Subchannels are otherwise shared process-wide, and a fresh channel would inherit the
    # reconnection back-off of the one that was dropped.
    ("grpc.use_local_subchannel_pool", 1),
    # Servers of one cluster talk directly; grpcio would send even loopback through http_proxy.
    ("grpc.enable_http_proxy", 0),
)

_EXPECTED_NAME: Final = "grpc.ssl_target_name_override"
_BROKEN: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL}
)
_BROKEN_UNLESS_OURS: Final = frozenset(
    {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
)


class ChannelPool:
    """The process's channels. Without ``identities`` they are plaintext."""

    def __init__(self, identities: GrpcIdentities | None = None):
        self._identities = identities
        self._shared: dict[str, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, address: ServerAddress, resolved: Sequence[str] = ()) -> grpc.aio.Channel:
        """A channel of the caller's own, for a long stream; the caller closes it.

        With TLS the server is asked for its certificate first, which takes a moment. Whatever is
        wrong with the server shows in the calls.

        ``resolved`` are IP addresses to be dialled, and no others, in the name of ``address``.
        Raises InvalidRequestError for an address whose port is no number.
        """
        target, probed, options = address.grpc, address.grpc, CHANNEL_OPTIONS
        if resolved:
            port = target.rpartition(":")[2]
            options += (("grpc.default_authority", target),)
            target, probed = _literal_target(resolved, port), join_host_port(resolved[0], port)
        if self._identities is None:
            return grpc.aio.insecure_channel(target, options=options)
        identity = self._identities.current
        name = await name_of(probed, identity.probe)
        expected = () if name is None else ((_EXPECTED_NAME, name),)
        return grpc.aio.secure_channel(target, identity.channel, options=(*options, *expected))

    async def call(
        self,
        address: ServerAddress,
        method: MethodDescriptor,
        request: Any,
        *,
        timeout_seconds: float | None = None,
        via: grpc.aio.Channel | None = None,
    ) -> Any:
        """Response of one unary ``method``; raises grpc.aio.AioRpcError and InvalidRequestError.

        ``via`` is a channel of the caller's own.
        """
        channel = via or self._shared.get(address.grpc)
        if channel is None:
            opened = await self.open(address)
            channel = self._shared.setdefault(address.grpc, opened)
            if channel is not opened:  # another caller was faster
                await opened.close(None)
        started = time.monotonic()
        try:
            return await bind(channel, method)(
                request, timeout=timeout_seconds, metadata=_outgoing_metadata()
            )
        except grpc.aio.AioRpcError as error:
            elapsed = time.monotonic() - started
            ours = timeout_seconds is not None and elapsed >= timeout_seconds
            if error.code() in _BROKEN or (error.code() in _BROKEN_UNLESS_OURS and not ours):
                self._drop(address, channel)
            raise

    def _drop(self, address: ServerAddress, channel: grpc.aio.Channel) -> None:
        if self._shared.get(address.grpc) is not channel:
            return  # another caller's failure dropped it already
        del self._shared[address.grpc]
        task = asyncio.ensure_future(channel.close(CHANNEL_DRAIN_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every shared channel at once; calls on them are cancelled."""
        channels, self._shared = self._shared, {}
        for task in self._closing:
            task.cancel()
        for channel in channels.values():
            await channel.close(None)


def _literal_target(addresses: Sequence[str], port: str) -> str:
    """For grpcio, which takes addresses of one family together: that of the first one."""
    is_v6 = ":" in addresses[0]
    alike = [join_host_port(one, port) for one in addresses if (":" in one) == is_v6]
    return f"{'ipv6' if is_v6 else 'ipv4'}:{','.join(alike)}"


def _outgoing_metadata() -> tuple[tuple[str, str], ...]:
    current = request_id.get()
    return ((REQUEST_ID_KEY, current),) if current else ()


def code_name(code: grpc.StatusCode) -> str:
    """Go's spelling of a status code: ``NotFound``, ``Canceled``."""
    if code is grpc.StatusCode.CANCELLED:
        return "Canceled"
    name: str = code.name
    return name if name == "OK" else name.title().replace("_", "")


def error_text(error: BaseException) -> str:
    """``error`` as Go prints it inside another error's text (google.golang.org/grpc/status)."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"rpc error: code = {code_name(error.code())} desc = {error.details() or ''}"
    return reason_of(error)
