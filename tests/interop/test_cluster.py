"""fastvol as a member of a real cluster: what the master and ``weed shell`` order happens."""

import json
import os
import re
from pathlib import Path

import grpc
import pytest
from cluster import Cluster, weed
from daemons import run, wait_until
from http_calls import HOST, get, put, request

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

COOKIE = "11223344"


def files_of(directory: Path, base: str) -> set[str]:
    """Extensions of a volume's files."""
    return {path.suffix for path in directory.glob(f"{base}.*")}


def allocated(cluster: Cluster, volume_id: int, collection: str = "") -> str:
    """A new volume that the master knows; returns the fid of an object in it."""
    cluster.allocate(volume_id, collection)
    wait_until(lambda: volume_id in cluster.volume_ids(), f"the master knows volume {volume_id}")
    return f"{volume_id},01{COOKIE}"


def shell_ok(cluster: Cluster, *commands: str) -> str:
    printed = cluster.shell(*commands)
    assert not re.search("error|not defined", printed), printed
    return printed


def test_the_master_lists_the_server_with_its_capacity(cluster: Cluster) -> None:
    node = cluster.node()
    assert node is not None
    assert (node["Max"], node["EcShards"]) == (60, 0)
    assert node["PublicUrl"] == f"{HOST}:{cluster.volume.port}"


def test_an_assign_grows_volumes_that_are_writable_at_once(cluster: Cluster) -> None:
    fid = cluster.assign("?collection=grown&ttl=3d")
    volume_id = int(fid.split(",")[0])
    reply = put(cluster.volume.port, fid, b"grown")
    assert reply.status == 201, reply.body
    assert get(cluster.volume.port, f"/{fid}").body == b"grown"
    assert files_of(cluster.directory, f"grown_{volume_id}") == {".dat", ".idx", ".vif"}
    header = (cluster.directory / f"grown_{volume_id}.dat").read_bytes()[:8]
    assert header == bytes([3, 0, 3, 3, 0, 0, 0, 0])  # version, copies, 3 days, revision
    assert cluster.writables("grown") <= cluster.volume_ids()
    assert ", Collection:grown, Version:3, Ttl:3d, FileCount:" in cluster.volume_line(volume_id)


def test_upload_and_download(cluster: Cluster, tmp_path: Path) -> None:
    contents = {"a.txt": b"text " * 1000, "b.bin": os.urandom(100_000), "c.jpg": b"\xff\xd8\xff"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    master = f"-master={HOST}:{cluster.master.port}"
    done = run(weed(cluster.base, "upload", master, *contents), tmp_path)
    assert done.returncode == 0, done.stderr
    uploaded = {item["fileName"]: item["fid"] for item in json.loads(done.stdout)}
    assert set(uploaded) == set(contents)
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    done = run(
        weed(cluster.base, "download", master, f"-dir={fetched}", *uploaded.values()), tmp_path
    )
    assert done.returncode == 0, done.stderr
    for name, data in contents.items():
        assert (fetched / name).read_bytes() == data


def test_cluster_check_and_ps(cluster: Cluster) -> None:
    server = f"{HOST}:{cluster.volume.port}"
    printed = shell_ok(cluster, "cluster.check", "cluster.ps")
    assert re.search(rf"to volume server {server}\S* \.\.\. ok", printed)
    assert re.search(rf"checking volume server {server}\S* to master \S+ \.\.\. ok", printed)
    assert f"* {server} (8000GB 4.48 fastvol)" in printed


def test_volume_list_shows_what_was_written(cluster: Cluster) -> None:
    fid = allocated(cluster, 101)
    for key in range(1, 4):
        assert put(cluster.volume.port, f"101,{key:02x}{COOKIE}", bytes(1000)).status == 201
    assert request(cluster.volume.port, "DELETE", f"/{fid}").status == 202
    size = (cluster.directory / "101.dat").stat().st_size
    wait_until(
        lambda: f"Size:{size}, " in cluster.volume_line(101), "a heartbeat tells the new size"
    )
    line = cluster.volume_line(101)
    assert "FileCount:3, DeleteCount:1, DeletedByteCount:" in line
    assert "ReadOnly:false" in line


def test_mark_read_only_and_writable(cluster: Cluster) -> None:
    fid = allocated(cluster, 102)
    port = cluster.volume.port
    assert put(port, fid, b"before").status == 201
    node = f"-node={HOST}:{port}"
    shell_ok(cluster, f"volume.mark {node} -volumeId=102 -readonly")
    assert 102 not in cluster.writables()
    assert json.loads((cluster.directory / "102.vif").read_bytes())["readOnly"] is True
    refused = put(port, f"102,02{COOKIE}", b"x")
    assert refused.status == 500
    assert "volume 102 is read only" in refused.json()["error"]
    assert request(port, "DELETE", f"/{fid}").status == 500
    assert get(port, f"/{fid}").body == b"before"
    wait_until(lambda: "ReadOnly:true" in cluster.volume_line(102), "a heartbeat says read-only")

    shell_ok(cluster, f"volume.mark {node} -volumeId=102 -writable")
    assert 102 in cluster.writables()
    assert json.loads((cluster.directory / "102.vif").read_bytes())["readOnly"] is False
    assert put(port, f"102,02{COOKIE}", b"x").status == 201
    wait_until(lambda: "ReadOnly:false" in cluster.volume_line(102), "a heartbeat says writable")


def test_a_read_only_mark_may_leave_deletes_allowed(cluster: Cluster) -> None:
    fid = allocated(cluster, 114)
    port = cluster.volume.port
    assert put(port, fid, b"x").status == 201
    shell_ok(cluster, f"volume.mark -node={HOST}:{port} -volumeId=114 -readonlyCanDelete")
    stored = json.loads((cluster.directory / "114.vif").read_bytes())
    assert (stored["readOnly"], stored["readOnlyCanDelete"]) == (True, True)
    assert put(port, f"114,02{COOKIE}", b"x").status == 500
    assert request(port, "DELETE", f"/{fid}").status == 202
    wait_until(
        lambda: '"readOnlyCanDelete":true' in cluster.lookup(114).body.decode(),
        "a heartbeat says that deletes are taken",
    )


def test_unmount_and_mount(cluster: Cluster) -> None:
    fid = allocated(cluster, 103)
    port = cluster.volume.port
    assert put(port, fid, b"stays").status == 201
    node = f"-node={HOST}:{port}"
    shell_ok(cluster, f"volume.unmount {node} -volumeId=103")
    wait_until(lambda: cluster.lookup(103).status == 404, "the master hears of the unmount")
    assert get(port, f"/{fid}").status == 404
    assert files_of(cluster.directory, "103") == {".dat", ".idx", ".vif"}

    shell_ok(cluster, f"volume.mount {node} -volumeId=103")
    wait_until(lambda: cluster.lookup(103).status == 200, "the master hears of the mount", 4)
    assert get(port, f"/{fid}").body == b"stays"


def test_delete_a_volume(cluster: Cluster) -> None:
    fid = allocated(cluster, 104)
    port = cluster.volume.port
    assert put(port, fid, b"goes").status == 201
    shell_ok(cluster, f"volume.delete -node={HOST}:{port} -volumeId=104")
    wait_until(lambda: cluster.lookup(104).status == 404, "the master hears of the deletion", 4)
    assert get(port, f"/{fid}").status == 404
    assert files_of(cluster.directory, "104") == set()
    printed = cluster.shell(f"volume.delete -node={HOST}:{port} -volumeId=104")
    assert "delete volume 104 not found on disk: volume not found" in printed


def test_delete_empty_spares_live_objects(cluster: Cluster) -> None:
    """Volumes never written and those with nothing but garbage go; the server has the last word."""
    port = cluster.volume.port
    allocated(cluster, 105, "empties")
    garbage = allocated(cluster, 106, "empties")
    live = allocated(cluster, 113, "empties")
    for fid in (garbage, live):
        assert put(port, fid, b"data").status == 201
    assert request(port, "DELETE", f"/{garbage}").status == 202
    wait_until(lambda: "DeleteCount:1" in cluster.volume_line(106), "a heartbeat after the delete")
    shell_ok(cluster, "volume.deleteEmpty -quietFor=0s -apply -collectionPattern=empties")
    wait_until(lambda: cluster.lookup(106).status == 404, "the garbage is gone")
    wait_until(lambda: cluster.lookup(105).status == 404, "the empty volume is gone")
    assert not list(cluster.directory.glob("empties_105.*"))
    assert not list(cluster.directory.glob("empties_106.*"))
    assert get(port, f"/{live}").body == b"data"
    for condition in ({"only_empty": True}, {"only_garbage": True}):
        with pytest.raises(grpc.RpcError) as refused:
            cluster.rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=113, **condition))
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.value.details() == "DeleteVolume 113: volume not empty"


def test_delete_a_collection(cluster: Cluster) -> None:
    fids = [allocated(cluster, volume_id, "doomed") for volume_id in (107, 108)]
    keeper = allocated(cluster, 109, "doomed2")
    for fid in (*fids, keeper):
        assert put(cluster.volume.port, fid, b"x").status == 201
    printed = shell_ok(cluster, "collection.delete -collection=doomed -apply", "collection.list")
    assert 'collection:"doomed"' not in printed
    assert 'collection:"doomed2"' in printed
    for fid in fids:
        assert get(cluster.volume.port, f"/{fid}").status == 404
    assert get(cluster.volume.port, f"/{keeper}").status == 200
    assert not list(cluster.directory.glob("doomed_*"))


def test_maintenance_mode(cluster: Cluster) -> None:
    """No assigns, no new volumes; objects are served and stored as ever."""
    fid = allocated(cluster, 110)
    port = cluster.volume.port
    printed = shell_ok(cluster, f"volumeServer.state -nodes={HOST}:{port} -maintenanceOn")
    assert "Maintenance mode: yes" in printed
    try:
        assert (cluster.directory / "state.pb").read_bytes()[:2] == b"\x08\x01"
        with pytest.raises(grpc.RpcError, match=f"server {HOST}:{port} is in maintenance mode"):
            cluster.allocate(111)
        assert put(port, fid, b"x").status == 201
        assert get(port, "/healthz").status == 200
        wait_until(
            lambda: get(cluster.master.port, "/dir/assign").status != 200,
            "the master assigns nothing on the server",
        )
    finally:
        printed = shell_ok(cluster, f"volumeServer.state -nodes={HOST}:{port} -maintenanceOff")
    assert "Maintenance mode: no" in printed
    wait_until(
        lambda: get(cluster.master.port, "/dir/assign").status == 200, "the master assigns again"
    )


def test_leaving_the_cluster(cluster: Cluster) -> None:
    """The master forgets the server, which goes on serving; only a restart brings it back."""
    fid = allocated(cluster, 112)
    port = cluster.volume.port
    assert put(port, fid, b"here").status == 201
    shell_ok(cluster, f"volumeServer.leave -node={HOST}:{port} -apply")
    try:
        cluster.wait_left()
        assert get(port, f"/{fid}").body == b"here"
        assert put(port, f"112,02{COOKIE}", b"x").status == 201
        assert get(port, "/healthz").status == 503
        assert get(port, "/readyz").status == 503
    finally:
        assert cluster.volume.stop() == 0
        cluster.volume.start()
        cluster.wait_joined()
    assert get(port, "/healthz").status == 200
    assert 112 in cluster.volume_ids()
