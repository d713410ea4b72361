"""What surrounds calls of every service: who may call at all, and the request ids of unary calls.

Source: weed/pb/grpc_client_server.go: requestIDUnaryInterceptor; weed/security/tls.go:
Authenticator.Authenticate.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc

from fastvol.cluster.channel import REQUEST_ID_KEY, request_id
from fastvol.cluster.stub import call_kind_of
from fastvol.log_limiter import LogLimiter
from fastvol.security.grpc_tls import GrpcIdentities

_TLS13: Final = b"TLSv1.3"

_refusals = LogLimiter(logging.getLogger(__name__))


class RequestIdInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Gives every unary call an id; failing calls return it too, streams have none."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Wrap the handler of a unary call; an unknown method's handler is None."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler
        call: Any = handler.unary_unary

        async def with_id(request: Any, context: Any) -> Any:
            sent = dict(handler_call_details.invocation_metadata or ()).get(REQUEST_ID_KEY)
            name = str(sent or uuid.uuid4())
            request_id.set(name)  # a call runs in a task of its own, so this needs no reset
            context.set_trailing_metadata(((REQUEST_ID_KEY, name),))
            return await call(request, context)

        return grpc.unary_unary_rpc_method_handler(
            with_id,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


class CallerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses callers whose certificate is of the right CA but of a name that may not call.

    Upstream ends the handshake there. grpcio does not let a server look into it, so the connection
    stands and each call on it fails, with the code that an upstream client would see.
    """

    def __init__(self, identities: GrpcIdentities):
        self._identities = identities

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Wrap the handler of any call that has one."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        kind = call_kind_of(handler.request_streaming, handler.response_streaming)
        call: Any = getattr(handler, kind)

        async def checked(request: Any, context: Any) -> Any:
            refusal = self._refusal(context.auth_context())
            if refusal:
                _refusals.warning(refusal, "%s (%s)", refusal, context.peer())
                await context.abort(grpc.StatusCode.UNAVAILABLE, refusal)
            return await call(request, context)

        made: grpc.RpcMethodHandler[Any, Any] = getattr(grpc, f"{kind}_rpc_method_handler")(
            checked,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made

    def _refusal(self, caller: Mapping[str, Sequence[bytes]]) -> str:
        """Why ``caller`` (grpcio's words about its connection) may not call; empty if it may."""
        if self._identities.only_tls13 and _TLS13 not in caller.get("ssl_tls_version", ()):
            return "tls: client offered only unsupported versions"
        name = b"".join(caller.get("x509_common_name", ())).decode(errors="replace")
        if self._identities.callers.accepts(name):
            return ""
        return f"Authenticate: invalid subject client common name: {name}"
