"""The three status replies about one volume."""

import grpc
import pytest
from rpc_fakes import FakeVolume, Node

from fastvol.errors import VolumeClosedError
from fastvol.formats.volume_info import EcShardConfig, RemoteFile, VolumeInfo
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.volume_status import volume_info_message

METHODS = {
    "VolumeStatus": pb.VolumeStatusRequest,
    "VolumeSyncStatus": pb.VolumeSyncStatusRequest,
    "ReadVolumeFileStatus": pb.ReadVolumeFileStatusRequest,
}


@pytest.mark.parametrize("name", METHODS)
def test_a_missing_volume_is_an_unknown_error(node: Node, name: str) -> None:
    assert node.refusal(name, METHODS[name](volume_id=99)) == (
        grpc.StatusCode.UNKNOWN,
        "not found volume id 99",
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_closed_volume_has_no_backend(node: Node, name: str) -> None:
    class ClosedVolume(FakeVolume):
        @property
        def dat_size(self) -> int:
            raise VolumeClosedError("closed")

        @dat_size.setter
        def dat_size(self, _: int) -> None: ...

    node.store.volumes_by_id[7] = ClosedVolume(7)
    assert node.refusal(name, METHODS[name](volume_id=7)) == (
        grpc.StatusCode.UNKNOWN,
        "volume 7 data backend not found",
    )


def test_volume_status(node: Node) -> None:
    node.store.put(7).read_only = True
    found = node.call("VolumeStatus", pb.VolumeStatusRequest(volume_id=7))
    assert found == pb.VolumeStatusResponse(
        is_read_only=True, volume_size=96, file_count=4, file_deleted_count=1
    )


def test_sync_status(node: Node) -> None:
    node.store.put(7, "c")
    found = node.call("VolumeSyncStatus", pb.VolumeSyncStatusRequest(volume_id=7))
    assert found == pb.VolumeSyncStatusResponse(
        volume_id=7,
        collection="c",
        replication="010",
        ttl="3m",
        tail_offset=96,
        compact_revision=2,
        idx_file_size=17,
        version=3,
    )


def test_file_status(node: Node) -> None:
    node.store.put(7, "c")
    found = node.call("ReadVolumeFileStatus", pb.ReadVolumeFileStatusRequest(volume_id=7))
    assert found == pb.ReadVolumeFileStatusResponse(
        volume_id=7,
        idx_file_timestamp_seconds=1795333431,
        idx_file_size=17,
        dat_file_timestamp_seconds=1795333431,
        dat_file_size=96,
        file_count=4,
        compaction_revision=2,
        collection="c",
        volume_info=pb.VolumeInfo(version=3, bytes_offset=5, read_only=True),
        version=3,
    )


def test_a_volume_info_keeps_every_member() -> None:
    info = VolumeInfo(
        files=(RemoteFile("s3", "default", "k", 1, 2, 3, ".dat"),),
        version=3,
        replication="001",
        bytes_offset=5,
        dat_file_size=9,
        expire_at_sec=8,
        read_only=True,
        ec_shard_config=EcShardConfig(10, 4, 7, 1 << 20),
        read_only_can_delete=True,
    )
    message = volume_info_message(info)
    assert {field.name for field, _ in message.ListFields()} == {
        field.name for field in pb.VolumeInfo.DESCRIPTOR.fields
    }
    (file,) = message.files
    assert {field.name for field, _ in file.ListFields()} == {
        field.name for field in pb.RemoteFile.DESCRIPTOR.fields
    }
    assert message.ec_shard_config.parity_shards == 4
    assert message.ec_shard_config.block_size == 1 << 20
    assert not volume_info_message(VolumeInfo()).HasField("ec_shard_config")
