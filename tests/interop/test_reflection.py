"""Server reflection beside the real server's: the same questions, the same files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from cluster import Cluster, Server, started, volume_channel, volume_server, weed
from daemons import START_SECONDS_MAX, wait_until
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from http_calls import CALL_SECONDS_MAX

pytestmark = pytest.mark.interop

Question = reflection_pb2.ServerReflectionRequest
SERVICE = "volume_server_pb.VolumeServer"
USED_BY_NOTHING = {"Empty", "SuperBlockExtra", "RemoteStorageMapping"}
"""Messages of no call and no file of a volume server, which are not described here."""
QUESTIONS = [
    {"list_services": ""},
    {"list_services": "*", "host": "h"},
    {"file_containing_symbol": SERVICE},
    {"file_containing_symbol": f"{SERVICE}.Ping"},
    {"file_containing_symbol": f"{SERVICE}.Nope"},
    {"file_containing_symbol": "volume_server_pb.PingRequest.target"},
    {"file_containing_symbol": "master_pb.Seaweed"},
    {"file_containing_symbol": "grpc.reflection.v1.ServerReflection"},
    {"file_containing_symbol": "grpc.reflection.v1alpha.ServerReflectionRequest"},
    {"file_containing_symbol": "nope"},
    {"file_containing_symbol": ""},
    {"file_by_filename": "volume_server.proto"},
    {"file_by_filename": "remote.proto"},
    {"file_by_filename": "fastvol/pb/remote.proto"},
    {"all_extension_numbers_of_type": "volume_server_pb.PingRequest"},
    {"all_extension_numbers_of_type": "nope"},
]


@pytest.fixture(name="servers", scope="module")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    base = tmp_path_factory.mktemp("reflection")
    cluster = Cluster.make(base)
    other = volume_server(weed(base), base, base / "weed-data", [cluster.master.port])
    with cluster.running(), started(other):
        other.ready()
        wait_until(lambda: cluster.node(other.port), "joined", START_SECONDS_MAX)
        yield cluster.volume, other


def ask(server: Server, version: str, question: dict[str, Any]) -> Any:
    with volume_channel(server.port) as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=Question.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        (answer,) = call(
            iter([Question(**question)]), timeout=CALL_SECONDS_MAX, wait_for_ready=True
        )
    return answer


def told(answer: Any) -> Any:
    """What an answer says, without the words of an error and how a file is written."""
    found = [answer.valid_host, answer.original_request, answer.WhichOneof("message_response")]
    if answer.HasField("error_response"):
        return [*found, answer.error_response.error_code]
    if answer.HasField("file_descriptor_response"):
        files = answer.file_descriptor_response.file_descriptor_proto
        return [*found, *(outline(FileDescriptorProto.FromString(file)) for file in files)]
    return [*found, answer]


def outline(file: FileDescriptorProto) -> Any:
    services = {
        service.name: [(m.name, m.input_type, m.output_type) for m in service.method]
        for service in file.service
    }
    messages = {
        message.name: sorted(
            (f.name, f.number, f.type, f.type_name, f.label) for f in message.field
        )
        for message in file.message_type
        if message.name not in USED_BY_NOTHING
    }
    return file.name, file.package, list(file.dependency), services, messages


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_the_same_is_told_as_by_the_real_server(
    servers: tuple[Server, Server], version: str
) -> None:
    for question in QUESTIONS:
        ours, theirs = (told(ask(server, version, question)) for server in servers)
        assert ours == theirs, question


def test_another_version_is_unknown(servers: tuple[Server, Server]) -> None:
    for server in servers:
        with pytest.raises(grpc.RpcError) as caught:
            ask(server, "v2", {"list_services": ""})
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_reflection_client_finds_its_way(servers: tuple[Server, Server]) -> None:
    for server in servers:
        with volume_channel(server.port) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            assert SERVICE in database.get_services()
            file = database.FindFileContainingSymbol(SERVICE)
            assert file.name == "volume_server.proto"
            assert database.FindFileByName("remote.proto").package == "remote_pb"
