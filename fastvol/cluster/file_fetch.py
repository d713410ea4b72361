"""Fetching a volume's files from another volume server (weed/server/volume_grpc_copy.go: CopyFile).

Belongs to the control plane's loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final, NamedTuple

from fastvol.cluster.stub import method_path
from fastvol.errors import PeerError
from fastvol.formats.protobuf_wire import read_fields, signed
from fastvol.pb import volume_server_pb2

if TYPE_CHECKING:
    import grpc

    from fastvol.pb import volume_server_pb2 as pb

_COPY_FILE: Final = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"].methods_by_name[
    "CopyFile"
]
_CONTENT, _MODIFIED = 1, 2


class FilePiece(NamedTuple):
    """Some content, and the source's modification time in ns where it is told (else 0)."""

    content: memoryview
    modified_ns: int


async def fetch_file(
    channel: grpc.aio.Channel, request: pb.CopyFileRequest
) -> AsyncGenerator[FilePiece, None]:
    """The pieces of one file, in order; the stream ends when the iterator is closed.

    No piece at all: the source has no such file.

    Raises:
        grpc.aio.AioRpcError: the source's refusal, or that of the network.
        PeerError: what it sent is no piece of a file.
    """
    call = channel.unary_stream(
        method_path(_COPY_FILE),
        request_serializer=type(request).SerializeToString,
        response_deserializer=None,
    )(request)
    try:
        async for raw in call:
            yield _piece(raw)
    finally:
        call.cancel()


def _piece(raw: bytes) -> FilePiece:
    content, modified_ns = memoryview(b""), 0
    try:
        for field, value in read_fields(raw):
            if field == _CONTENT and isinstance(value, memoryview):
                content = value
            elif field == _MODIFIED and isinstance(value, int):
                modified_ns = signed(value)
    except ValueError as error:
        raise PeerError(f"a piece of a file cannot be read: {error}") from error
    return FilePiece(content, modified_ns)
