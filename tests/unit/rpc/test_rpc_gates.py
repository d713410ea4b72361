"""Which peer may call what, and what maintenance mode refuses, in which order."""

from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from rpc_fakes import Node

from fastvol.errors import NotAuthorizedError
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.gates import REFUSED_IN_MAINTENANCE, WHITE_LISTED, Gates
from fastvol.rpc.service import VOLUME_SERVER

METHODS = {method.name: method for method in VOLUME_SERVER.methods}
IN_MAINTENANCE = "volume server 127.0.0.1:23080 is in maintenance mode"


def empty_request(name: str) -> Any:
    request = GetMessageClass(METHODS[name].input_type)()
    return iter([request]) if METHODS[name].client_streaming else request


def test_the_tables_cover_what_upstream_gates() -> None:
    assert len(WHITE_LISTED) == 30
    assert len(REFUSED_IN_MAINTENANCE) == 18
    assert set(METHODS) >= WHITE_LISTED | REFUSED_IN_MAINTENANCE
    assert {"ReceiveFile", "WriteNeedleBlob", "VolumeEcBlobDelete"} == (
        REFUSED_IN_MAINTENANCE - WHITE_LISTED
    )


def test_a_peer_off_the_white_list_is_refused_by_exactly_the_gated_methods(node: Node) -> None:
    node.white_list.add("10.0.0.1")
    node.store.state.maintenance = True  # the white list goes first
    for name in METHODS:
        if name in WHITE_LISTED:
            assert node.refusal(name, empty_request(name)) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "not authorized: 127.0.0.1",
            ), name
    assert node.call("Ping", pb.PingRequest()).start_time_ns
    assert node.refusal("VolumeStatus", pb.VolumeStatusRequest(volume_id=9))[1] == (
        "not found volume id 9"
    )
    node.white_list.add("127.0.0.1")
    node.call("VolumeUnmount", pb.VolumeUnmountRequest(volume_id=9))


def test_a_peer_without_an_address_is_refused() -> None:
    gates = Gates(lambda _: True, lambda: False, "n")
    with pytest.raises(NotAuthorizedError, match="no peer info"):
        gates.check("VolumeMount", "unix:/tmp/s")
    gates.check("Ping", "unix:/tmp/s")


def test_maintenance_refuses_exactly_the_changing_methods_before_looking_at_the_request(
    node: Node,
) -> None:
    node.store.state.maintenance = True
    node.store.put(0)
    for name in METHODS:
        if name in REFUSED_IN_MAINTENANCE:
            assert node.refusal(name, empty_request(name)) == (
                grpc.StatusCode.UNKNOWN,
                IN_MAINTENANCE,
            ), name
    for name in ("VolumeMount", "VolumeUnmount", "VolumeDelete", "VolumeMarkReadonly"):
        node.call(name, empty_request(name))
    assert node.call("SetState", pb.SetStateRequest()).state.maintenance


def test_marking_writable_reports_an_unknown_volume_before_maintenance(node: Node) -> None:
    node.store.state.maintenance = True
    request = pb.VolumeMarkWritableRequest(volume_id=7)
    assert node.refusal("VolumeMarkWritable", request)[1] == "volume 7 not found"
    node.store.put(7)
    assert node.refusal("VolumeMarkWritable", request)[1] == IN_MAINTENANCE
    assert node.store.orders == []
