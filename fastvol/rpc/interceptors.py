"""Request ids of unary calls: kept from the caller or made, handed on, returned as a trailer.

Source: weed/pb/grpc_client_server.go: requestIDUnaryInterceptor.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fastvol.cluster.channel import REQUEST_ID_KEY, request_id


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
