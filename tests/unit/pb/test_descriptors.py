"""The wire schema: names, numbers and types may never drift from those of SeaweedFS 4.48.

``schema.json`` was dumped from a running 4.48 server by gRPC reflection. The generated modules are
turned back into the same shape and compared whole, so an extra field fails like a missing one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from fastvol.pb import master_pb2, remote_pb2, volume_server_pb2

SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text())
FILES: dict[str, FileDescriptor] = {
    module.DESCRIPTOR.package: module.DESCRIPTOR
    for module in (volume_server_pb2, master_pb2, remote_pb2)
}
SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
}


def type_name(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return field.message_type.full_name
    if field.enum_type is not None:
        return field.enum_type.full_name
    return SCALARS[field.type]


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def field_facts(field: FieldDescriptor, declared: DescriptorProto) -> dict[str, Any]:
    proto = next(each for each in declared.field if each.number == field.number)
    facts: dict[str, Any] = {
        "name": field.name,
        "number": field.number,
        "type": type_name(field),
        "label": "repeated" if field.is_repeated else "singular",
        "json_name": field.json_name,
    }
    if is_map(field):
        key, value = (type_name(field.message_type.fields_by_name[n]) for n in ("key", "value"))
        facts["map"] = {"key": key, "value": value}
        facts["type"] = f"map<{key},{value}>"
    elif field.is_repeated and field.is_packed:
        facts["packed"] = True
    if proto.proto3_optional:
        facts["label"] = "optional"
        facts["proto3_optional"] = True
    elif field.containing_oneof is not None:
        facts["oneof"] = field.containing_oneof.name
    return facts


def messages(parent: Descriptor | FileDescriptor, prefix: str = "") -> Iterator[tuple[str, Any]]:
    nested = (
        parent.message_types_by_name
        if isinstance(parent, FileDescriptor)
        else parent.nested_types_by_name
    )
    for name, message in nested.items():
        if message.GetOptions().map_entry:
            continue
        declared = DescriptorProto()
        message.CopyToProto(declared)
        facts: dict[str, Any] = {"fields": [field_facts(f, declared) for f in message.fields]}
        reserved = [n for each in declared.reserved_range for n in range(each.start, each.end)]
        if reserved:
            facts["reserved_numbers"] = reserved
        yield prefix + name, facts
        yield from messages(message, f"{prefix}{name}.")


def services(file: FileDescriptor) -> dict[str, Any]:
    declared = FileDescriptorProto()
    file.CopyToProto(declared)
    return {
        service.name: [
            {
                "rpc": method.name,
                "request": method.input_type.lstrip("."),
                "response": method.output_type.lstrip("."),
                "client_streaming": method.client_streaming,
                "server_streaming": method.server_streaming,
            }
            for method in service.method
        ]
        for service in declared.service
    }


def wanted_fields(message: dict[str, Any]) -> dict[str, Any]:
    """The facts without what a descriptor cannot hold: when a field came, where a message lives."""
    kept = {key: value for key, value in message.items() if key != "on_disk_only"}
    kept["fields"] = [
        {key: value for key, value in field.items() if key != "since"} for field in kept["fields"]
    ]
    return kept


@pytest.mark.parametrize("package", SCHEMA)
def test_messages_have_exactly_the_fields_of_the_reflected_schema(package: str) -> None:
    found = dict(messages(FILES[package]))
    wanted = {name: wanted_fields(body) for name, body in SCHEMA[package]["messages"].items()}
    assert sorted(found) == sorted(wanted)
    for name, body in wanted.items():
        assert found[name] == body, name


@pytest.mark.parametrize("package", SCHEMA)
def test_enums_and_services_are_those_of_the_reflected_schema(package: str) -> None:
    enums = {
        name: {value.name: value.number for value in enum.values}
        for name, enum in FILES[package].enum_types_by_name.items()
    }
    assert enums == SCHEMA[package]["enums"]
    assert services(FILES[package]) == SCHEMA[package]["services"]


def test_schema_covers_the_whole_api() -> None:
    assert len(SCHEMA["volume_server_pb"]["services"]["VolumeServer"]) == 49
    assert len(SCHEMA["master_pb"]["services"]["Seaweed"]) == 27
    assert len(SCHEMA["volume_server_pb"]["messages"]) == 119


def test_messages_encode_to_the_bytes_seen_on_the_wire() -> None:
    """Captured or computed from a 4.48 server; covers presence, maps' absence and high numbers."""
    vs, m = volume_server_pb2, master_pb2
    cases = [
        (vs.VolumeServerState(maintenance=True, version=1), "08 01 10 01"),
        (vs.VolumeServerState(version=2), "10 02"),
        (
            vs.AllocateVolumeRequest(volume_id=1, replication="000", version=3),
            "08 01 22 03 30 30 30 40 03",
        ),
        (vs.VolumeMountRequest(volume_id=7, collection=""), "08 07 12 00"),
        (vs.VolumeMountRequest(volume_id=7), "08 07"),
        (
            vs.DeleteResult(file_id="1,01637037d6", status=202, size=59),
            "0a 0c 31 2c 30 31 36 33 37 30 33 37 64 36 10 ca 01 20 3b",
        ),
        (vs.VacuumVolumeCheckResponse(garbage_ratio=0.25), "09 00 00 00 00 00 00 d0 3f"),
        (
            vs.ReadNeedleMetaRequest(volume_id=87, needle_id=1, offset=352, size=-1),
            "08 57 10 01 18 e0 02 20 ff ff ff ff ff ff ff ff ff 01",
        ),
        (
            m.VolumeShortInformationMessage(
                id=7,
                collection="c",
                replica_placement=10,
                version=3,
                ttl=0x0104,
                disk_id=1,
                read_only=True,
            ),
            "08 07 1a 01 63 40 0a 48 03 50 84 02 80 01 01 88 01 01",
        ),
        (m.Heartbeat(volume_digest=0), "d8 01 00"),
    ]
    for message, text in cases:
        assert message.SerializeToString() == bytes.fromhex(text)
