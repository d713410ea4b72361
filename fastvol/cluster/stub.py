"""Client callables of a gRPC service, made from its descriptor."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass


class Stub:
    """``Stub(channel, service).Ping(request)``: every method of ``service`` as an attribute.

    Works on blocking and on asyncio channels. An unknown name raises AttributeError.
    """

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel, service: ServiceDescriptor):
        self._channel = channel
        self._service = service

    def __getattr__(self, name: str) -> Any:
        method = self._service.methods_by_name.get(name)
        if method is None:
            raise AttributeError(f"{self._service.full_name} has no method {name}")
        made = bind(self._channel, method)
        setattr(self, name, made)
        return made


def method_path(method: MethodDescriptor) -> str:
    """``/package.Service/Method``, the HTTP/2 path of a call."""
    return f"/{method.containing_service.full_name}/{method.name}"


def call_kind(method: MethodDescriptor) -> str:
    """``unary_unary``, ``unary_stream`` and so on, as grpcio names what its callables take."""
    return call_kind_of(method.client_streaming, method.server_streaming)


def call_kind_of(requests: bool, responses: bool) -> str:
    """The same from whether either side streams."""
    sides = {False: "unary", True: "stream"}
    return f"{sides[requests]}_{sides[responses]}"


def bind(channel: grpc.Channel | grpc.aio.Channel, method: MethodDescriptor) -> Any:
    """The callable of ``method`` on ``channel``, of the kind its streaming flags ask for."""
    return getattr(channel, call_kind(method))(
        method_path(method),
        request_serializer=GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
