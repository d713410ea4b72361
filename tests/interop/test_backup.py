"""``fastvol backup`` from the real server: the copy equals the source, whatever happened between."""

from pathlib import Path

import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    joined,
    master_server,
    started,
    volume_rpc,
    volume_status,
    weed,
)
from cluster import volume_server as volume_server_of
from daemons import run, wait_until
from http_calls import get, put, request

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

COOKIE = "11223344"


def fid(key: int) -> str:
    return f"7,{key:02x}{COOKIE}"


def backup(master: Server, target: Path, *extra: str) -> str:
    target.mkdir(exist_ok=True)
    command = [*FASTVOL, "backup", f"-dir={target}", "-volumeId=7", *extra]
    done = run([*command, f"-master=127.0.0.1:{master.port}"], target)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same(source: Path, target: Path, *extensions: str) -> None:
    for name in extensions or (".dat", ".idx"):
        assert (target / f"7{name}").read_bytes() == (source / f"7{name}").read_bytes(), name


def vacuum(server: Server) -> None:
    with volume_rpc(server.port) as rpc:
        list(rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=7)))
        rpc.VacuumVolumeCommit(pb.VacuumVolumeCommitRequest(volume_id=7))
        rpc.VacuumVolumeCleanup(pb.VacuumVolumeCleanupRequest(volume_id=7))


def test_a_copy_follows_its_volume(tmp_path: Path) -> None:
    master = master_server(tmp_path)
    source, target = tmp_path / "source", tmp_path / "target"
    server = volume_server_of(weed(tmp_path), tmp_path, source, [master.port])
    with started(master, server):
        server.ready()
        wait_until(lambda: joined(master, server), "the volume server has joined")
        with volume_rpc(server.port) as rpc:
            allocate(rpc, 7)
        wait_until(
            lambda: get(master.port, "/dir/lookup?volumeId=7").status == 200, "the volume is known"
        )
        for key in range(1, 30):
            assert put(server.port, fid(key), b"%d " % key * 100).status == 201
        assert "fetched it whole" in backup(master, target)
        same(source, target)
        assert "continued the copy, 0 bytes" in backup(master, target)
        same(source, target)

        put(server.port, fid(3), b"again")
        request(server.port, "DELETE", f"/{fid(5)}")
        put(server.port, fid(40), b"")
        assert "continued the copy" in backup(master, target)
        same(source, target, ".dat")

        vacuum(server)
        assert volume_status(server)[7]["CompactRevision"] == 1
        assert "fetched it whole" in backup(master, target)
        same(source, target)
        # The youngest record is not the last one now.
        put(server.port, fid(2), b"after the vacuum")
        request(server.port, "DELETE", f"/{fid(6)}")
        assert "continued the copy" in backup(master, target)
        same(source, target)

        # A copy that was cut, or has more than the source.
        content = (target / "7.dat").read_bytes()
        (target / "7.dat").write_bytes(content[:-40])
        backup(master, target)
        same(source, target)
        longer = tmp_path / "longer"
        backup(master, longer)
        (longer / "7.dat").write_bytes(content + content[8:])
        assert "fetched it whole" in backup(master, longer)
        same(source, longer)

        failed = run(
            [*FASTVOL, "backup", "-volumeId=99", f"-master=127.0.0.1:{master.port}"], target
        )
        assert failed.returncode == 2
        assert "lookup volume 99" in failed.stderr

        # What the real tool finds in our copy, and we in its. It makes a deletion of the empty file.
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        command = [*weed(tmp_path, "backup"), f"-dir={theirs}", "-volumeId=7"]
        command += [f"-master=127.0.0.1:{master.port}"]
        assert run(command, tmp_path).returncode == 0
        same(source, theirs, ".dat")
        put(server.port, fid(50), b"for both")
        assert "continued the copy" in backup(master, theirs)
        same(source, theirs, ".dat")
        assert run([*command[:-2], f"-dir={target}", *command[-2:]], tmp_path).returncode == 0
        same(source, target)
        # A real server takes the copy over.
        server.stop()
        again = volume_server_of(weed(tmp_path), tmp_path, target, [master.port])
        with started(again):
            again.ready()
            assert get(again.port, f"/{fid(50)}").body == b"for both"
            assert get(again.port, f"/{fid(5)}").status == 404
            assert not volume_status(again)[7]["ReadOnly"]
