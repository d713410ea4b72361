"""The VolumeServer service, put together from the handlers of the modules beside this one.

A handler is a function from request to response, named in a table by its method. A plain function
may block: it runs on a thread. A coroutine function runs on the control plane's loop and must not
block. The handler of a method that streams its replies is a plain function from request and ``send``:
``send(reply)`` waits until the reply is on its way, and is False when the caller has gone.
Everything common to all calls is here: the gates before, the status of an error after.
Methods without a handler are refused, so that a caller sees at once what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
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

VOLUME_SERVER: Final = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"]

_UNDECODABLE: Final = (
    "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data"
)

Handler = Callable[..., Any]

log = logging.getLogger(__name__)
_per_call = LogLimiter(log)


def volume_server_handler(
    gates: Gates, *handler_tables: Mapping[str, Handler]
) -> grpc.GenericRpcHandler[Any, Any]:
    """What a gRPC server needs to serve VolumeServer with the given handlers.

    A method named twice, unknown to the service or with streamed requests is a mistake of the
    caller's.
    """
    handlers: dict[str, Handler] = {}
    for table in handler_tables:
        for name, handler in table.items():
            method = VOLUME_SERVER.methods_by_name[name]
            assert not method.client_streaming, name
            assert not (method.server_streaming and iscoroutinefunction(handler)), name
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
    made: grpc.RpcMethodHandler[Any, Any] = make(
        _guarded(method, handler or _not_built(method.name), gates),
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
    return made


def _guarded(method: MethodDescriptor, handler: Handler, gates: Gates) -> Callable[[Any, Any], Any]:
    """``handler`` behind its gates, with errors turned into a status.

    Requests are decoded here and not by grpcio, which logs a stack trace for bytes that are no
    message and answers with another code than Go.
    """
    name = method.name
    decode = GetMessageClass(method.input_type).FromString

    async def call(raw: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            request = raw if method.client_streaming else decode(raw)
            gates.check(name, context.peer())
            if iscoroutinefunction(handler):
                return await handler(request)
            if method.server_streaming:
                return await _stream(handler, request, context)
            return await asyncio.to_thread(handler, request)
        except DecodeError:
            code, text = grpc.StatusCode.INTERNAL, _UNDECODABLE
        except Exception as error:
            if not is_expected(error):
                _per_call.error((name, type(error).__name__), "%s failed", name, exc_info=True)
            code, text = status_of(error)
        return await context.abort(code, text)

    return call


async def _stream(
    handler: Callable[[Any, Callable[[Any], bool]], None],
    request: Any,
    context: grpc.aio.ServicerContext[Any, Any],
) -> None:
    """Runs a streaming handler on a thread; its messages are written here."""
    loop = asyncio.get_running_loop()
    gone = threading.Event()

    def send(message: Any) -> bool:
        if gone.is_set():
            return False
        try:
            asyncio.run_coroutine_threadsafe(context.write(message), loop).result()
        except Exception:  # whatever it is, nothing reaches the caller any more
            gone.set()
        return not gone.is_set()

    try:
        await asyncio.to_thread(handler, request, send)
    finally:
        gone.set()


def _not_built(name: str) -> Handler:
    async def refuse(_: Any) -> Any:
        raise UnsupportedError(f"{name} is not built yet in fastvol")

    return refuse
