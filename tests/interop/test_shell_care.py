"""``weed shell`` looks after a cluster of one fastvol and two ``weed volume`` servers: spreads volumes,
vacuums, scrubs, deletes, empties a server and lets it go."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from cluster import Server, started, weed
from daemons import free_ports, wait_until
from http_calls import HOST, get, request
from mixed_cluster import Mixed, mixed

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

FASTVOL, WEED, OTHER = 0, 1, 2


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    with mixed(tmp_path_factory.mktemp("shell")) as made:
        yield made


def test_cluster_ps_and_check(cluster: Mixed) -> None:
    printed = cluster.shell("cluster.ps", "cluster.check")
    for number in (FASTVOL, WEED, OTHER):
        assert cluster.name(number) in printed
    assert "4.48 fastvol" in printed


def test_volume_vacuum(cluster: Mixed) -> None:
    volume_id = cluster.volume(FASTVOL)
    fids = cluster.fill(volume_id, FASTVOL)
    for fid in fids[::2]:
        cluster.delete(fid, FASTVOL)
    rpc = cluster.cluster.rpc
    before = rpc.VolumeStatus(pb.VolumeStatusRequest(volume_id=volume_id)).volume_size
    cluster.shell("volume.vacuum -garbageThreshold 0.0001")
    wait_until(
        lambda: rpc.VolumeStatus(pb.VolumeStatusRequest(volume_id=volume_id)).volume_size < before,
        "it is vacuumed",
    )
    cluster.check(volume_id)


def test_volume_fsck(cluster: Mixed) -> None:
    """Of the filer's chunks none is missing, and what no file has is found on fastvol."""
    base, master = cluster.cluster.base, cluster.cluster.master
    (port,) = free_ports(1)
    store = base / "filer"
    store.mkdir()
    command = weed(base, "filer", f"-port={port}", f"-ip={HOST}", f"-defaultStoreDir={store}")
    filer = Server(base, "filer", port, [*command, f"-master={HOST}:{master.port}"])
    volume_id = cluster.volume(FASTVOL)
    orphans = cluster.fill(volume_id, FASTVOL)
    with started(filer):
        filer.ready("/")
        assert request(port, "PUT", "/some/file", b"content" * 1000).status == 201
        printed = cluster.shell(f"volume.fsck -v -volumeId {volume_id} -cutoffTimeAgo 0s")
    found = re.search(rf"volume:{volume_id}\s+entries:(\d+)\s+orphan:(\d+)", printed)
    assert found is not None, printed
    # The file's own chunk may have been assigned to this volume, too.
    assert int(found[2]) == len(orphans) <= int(found[1])


def test_volume_scrub(cluster: Mixed) -> None:
    volume_id = cluster.volume(FASTVOL)
    cluster.fill(volume_id, FASTVOL)
    node = cluster.name(FASTVOL)
    printed = cluster.shell(f"volume.scrub -node {node} -volumeId {volume_id} -mode full")
    assert "Scrubbed 8 files and 1 volumes" in printed
    assert "broken" not in printed.lower()


def test_collection_delete(cluster: Mixed) -> None:
    volume_id = cluster.volume(FASTVOL, collection="going")
    cluster.fill(volume_id, FASTVOL)
    cluster.shell("collection.delete -collection going -apply")
    wait_until(lambda: not cluster.locations(volume_id), "the master has forgotten it")
    assert not list(cluster.cluster.directory.glob(f"going_{volume_id}.*"))


def test_volume_balance_evacuate_and_leave(cluster: Mixed) -> None:
    """Last, because fastvol is empty and out of the cluster afterwards."""
    volumes = [cluster.volume(FASTVOL) for _ in range(2)]
    for volume_id in volumes:
        cluster.fill(volume_id, FASTVOL)
    cluster.shell("volume.balance -apply")
    cluster.check(*volumes)
    name = cluster.name(FASTVOL)
    cluster.shell(f"volumeServer.evacuate -node {name} -apply")
    wait_until(lambda: not cluster.cluster.volume_ids(), "fastvol is empty")
    cluster.check(*volumes)
    cluster.shell(f"volumeServer.leave -node {name} -apply")
    cluster.cluster.wait_left()
    assert get(cluster.servers[FASTVOL].port, "/healthz").status == 503
