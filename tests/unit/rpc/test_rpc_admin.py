"""Allocate, mount, delete and mark: order of checks, codes, texts, and what the store is told."""

import grpc
import pytest
from rpc_fakes import Node

from fastvol.errors import (
    MasterError,
    NoSpaceError,
    StorageError,
    VolumeNotEmptyError,
    VolumeNotFoundError,
)
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.pb import volume_server_pb2 as pb

Code = grpc.StatusCode


def test_allocating_passes_everything_to_the_store(node: Node) -> None:
    node.call(
        "AllocateVolume",
        pb.AllocateVolumeRequest(
            volume_id=7,
            collection="c",
            preallocate=4096,
            replication="01",
            ttl="7d",
            memory_map_max_size_mb=5,
            disk_type="ssd",
            version=3,
        ),
    )
    options = {"preallocate": 4096, "disk_type": "ssd", "version": 3}
    placement = ReplicaPlacement(0, 0, 1)
    assert node.store.orders == [("add", 7, "c", placement, TTL.parse("1w"), options)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"replication": "0-1", "ttl": "xm"}, "unknown replication type: 0-1"),
        ({"replication": "900", "ttl": "xm"}, "unexpected replication type: 900"),
        ({"ttl": "xm"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({"volume_id": 5, "version": 0}, "Volume Id 5 already exists!"),
        ({"volume_id": 5}, "Volume Id 5 already exists!"),
        ({"version": 0}, "volume super block version 0 is not supported"),
        ({"version": 4}, "volume super block version 4 is not supported"),
    ],
)
def test_allocating_refuses_in_upstreams_order_and_leaves_nothing_behind(
    node: Node, fields: dict[str, object], text: str
) -> None:
    node.store.put(5)
    request = pb.AllocateVolumeRequest(**{"volume_id": 7, "version": 3} | fields)
    assert node.refusal("AllocateVolume", request) == (Code.UNKNOWN, text)
    assert node.store.orders == []


def test_a_full_server_is_an_unknown_error_as_upstream(node: Node) -> None:
    node.store.refusal = NoSpaceError("No more free space left")
    request = pb.AllocateVolumeRequest(volume_id=7, version=3)
    assert node.refusal("AllocateVolume", request) == (Code.UNKNOWN, "No more free space left")


def test_mounting_passes_the_collection_only_if_it_is_present(node: Node) -> None:
    node.call("VolumeMount", pb.VolumeMountRequest(volume_id=7))
    node.call("VolumeMount", pb.VolumeMountRequest(volume_id=7, collection=""))
    node.call("VolumeMount", pb.VolumeMountRequest(volume_id=7, collection="c"))
    assert node.store.orders == [("mount", 7, None), ("mount", 7, ""), ("mount", 7, "c")]


def test_mounting_what_is_not_on_disk_is_an_unknown_error(node: Node) -> None:
    node.store.refusal = VolumeNotFoundError("volume 7 not found on disk")
    found = node.refusal("VolumeMount", pb.VolumeMountRequest(volume_id=7))
    assert found == (Code.UNKNOWN, "volume 7 not found on disk")


def test_unmounting_reaches_the_store(node: Node) -> None:
    node.call("VolumeUnmount", pb.VolumeUnmountRequest(volume_id=7))
    assert node.store.orders == [("unmount", 7)]


def test_deleting_passes_the_conditions(node: Node) -> None:
    node.call(
        "VolumeDelete",
        pb.VolumeDeleteRequest(volume_id=7, only_garbage=True, keep_remote_data=True),
    )
    conditions = {"only_empty": False, "only_garbage": True, "keep_remote_data": True}
    assert node.store.orders == [("delete", 7, conditions)]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            VolumeNotFoundError("delete volume 7 not found on disk: volume not found"),
            Code.NOT_FOUND,
            "delete volume 7 not found on disk: volume not found",
        ),
        (
            VolumeNotEmptyError("DeleteVolume 7: volume not empty"),
            Code.FAILED_PRECONDITION,
            "DeleteVolume 7: volume not empty",
        ),
        (
            StorageError("DeleteVolume 7 failed on some disks: volume 7 is compacting"),
            Code.UNKNOWN,
            "DeleteVolume 7 failed on some disks: volume 7 is compacting",
        ),
    ],
)
def test_deleting_fails_with_the_codes_that_tools_rely_on(
    node: Node, error: Exception, code: grpc.StatusCode, text: str
) -> None:
    node.store.refusal = error
    assert node.refusal("VolumeDelete", pb.VolumeDeleteRequest(volume_id=7)) == (code, text)


def test_deleting_a_collection_takes_the_empty_name_as_it_is(node: Node) -> None:
    node.call("DeleteCollection", pb.DeleteCollectionRequest(collection="c"))
    node.call("DeleteCollection", pb.DeleteCollectionRequest())
    assert node.store.orders == [("delete collection", "c"), ("delete collection", "")]


def test_deleting_a_collection_names_it_in_the_error(node: Node) -> None:
    request = pb.DeleteCollectionRequest(collection="c")
    node.store.refusal = OSError("disk")
    assert node.refusal("DeleteCollection", request) == (
        Code.UNKNOWN,
        "delete collection c: disk",
    )
    node.store.refusal = VolumeNotFoundError("volume 7 not found")
    assert node.refusal("DeleteCollection", request)[0] is Code.NOT_FOUND


def test_marking_read_only_tells_the_master_before_and_after(node: Node) -> None:
    node.store.put(7)
    node.call("VolumeMarkReadonly", pb.VolumeMarkReadonlyRequest(volume_id=7, persist=True))
    assert node.store.orders == [
        ("master", 7, True),
        ("read only", 7, {"can_delete": False, "persist": True}),
        ("master", 7, True),
    ]


def test_a_mark_that_the_master_refuses_changes_nothing_here(node: Node) -> None:
    node.store.put(7)
    node.masters.refusals[1] = MasterError("grpc VolumeMarkReadonly with master m:9333: no")
    request = pb.VolumeMarkReadonlyRequest(volume_id=7, can_delete=True)
    assert node.refusal("VolumeMarkReadonly", request) == (
        Code.UNKNOWN,
        "grpc VolumeMarkReadonly with master m:9333: no",
    )
    assert node.store.orders == [("master", 7, True)]


def test_a_mark_stays_when_only_the_second_notice_fails(node: Node) -> None:
    node.store.put(7)
    node.masters.refusals[2] = MasterError("gone")
    assert node.refusal("VolumeMarkReadonly", pb.VolumeMarkReadonlyRequest(volume_id=7)) == (
        Code.UNKNOWN,
        "gone",
    )
    assert ("read only", 7, {"can_delete": False, "persist": False}) in node.store.orders


def test_marking_writable_changes_first_and_tells_the_master_once(node: Node) -> None:
    node.store.put(7)
    node.masters.refusals[1] = MasterError("gone")
    request = pb.VolumeMarkWritableRequest(volume_id=7)
    assert node.refusal("VolumeMarkWritable", request) == (Code.UNKNOWN, "gone")
    assert node.store.orders == [("writable", 7), ("master", 7, False)]


def test_marking_an_unknown_volume_is_an_unknown_error(node: Node) -> None:
    found = node.refusal("VolumeMarkReadonly", pb.VolumeMarkReadonlyRequest(volume_id=7))
    assert found == (Code.UNKNOWN, "volume 7 not found")
    assert node.store.orders == []


def test_a_node_without_a_master_marks_all_the_same(lone_node: Node) -> None:
    lone_node.store.put(7)
    lone_node.call("VolumeMarkReadonly", pb.VolumeMarkReadonlyRequest(volume_id=7))
    lone_node.call("VolumeMarkWritable", pb.VolumeMarkWritableRequest(volume_id=7))
    assert [order[0] for order in lone_node.store.orders] == ["read only", "writable"]
