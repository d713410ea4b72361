"""``weed shell`` copies, compares, merges and repairs volumes of one fastvol and two ``weed volume``
servers: whatever direction, every copy gives the same bytes afterwards.

Moves under load are in test_move_under_load, tiers in their own test.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mixed_cluster import Mixed, mixed

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

FASTVOL, WEED, OTHER = 0, 1, 2


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    with mixed(tmp_path_factory.mktemp("shell")) as made:
        yield made


@pytest.mark.parametrize(("source", "target"), [(FASTVOL, WEED), (WEED, FASTVOL)])
def test_volume_copy(cluster: Mixed, source: int, target: int) -> None:
    volume_id = cluster.volume(source)
    fids = cluster.fill(volume_id, source)
    cluster.delete(fids[2], source)
    cluster.shell(
        f"volume.copy -source {cluster.name(source)} -target {cluster.name(target)} "
        f"-volumeId {volume_id}"
    )
    cluster.wait_for(volume_id, source, target)
    cluster.check(volume_id)


def test_volume_check_disk_brings_copies_together(cluster: Mixed) -> None:
    """Each copy has objects that the other lacks; what was deleted on one goes on both."""
    volume_id = cluster.volume(FASTVOL, WEED)
    both = cluster.fill(volume_id, FASTVOL)
    for fid in both:
        cluster.put(fid, cluster.ledger[fid] or b"", WEED)
    cluster.fill(volume_id, FASTVOL, range(20, 25))
    cluster.fill(volume_id, WEED, range(30, 35))
    cluster.delete(both[0], FASTVOL)
    cluster.delete(both[1], WEED)
    printed = cluster.shell(
        f"volume.check.disk -volumeId {volume_id} -apply -slow -v "
        "-resurrectMissingNeedles -syncDeleted -nonRepairThreshold 1",
    )
    assert f"for volume {volume_id}" in printed
    assert "synced" in printed
    cluster.check(volume_id)


def test_volume_merge(cluster: Mixed) -> None:
    """Two copies that went apart become one, by way of a third server, and are writable again."""
    volume_id = cluster.volume(FASTVOL, WEED)
    cluster.fill(volume_id, FASTVOL, range(1, 5))
    cluster.fill(volume_id, WEED, range(5, 9))
    printed = cluster.shell(f"volume.merge -volumeId {volume_id}")
    assert f"merged volume {volume_id}" in printed
    cluster.wait_for(volume_id, FASTVOL, WEED)
    cluster.check(volume_id)
    for number in (FASTVOL, WEED):
        status = cluster.cluster.rpc_of(cluster.servers[number].port).VolumeStatus(
            pb.VolumeStatusRequest(volume_id=volume_id)
        )
        assert not status.is_read_only


def test_volume_configure_and_fix_replication(cluster: Mixed) -> None:
    """A copy goes from fastvol to a peer, and from a peer to fastvol or the other one."""
    ours, theirs = cluster.volume(FASTVOL), cluster.volume(WEED)
    for volume_id, number in ((ours, FASTVOL), (theirs, WEED)):
        cluster.fill(volume_id, number)
    cluster.shell(
        f"volume.configure.replication -volumeId {ours} -replication 001",
        f"volume.configure.replication -volumeId {theirs} -replication 001",
    )
    printed = cluster.shell("volume.fix.replication -apply")
    assert f"replicating volume {ours} 001" in printed
    for volume_id in (ours, theirs):
        assert len(cluster.locations(volume_id)) == 2
    cluster.check(ours, theirs)
