"""The master's question whether a vacuum is worth it."""

import grpc
from rpc_fakes import Node

from fastvol.pb import volume_server_pb2 as pb


def test_the_garbage_ratio_is_the_volumes(node: Node) -> None:
    node.store.put(7).garbage = 0.375
    found = node.call("VacuumVolumeCheck", pb.VacuumVolumeCheckRequest(volume_id=7))
    assert found.garbage_ratio == 0.375


def test_a_missing_volume_is_not_found(node: Node) -> None:
    assert node.refusal("VacuumVolumeCheck", pb.VacuumVolumeCheckRequest(volume_id=9999)) == (
        grpc.StatusCode.NOT_FOUND,
        "volume id 9999 is not found during check compact: volume not found",
    )
