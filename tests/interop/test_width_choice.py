"""Offsets of 4 and of 5 bytes: chosen, recognised, side by side, and compatible with ``weed``."""

import json
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
    volume_server,
    weed,
)
from daemons import free_ports
from http_calls import get, put, request

pytestmark = pytest.mark.interop

COOKIE = "11223344"
ROW_BYTES = {4: 16, 5: 17}
NAMES = {4: "30GB", 5: "8000GB"}


@pytest.fixture(name="master", scope="module")
def master_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real master, which says that it is a 5-byte build."""
    server = master_server(tmp_path_factory.mktemp("master"))
    with started(server):
        yield server.ready("/dir/status")


def member(base: Path, master: Server, *flags: str) -> Server:
    return volume_server(FASTVOL, base, base / "data", [master.port], *flags)


def create(server: Server, *volume_ids: int) -> None:
    """New volumes, each with three objects of which one is deleted: four rows."""
    with volume_rpc(server.port) as rpc:
        for volume_id in volume_ids:
            allocate(rpc, volume_id)
            for key in (1, 2, 3):
                fid = f"{volume_id},{key}{COOKIE}"
                assert put(server.port, fid, content(volume_id, key)).status == 201
            assert request(server.port, "DELETE", f"/{volume_id},2{COOKIE}").status == 202


def content(volume_id: int, key: int) -> bytes:
    return f"object {key} of volume {volume_id}".encode() * 50


def check(server: Server, *volume_ids: int) -> None:
    """Volumes made by :func:`create` are served."""
    for volume_id in volume_ids:
        for key in (1, 3):
            reply = get(server.port, f"/{volume_id},{key}{COOKIE}")
            assert (reply.status, reply.body) == (200, content(volume_id, key))
        assert get(server.port, f"/{volume_id},2{COOKIE}").status == 404


def check_files(directory: Path, volume_id: int, width: int, rows: int = 4) -> None:
    """What the files say, by their bytes."""
    info = json.loads((directory / f"{volume_id}.vif").read_bytes())
    assert info["bytesOffset"] == width
    index = (directory / f"{volume_id}.idx").read_bytes()
    assert len(index) == rows * ROW_BYTES[width]
    data = (directory / f"{volume_id}.dat").read_bytes()
    for at in range(0, len(index), ROW_BYTES[width]):
        row = index[at : at + ROW_BYTES[width]]
        offset = int.from_bytes(row[8:12]) * 8
        assert data[offset + 4 : offset + 12] == row[:8]
        assert row[12:-4] == b"\0" * (width - 4)


@pytest.mark.parametrize("width", [4, 5])
def test_the_width_asked_for(master: Server, tmp_path: Path, width: int) -> None:
    """And by itself the same afterwards, because the volumes have it."""
    server = member(tmp_path, master, f"-offsetBytes={width}")
    with started(server):
        server.ready()
        assert get(server.port, "/status").headers["server"] == (
            f"SeaweedFS Volume {NAMES[width]} 4.48"
        )
        create(server, 1)
        check_files(tmp_path / "data", 1, width)
        assert server.stop() == 0
    by_itself = member(tmp_path, master)
    with started(by_itself):
        by_itself.ready()
        assert get(by_itself.port, "/status").json()["Version"].startswith(NAMES[width])
        check(by_itself, 1)
        create(by_itself, 2)
        check_files(tmp_path / "data", 2, width)
        assert put(by_itself.port, f"1,4{COOKIE}", content(1, 4)).status == 201
        check_files(tmp_path / "data", 1, width, rows=5)


def test_an_empty_directory_is_as_wide_as_the_master(master: Server, tmp_path: Path) -> None:
    server = member(tmp_path, master)
    with started(server):
        server.ready()
        create(server, 1)
        check_files(tmp_path / "data", 1, 5)
        assert get(server.port, "/status").json()["Version"] == "8000GB 4.48 fastvol"


def test_both_widths_in_one_server(master: Server, tmp_path: Path) -> None:
    """A crash in between changes nothing; new volumes are like most of those that are there."""
    data = tmp_path / "data"
    for volume_ids, width in (((1,), 5), ((2, 3), 4)):
        server = member(tmp_path, master, f"-offsetBytes={width}")
        with started(server):
            server.ready()
            create(server, *volume_ids)
            check(server, 1)
            server.kill()
    server = member(tmp_path, master)
    with started(server):
        server.ready()
        check(server, 1, 2, 3)
        create(server, 4)
    for volume_id, width in ((1, 5), (2, 4), (3, 4), (4, 4)):
        check_files(data, volume_id, width)


@pytest.mark.parametrize("width", [4, 5])
def test_volumes_that_do_not_say_are_recognised(master: Server, tmp_path: Path, width: int) -> None:
    """Without ``.vif`` the rows tell; an empty volume without rows follows its neighbours."""
    data = tmp_path / "data"
    server = member(tmp_path, master, f"-offsetBytes={width}")
    with started(server):
        server.ready()
        create(server, 1, 2)
        with volume_rpc(server.port) as rpc:
            allocate(rpc, 3)
        assert server.stop() == 0
    (data / "1.vif").unlink()
    old_release = {"version": 3, "replication": ""}
    for volume_id in (2, 3):
        (data / f"{volume_id}.vif").write_text(json.dumps(old_release))
    other = 9 - width  # what the option says about new volumes does not matter to these
    server = member(tmp_path, master)
    with started(server):
        server.ready()
        check(server, 1, 2)
        assert put(server.port, f"3,1{COOKIE}", content(3, 1)).status == 201
        assert server.stop() == 0
    for volume_id, rows in ((1, 4), (2, 4), (3, 1)):
        assert len((data / f"{volume_id}.idx").read_bytes()) == rows * ROW_BYTES[width]
    server = member(tmp_path, master, f"-offsetBytes={other}")
    with started(server):
        server.ready()
        check(server, 1, 2)
        assert get(server.port, f"/3,1{COOKIE}").body == content(3, 1)


def test_a_single_node_makes_the_width_asked_for(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = [*FASTVOL, "serve", f"-port={port}", "-offsetBytes=4", "data"]
    server = Server(tmp_path, "serve", port, command)
    with started(server):
        server.ready()
        fid = get(port, "/dir/assign").json()["fid"]
        assert put(port, fid, b"four").status == 201
        volume_id = int(fid.partition(",")[0])
        check_files(tmp_path / "data", volume_id, 4, rows=1)


def test_weed_serves_what_was_made_five_bytes_wide(master: Server, tmp_path: Path) -> None:
    server = member(tmp_path, master)
    with started(server):
        server.ready()
        create(server, 1, 2)
        assert server.stop() == 0
    theirs = volume_server(weed(tmp_path), tmp_path, tmp_path / "data", [master.port])
    with started(theirs):
        theirs.ready()
        check(theirs, 1, 2)


def test_weed_refuses_what_was_made_four_bytes_wide(master: Server, tmp_path: Path) -> None:
    """The binary at hand is a 5-byte build: it must see what it cannot read, not misread it."""
    server = member(tmp_path, master, "-offsetBytes=4")
    with started(server):
        server.ready()
        create(server, 1)
        assert server.stop() == 0
    theirs = volume_server(weed(tmp_path), tmp_path, tmp_path / "data", [master.port])
    with started(theirs):
        assert theirs.running.wait() == 1
    check_files(tmp_path / "data", 1, 4)
