"""Server reflection: tools such as grpcurl ask the server itself what it can be asked.

Clients ask under one of two names, whose messages are the same on the wire.  Files have the names
that SeaweedFS gives them, not those of the modules here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from fastvol.pb import master_pb2, remote_pb2, volume_server_pb2
from fastvol.rpc.service import VOLUME_SERVER

_METHOD: Final = "ServerReflectionInfo"
_OLD: Final = "grpc.reflection.v1alpha"
_NEW: Final = "grpc.reflection.v1"
_SERVICES: Final = tuple(f"{package}.ServerReflection" for package in (_NEW, _OLD))


def reflection_handlers() -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
    """What a gRPC server needs to tell about itself."""
    services = (*_SERVICES, VOLUME_SERVER.full_name)
    servicer = reflection.aio.ReflectionServicer(services, _Files())  # type: ignore[attr-defined]

    async def answer(requests: Any, context: Any) -> None:
        async for reply in servicer.ServerReflectionInfo(requests, context):
            reply.valid_host = reply.original_request.host
            await context.write(reply)

    handler = grpc.stream_stream_rpc_method_handler(
        answer,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return tuple(
        grpc.method_handlers_generic_handler(service, {_METHOD: handler}) for service in _SERVICES
    )


class _Files:
    """The files that may be asked for, and nothing else that this process happens to have loaded."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for module in (remote_pb2, volume_server_pb2, master_pb2):
            self._add(_renamed(module.DESCRIPTOR, "fastvol/pb/", ""))
        self._add(_renamed(reflection_pb2.DESCRIPTOR, "grpc_reflection/", "grpc/reflection/"))
        new = _renamed(reflection_pb2.DESCRIPTOR, "grpc_reflection/v1alpha/", "grpc/reflection/v1/")
        new.package = _NEW
        for holder, name in _references(new):
            setattr(holder, name, getattr(holder, name).replace(f".{_OLD}.", f".{_NEW}."))
        self._add(new)

    def _add(self, file: FileDescriptorProto) -> None:
        self._pool.AddSerializedFile(file.SerializeToString())

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802
        """As the pool's, which does not know methods by their names."""
        owner, _, name = symbol.rpartition(".")
        try:
            service = self._pool.FindServiceByName(owner)
        except KeyError:
            return self._pool.FindFileContainingSymbol(symbol)
        return service.methods_by_name[name].containing_service.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _renamed(file: Any, part: str, replacement: str) -> FileDescriptorProto:
    """A description of ``file`` under another path."""
    made = FileDescriptorProto.FromString(file.serialized_pb)
    made.name = made.name.replace(part, replacement)
    made.dependency[:] = [name.replace(part, replacement) for name in made.dependency]
    return made


def _references(file: FileDescriptorProto) -> Iterator[tuple[Any, str]]:
    """Wherever ``file`` names a message: the holder and its attribute."""
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                yield field, "type_name"
    for service in file.service:
        for method in service.method:
            yield method, "input_type"
            yield method, "output_type"
