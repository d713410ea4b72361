"""The control plane: one thread, one asyncio loop, the gRPC server and all that lives beside it.

The heartbeat, calls to masters and timers run on the same loop (``submit``). grpcio's asyncio
layer is bound to the loop and the thread that first use it, and does not work under uvloop, so the
loop is a plain one whatever policy the process has, and nothing else may touch grpc.aio objects.
Blocking file work goes to a pool of threads that grows on demand, because a copy may hold a thread
for hours.

Order of use: ``start`` binds the port without answering, ``serve`` begins to answer, ``stop``
finishes running calls and ends the thread. Source of the settings: weed/pb/grpc_client_server.go:
NewGrpcServer; weed/command/volume.go: startGrpcService.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

import grpc

from fastvol.cluster.server_address import join_host_port
from fastvol.errors import ConfigError, reason_of
from fastvol.limits import (
    CONTROL_THREADS_MAX,
    GRPC_KEEPALIVE_MS,
    GRPC_KEEPALIVE_TIMEOUT_MS,
    GRPC_MESSAGE_BYTES_MAX,
    GRPC_METADATA_BYTES_MAX,
    GRPC_PING_INTERVAL_MS_MIN,
    GRPC_STOP_SECONDS,
    GRPC_STREAM_WINDOW_BYTES,
    GRPC_STREAMS_MAX,
)
from fastvol.rpc.interceptors import CallerInterceptor, RequestIdInterceptor
from fastvol.security.grpc_tls import GrpcIdentities

SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", GRPC_STREAMS_MAX),
    ("grpc.max_metadata_size", GRPC_METADATA_BYTES_MAX),
    ("grpc.http2.lookahead_bytes", GRPC_STREAM_WINDOW_BYTES),
    ("grpc.keepalive_time_ms", GRPC_KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", GRPC_KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", GRPC_PING_INTERVAL_MS_MIN),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", GRPC_PING_INTERVAL_MS_MIN),
    ("grpc.http2.max_ping_strikes", 0),
    # A second server on the port must fail at its start, not share the calls.
    ("grpc.so_reuseport", 0),
)

T = TypeVar("T")

log = logging.getLogger(__name__)


class ControlPlane:
    """The gRPC server on ``host``:``port`` ("" for all addresses, 0 for any port).

    Without ``identities`` it is plaintext; with them every caller shows a certificate.
    Its methods are for other threads than its own.
    """

    def __init__(self, host: str, port: int, *, identities: GrpcIdentities | None = None):
        self._host = host
        self._identities = identities
        self._loop = asyncio.SelectorEventLoop()
        self._threads = ThreadPoolExecutor(CONTROL_THREADS_MAX, "fastvol-control")
        self._thread = threading.Thread(target=self._run, name="fastvol-control-plane")
        self._server: grpc.aio.Server | None = None
        self._serving = False
        self.port = port
        """The port, once ``start`` has returned also when any was asked for."""

    def start(self) -> None:
        """Start the thread and bind the port; raises ConfigError when the port cannot be had."""
        self._thread.start()
        try:
            self.port = self.submit(self._bind()).result()
        except BaseException:
            self._end()
            raise

    def serve(self, *handlers: grpc.GenericRpcHandler[Any, Any]) -> None:
        """Begin to answer calls; until then connections wait."""
        self.submit(self._serve(handlers)).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``work`` on the control plane's loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self, grace_seconds: float = GRPC_STOP_SECONDS) -> None:
        """Refuse new calls, let running ones finish for ``grace_seconds``, end the thread."""
        if not self._thread.is_alive():
            return
        self.submit(self._close(grace_seconds)).result()
        self._end()

    async def _bind(self) -> int:
        address = _listen_address(self._host, self.port)
        _refuse_taken_port(self._host, self.port, address)
        identities = self._identities
        callers = () if identities is None else (CallerInterceptor(identities),)
        interceptors = (*callers, RequestIdInterceptor())
        server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=interceptors)
        try:
            if identities is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, identities.server_credentials())
        except RuntimeError as error:
            raise _cannot_listen(self.port, address, str(error)) from error
        self._server = server
        return port

    async def _serve(self, handlers: tuple[grpc.GenericRpcHandler[Any, Any], ...]) -> None:
        assert self._server is not None, "serve() comes after start()"
        self._server.add_generic_rpc_handlers(handlers)
        await self._server.start()
        self._serving = True

    async def _close(self, grace_seconds: float) -> None:
        if self._server is None:
            return
        if not self._serving:
            await self._server.start()  # grpcio gives the port back only from a started server
        await self._server.stop(grace_seconds)

    def _run(self) -> None:
        self._loop.set_default_executor(self._threads)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._cancel_all())
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._loop.close()

    async def _cancel_all(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _listen_address(host: str, port: int) -> str:
    if not host:
        return f"[::]:{port}"  # grpcio falls back to IPv4 where there is no IPv6
    return join_host_port(host, port)


def _refuse_taken_port(host: str, port: int, address: str) -> None:
    """Ask the operating system first: grpcio reports a failed bind without the reason."""
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise _cannot_listen(port, address, f"lookup {host}: {error.strerror}") from error
    family, kind, protocol, _, where = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen(1)
        except OSError as error:
            raise _cannot_listen(port, address, f"bind: {reason_of(error).lower()}") from error


def _cannot_listen(port: int, address: str, reason: str) -> ConfigError:
    return ConfigError(f"failed to listen on grpc port {port}: listen tcp {address}: {reason}")
