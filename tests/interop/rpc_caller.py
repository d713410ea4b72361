"""Calling one server by gRPC and writing down what it answers, so that two servers can be compared."""

from __future__ import annotations

import re
from typing import Any, Final

import grpc
from cluster import Server, volume_rpc
from daemons import GRPC_OFFSET
from google.protobuf import text_format
from google.protobuf.message_factory import GetMessageClass
from http_calls import CALL_SECONDS_MAX, HOST

from fastvol.pb import volume_server_pb2 as pb

SERVICE: Final = pb.DESCRIPTOR.services_by_name["VolumeServer"]

_FIGURES: Final = re.compile(
    r"\b(all|used|free|self|heap|stack|goroutines|percent_\w+|\w*_ns|\w+_seconds|last_modified"
    r"|expire_at_sec): [\d.]+ ?"
)


class Caller:
    """Calls one server and writes down what it answers, without what names the server."""

    def __init__(self, server: Server, master: Server) -> None:
        self._port = server.port
        (directory,) = (w[5:] for w in server.command if w.startswith("-dir="))
        self._names = {
            str(server.port + GRPC_OFFSET): "GRPC_PORT",
            str(server.port): "PORT",
            directory: "DIRECTORY",
            "4.48 fastvol": "4.48 pypi",
        }
        self._master = {
            "MASTER_GRPC": str(master.port + GRPC_OFFSET),
            "MASTER": f"{HOST}:{master.port}",
        }

    def call(self, name: str, text: str) -> tuple[str, str, bool]:
        """Code, text or message, and whether a request id came back."""
        for word, value in self._master.items():
            text = text.replace(word, value)
        method = SERVICE.methods_by_name[name]
        kind = GetMessageClass(method.input_type)
        requests = [text_format.Parse(one, kind()) for one in text.split(";;")]
        with volume_rpc(self._port) as rpc:
            if method.client_streaming:
                found = _outcome(getattr(rpc, name), iter(requests))
            elif method.server_streaming:
                found = _streamed(getattr(rpc, name), requests[0])
            else:
                found = _outcome(getattr(rpc, name), requests[0])
        code, told, ended = found
        has_id = any(key == "x-amz-request-id" for key, _ in ended.trailing_metadata() or ())
        return code, self._steady(told), has_id

    def _steady(self, text: str) -> str:
        for name, word in self._names.items():
            text = text.replace(name, word)
        # Between the fields of a message Go prints one space or two, to its own liking.
        return _FIGURES.sub("", text.replace("  replication", " replication"))


def _text(message: Any) -> str:
    return text_format.MessageToString(message, as_one_line=True)


def _outcome(call: Any, request: Any) -> tuple[str, str, Any]:
    try:
        answer, ended = call.with_call(request, timeout=CALL_SECONDS_MAX, wait_for_ready=True)
    except grpc.RpcError as error:
        return error.code().name, str(error.details()), error
    return "OK", _text(answer), ended


def _streamed(call: Any, request: Any) -> tuple[str, str, Any]:
    """The messages in their order, then what ended the stream."""
    stream = call(request, timeout=CALL_SECONDS_MAX, wait_for_ready=True)
    found = []
    try:
        for message in stream:
            found.append(_text(message))
    except grpc.RpcError as error:
        return error.code().name, " | ".join([*found, str(error.details())]), error
    return "OK", " | ".join(found), stream
