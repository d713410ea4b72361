"""The offline tools beside the real ones, on the same files; each opens what the other wrote."""

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    master_server,
    started,
    volume_rpc,
    volume_status,
    weed,
)
from cluster import volume_server as volume_server_of
from daemons import run
from http_calls import get, put, request

from fastvol import Volume

pytestmark = pytest.mark.interop

COOKIE = "11223344"


def fid(volume_id: int, key: int) -> str:
    return f"{volume_id},{key:02x}{COOKIE}"


def content(key: int) -> bytes:
    return b"%d " % key * key * 9


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A master, and the directory of volumes 7 (appended to) and 8 (vacuumed), written by weed."""
    base = tmp_path_factory.mktemp("offline")
    master = master_server(base)
    directory = base / "made"
    server = volume_server_of(weed(base), base, directory, [master.port])
    with started(master, server):
        server.ready()
        with volume_rpc(server.port) as rpc:
            for volume_id in (7, 8):
                allocate(rpc, volume_id)
                for key in range(1, 25):
                    headers = {"Content-Type": "text/plain"} if key % 2 else {}
                    assert (
                        put(server.port, fid(volume_id, key), content(key), **headers).status == 201
                    )
                for key in (4, 8):
                    put(server.port, fid(volume_id, key), b"again")
                for key in (5, 8, 11):
                    assert request(server.port, "DELETE", f"/{fid(volume_id, key)}").status == 202
        put(server.port, fid(7, 5), b"back")
        put(server.port, fid(8, 5), b"back")
        get(master.port, "/vol/vacuum?garbageThreshold=0.0001")
        server.stop()
        yield master, directory


def copy_of(made: Path, target: Path) -> Path:
    shutil.copytree(made, target)
    return target


def vacuumed_by_weed(base: Path, directory: Path) -> None:
    """``weed compact`` and what its commit would do."""
    run([*weed(base, "compact"), f"-dir={directory}", "-volumeId=8", "-method=index"], base)
    (directory / "8.cpd").rename(directory / "8.dat")
    (directory / "8.cpx").rename(directory / "8.idx")


@pytest.mark.parametrize("include_deleted", ["true", "false"])
@pytest.mark.parametrize("vacuumed", [False, True])
def test_fix_writes_what_weed_fix_writes(
    made: tuple[Server, Path], tmp_path: Path, include_deleted: str, vacuumed: bool
) -> None:
    ours, theirs = copy_of(made[1], tmp_path / "ours"), tmp_path / "theirs"
    if vacuumed:
        vacuumed_by_weed(tmp_path, ours)
    shutil.copytree(ours, theirs)
    flag = f"-includeDeleted={include_deleted}"
    assert run([*FASTVOL, "fix", flag, str(ours)], tmp_path).returncode == 0
    assert run([*weed(tmp_path, "fix"), flag, str(theirs)], tmp_path).returncode == 0
    for name in ("7.idx", "8.idx"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        assert (ours / name).stat().st_size > 0


def serve_and_check(made: tuple[Server, Path], directory: Path, base: Path) -> None:
    server = volume_server_of(weed(base), base, directory, [made[0].port])
    with started(server):
        server.ready()
        for volume_id in (7, 8):
            assert not volume_status(server)[volume_id]["ReadOnly"]
            for key in range(1, 25):
                reply = get(server.port, f"/{fid(volume_id, key)}")
                wanted = {4: b"again", 5: b"back"}.get(key, content(key))
                if key in (8, 11):
                    assert reply.status == 404
                else:
                    assert (reply.status, reply.body) == (200, wanted), (volume_id, key)
        server.stop()


def test_weed_serves_what_the_tools_wrote(made: tuple[Server, Path], tmp_path: Path) -> None:
    directory = copy_of(made[1], tmp_path / "v")
    for command in (["check"], ["fix"], ["compact", "-commit"], ["check", "-repair"], ["info"]):
        done = run([*FASTVOL, *command, str(directory)], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    serve_and_check(made, directory, tmp_path)
    # And the other way round.
    for volume_id in ("7", "8"):
        command = [*weed(tmp_path, "compact"), f"-dir={directory}", f"-volumeId={volume_id}"]
        assert run(command, tmp_path).returncode == 0
    done = run([*FASTVOL, "check", "-repair", str(directory)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "undo an unfinished vacuum" in done.stdout
    with Volume.open(directory, 7) as volume:
        assert volume.read(fid(7, 20)).content() == content(20)


def test_weed_reads_a_repaired_volume(made: tuple[Server, Path], tmp_path: Path) -> None:
    directory = copy_of(made[1], tmp_path / "v")
    with (directory / "7.dat").open("ab") as file:
        file.write(b"\1" * 100)
    (directory / "8.idx").write_bytes((directory / "8.idx").read_bytes()[:-25])
    assert run([*FASTVOL, "check", str(directory)], tmp_path).returncode == 1
    assert run([*FASTVOL, "check", "-repair", str(directory)], tmp_path).returncode == 0
    serve_and_check(made, directory, tmp_path)


@pytest.mark.parametrize(
    "flags", [[], ["-deleted"], ["-limit=5"], ["-newer=2040-01-02T15:04:05"]], ids=str
)
def test_export_lists_alike(made: tuple[Server, Path], tmp_path: Path, flags: list[str]) -> None:
    for volume_id in (7, 8):
        common = [f"-dir={made[1]}", f"-volumeId={volume_id}", *flags]
        ours = run([*FASTVOL, "export", *common], tmp_path)
        theirs = run([*weed(tmp_path, "export"), *common], tmp_path)
        assert ours.stdout == theirs.stdout
        assert ours.returncode == 0


def members(path: Path) -> list[tuple[str, bytes, int, int]]:
    found = []
    with tarfile.open(path) as tar:
        for member in tar:
            data = tar.extractfile(member)
            assert data is not None
            found.append((member.name, data.read(), int(member.mtime), member.mode))
    return found


@pytest.mark.parametrize("name", ["", "{{.Mime}}/{{.Key}}", "{{.Id}}-{{.Name}}"])
def test_export_writes_the_same_tar(made: tuple[Server, Path], tmp_path: Path, name: str) -> None:
    flags = [f"-dir={made[1]}", "-volumeId=7", *([f"-fileNameFormat={name}"] if name else [])]
    assert run([*FASTVOL, "export", "-o=ours.tar", *flags], tmp_path).returncode == 0
    assert run([*weed(tmp_path, "export"), "-o=theirs.tar", *flags], tmp_path).returncode == 0
    ours = members(tmp_path / "ours.tar")
    assert len(ours) == 22
    assert ours == [
        # Names never begin with a slash here.
        (name.lstrip("/"), *rest)
        for name, *rest in members(tmp_path / "theirs.tar")
    ]
