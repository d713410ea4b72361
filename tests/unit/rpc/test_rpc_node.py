"""State, status, leaving and ping."""

import time

import grpc
import pytest
from rpc_fakes import Node

from fastvol.pb import volume_server_pb2 as pb

Code = grpc.StatusCode


def state(maintenance: bool, version: int) -> pb.SetStateRequest:
    return pb.SetStateRequest(state=pb.VolumeServerState(maintenance=maintenance, version=version))


def test_state_is_changed_only_by_who_knows_its_version(node: Node) -> None:
    assert node.call("GetState", pb.GetStateRequest()).HasField("state")
    changed = node.call("SetState", state(True, 0)).state
    assert (changed.maintenance, changed.version) == (True, 1)
    assert node.refusal("SetState", state(False, 0)) == (
        Code.UNKNOWN,
        "version mismatch for VolumeServerState (got 1, want 0)",
    )
    unchanged = node.call("SetState", pb.SetStateRequest()).state
    assert (unchanged.maintenance, unchanged.version) == (True, 1)
    assert node.call("GetState", pb.GetStateRequest()).state == unchanged


def test_status_tells_disks_memory_version_and_place(node: Node) -> None:
    found = node.call("VolumeServerStatus", pb.VolumeServerStatusRequest())
    assert found.version == "8000GB 4.48 fastvol"
    assert (found.data_center, found.rack) == ("dc1", "r1")
    assert found.HasField("state")
    (disk,) = found.disk_statuses
    assert (disk.dir, disk.all, disk.used, disk.free) == ("/data", 1000, 250, 750)
    assert (disk.percent_free, disk.percent_used) == (75.0, 25.0)
    assert disk.disk_type == "", "not filled, as upstream"
    memory = found.memory_status
    assert memory.goroutines > 0
    assert memory.all == memory.used + memory.free
    assert 0 < memory.self < memory.all
    assert memory.heap > 0
    assert memory.stack > 0


def test_leaving_is_idempotent_and_ends_the_heartbeat(node: Node) -> None:
    for _ in range(2):
        node.call("VolumeServerLeave", pb.VolumeServerLeaveRequest())
    assert node.store.left
    assert node.heartbeat.stops == 2


def test_a_node_without_a_cluster_can_leave_too(lone_node: Node) -> None:
    lone_node.call("VolumeServerLeave", pb.VolumeServerLeaveRequest())
    assert lone_node.store.left


@pytest.mark.parametrize("kind", ["", "nonsense"])
def test_a_ping_without_target_dials_nobody(node: Node, kind: str) -> None:
    before = time.time_ns()
    answer = node.call("Ping", pb.PingRequest(target_type=kind))
    assert before <= answer.start_time_ns <= answer.stop_time_ns <= time.time_ns()
    assert answer.remote_time_ns == 0


def test_a_ping_of_a_known_master_brings_its_clock(node: Node) -> None:
    node.masters.known["m:9333"] = 42
    answer = node.call("Ping", pb.PingRequest(target="m:9333", target_type="master"))
    assert answer.remote_time_ns == 42


@pytest.mark.parametrize("kind", ["filer", "volumeServer", ""])
def test_only_known_masters_are_pinged(node: Node, kind: str) -> None:
    node.masters.known["m:9333"] = 42
    assert node.refusal("Ping", pb.PingRequest(target="m:9333", target_type=kind)) == (
        Code.INVALID_ARGUMENT,
        f"unknown ping target m:9333 of type {kind}",
    )
    assert node.refusal("Ping", pb.PingRequest(target="x:1", target_type="master")) == (
        Code.INVALID_ARGUMENT,
        "unknown ping target x:1 of type master",
    )


def test_a_ping_that_fails_is_an_unknown_error(node: Node) -> None:
    node.masters.known["m:9333"] = grpc.aio.AioRpcError(
        Code.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="down"
    )
    assert node.refusal("Ping", pb.PingRequest(target="m:9333", target_type="master")) == (
        Code.UNKNOWN,
        "ping master m:9333: rpc error: code = Unavailable desc = down",
    )


def test_a_type_without_a_target_fails_as_dialling_nothing_does(node: Node) -> None:
    code, text = node.refusal("Ping", pb.PingRequest(target_type="filer"))
    assert code is Code.UNKNOWN
    assert text.startswith("ping filer : ")


def test_a_node_without_a_cluster_knows_no_master(lone_node: Node) -> None:
    found = lone_node.refusal("Ping", pb.PingRequest(target="m:9333", target_type="master"))
    assert found[0] is Code.INVALID_ARGUMENT
