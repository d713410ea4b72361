"""The VolumeServer service, put together from the handlers of the modules beside this one.

A handler is a function from request to response, named in a table by its method. A plain function
may block: it runs on a thread. A coroutine function runs on the control plane's loop and must not
block. The handler of a method that streams its replies gets a ``ReplySender`` beside the request and
returns nothing; that of a method that streams its requests gets a ``RequestReceiver`` for a request
(:mod:`fastvol.rpc.streams`).
Everything common to all calls is here: the gates before, the status of an error after.
Methods without a handler are refused, so that a caller sees at once what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from fastvol.cluster.stub import call_kind
from fastvol.errors import UnsupportedError
from fastvol.log_limiter import LogLimiter
from fastvol.pb import volume_server_pb2
from fastvol.rpc.gates import Gates
from fastvol.rpc.status import is_expected, status_of
from fastvol.rpc.streams import ReplySender, RequestReceiver, as_bytes

VOLUME_SERVER: Final = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"]

_UNDECODABLE: Final = (
    "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data"
)

Handler = Callable[..., Any]
Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)
_per_call = LogLimiter(log)


def volume_server_handler(
    gates: Gates, *handler_tables: Mapping[str, Handler]
) -> grpc.GenericRpcHandler[Any, Any]:
    """What a gRPC server needs to serve VolumeServer with the given handlers.

    A method named twice or unknown to the service is a mistake of the caller's.
    """
    handlers: dict[str, Handler] = {}
    for table in handler_tables:
        for name, handler in table.items():
            method = VOLUME_SERVER.methods_by_name[name]
            assert not (method.client_streaming and iscoroutinefunction(handler)), name
            assert name not in handlers, f"two handlers for {name}"
            handlers[name] = handler
    return grpc.method_handlers_generic_handler(
        VOLUME_SERVER.full_name,
        {
            method.name: _method_handler(method, handlers.get(method.name), gates)
            for method in VOLUME_SERVER.methods
        },
    )


def _method_handler(
    method: MethodDescriptor, handler: Handler | None, gates: Gates
) -> grpc.RpcMethodHandler[Any, Any]:
    make = getattr(grpc, f"{call_kind(method)}_rpc_method_handler")
    made: grpc.RpcMethodHandler[Any, Any] = make(_guarded(method, handler, gates))
    return made


def _guarded(
    method: MethodDescriptor, handler: Handler | None, gates: Gates
) -> Callable[[Any, Any], Any]:
    """``handler`` behind its gates, with errors turned into a status.

    Requests are decoded here and not by grpcio, which logs a stack trace for bytes that are no
    message and answers with another code than Go.
    """
    name = method.name
    decode = GetMessageClass(method.input_type).FromString

    async def answer(request: Any, context: Context) -> bytes | None:
        if handler is None:
            raise UnsupportedError(f"{name} is not built yet in fastvol")
        if method.server_streaming:
            await _stream(handler, request, context)
            return None
        if iscoroutinefunction(handler):
            return as_bytes(await handler(request))
        if isinstance(request, RequestReceiver):
            try:
                return as_bytes(await asyncio.to_thread(handler, request))
            finally:
                request.drop()
        return as_bytes(await asyncio.to_thread(handler, request))

    async def call(raw: Any, context: Context) -> bytes | None:
        try:
            request = RequestReceiver(context, decode) if method.client_streaming else decode(raw)
            gates.check(name, context.peer())
            return await answer(request, context)
        except DecodeError:
            code, text = grpc.StatusCode.INTERNAL, _UNDECODABLE
        except Exception as error:
            if not is_expected(error):
                _per_call.error((name, type(error).__name__), "%s failed", name, exc_info=True)
            code, text = status_of(error)
        await context.abort(code, text)
        raise AssertionError("unreachable: abort raises")

    return call


async def _stream(handler: Handler, request: Any, context: Context) -> None:
    """Runs a streaming handler, on a thread unless it is a coroutine function."""
    send = ReplySender(context)
    try:
        try:
            if iscoroutinefunction(handler):
                await handler(request, send)
            else:
                await asyncio.to_thread(handler, request, send)
        except Exception:
            await asyncio.to_thread(send.flush)  # what was sent before the error arrives before it
            raise
        await asyncio.to_thread(send.flush)
    finally:
        send.drop()
