"""``fastvol serve``: a node alone, whose directory a cluster can take over."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import FASTVOL, Server, joined, master_server, started, volume_server, weed
from daemons import GRPC_OFFSET, free_ports, log_lines, wait_until
from http_calls import HOST, get, put, request

pytestmark = pytest.mark.interop

MIB = 1 << 20


def single_node(base: Path, *flags: str) -> Server:
    """Not started; its data lie in ``data``."""
    (port,) = free_ports(1)
    command = [*FASTVOL, "serve", f"-port={port}", *flags, "data"]
    return Server(base, "serve", port, command)


@pytest.fixture(name="node")
def node_fixture(tmp_path: Path) -> Iterator[Server]:
    server = single_node(tmp_path)
    with started(server):
        server.ready()
        yield server


def assign(server: Server, query: str = "") -> dict[str, object]:
    reply = get(server.port, f"/dir/assign{query}")
    assert reply.status == 200, reply.body
    return dict(reply.json())


def key_of(fid: str) -> int:
    return int(fid.partition(",")[2][:-8], 16)


def test_it_says_how_to_use_it(node: Server) -> None:
    wait_until(lambda: "get:" in node.running.output, "the greeting")
    assert f"at http://{HOST}:{node.port}" in node.running.output
    assert str(node.base / "data") in node.running.output
    assert not log_lines(node.running.errors, "WEF")


def test_it_opens_as_many_files_as_it_may(tmp_path: Path) -> None:
    """A shell's usual limit would end a server of 500 volumes."""
    server = single_node(tmp_path)
    server.command[:0] = ["sh", "-c", 'ulimit -Sn 256; exec "$0" "$@"']
    with started(server):
        server.ready()
        limits = Path(f"/proc/{server.running.pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard != "256"


def test_an_object_from_assign_to_delete(node: Server) -> None:
    found = assign(node)
    assert found["count"] == 1
    assert found["url"] == found["publicUrl"] == f"{HOST}:{node.port}"
    fid = str(found["fid"])
    assert put(node.port, fid, b"hello").status == 201
    assert get(node.port, f"/{fid}").body == b"hello"
    head = request(node.port, "HEAD", f"/{fid}")
    assert (head.status, head.headers["content-length"], head.body) == (200, "5", b"")
    assert request(node.port, "DELETE", f"/{fid}").status == 202
    assert get(node.port, f"/{fid}").status == 404
    assert key_of(str(assign(node)["fid"])) > key_of(fid)


def test_several_ids_at_once(node: Server) -> None:
    """The ids after the first are the first with ``_1``, ``_2``; the next assign lies behind."""
    found = assign(node, "?count=3")
    assert found["count"] == 3
    fid = str(found["fid"])
    for number, suffix in enumerate(("", "_1", "_2")):
        assert put(node.port, fid + suffix, bytes([number])).status == 201
    for number, suffix in enumerate(("", "_1", "_2")):
        assert get(node.port, f"/{fid}{suffix}").body == bytes([number])
    volume_id, _, rest = fid.partition(",")
    assert get(node.port, f"/{volume_id},{key_of(fid) + 2:x}{rest[-8:]}").body == b"\x02"
    assert key_of(str(assign(node)["fid"])) >= key_of(fid) + 3


def test_collections_and_ttls_have_volumes_of_their_own(node: Server) -> None:
    plain, pics, pics_ttl, ttl = (
        str(assign(node, query)["fid"])
        for query in ("", "?collection=pics", "?collection=pics&ttl=3d", "?ttl=72h")
    )
    ids = [fid.partition(",")[0] for fid in (plain, pics, pics_ttl, ttl)]
    assert len(set(ids)) == 4
    names = {path.name for path in (node.base / "data").glob("*.dat")}
    assert names == {
        f"{ids[0]}.dat", f"pics_{ids[1]}.dat", f"pics_{ids[2]}.dat", f"{ids[3]}.dat"
    }  # fmt: skip
    for number in (2, 3):
        name = f"pics_{ids[2]}.dat" if number == 2 else f"{ids[3]}.dat"
        assert (node.base / "data" / name).read_bytes()[2:4] == bytes([3, 3])
    again = str(assign(node, "?collection=pics&ttl=3d")["fid"])
    assert again.partition(",")[0] == ids[2]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?replication=001", "replication 001 needs 2 servers; a single node keeps one copy (000)"),
        ("?replication=-1", "unknown replication type: 0-1"),
        ("?count=4294967297", "count 4294967297"),
        ("?collection=a%2Fb", "invalid collection name"),
        ("?ttl=xd", "invalid syntax"),
    ],
)
def test_what_cannot_be_assigned_is_refused_in_words(node: Server, query: str, words: str) -> None:
    reply = get(node.port, f"/dir/assign{query}")
    assert reply.status == 406
    assert words in reply.json()["error"]
    assert not list((node.base / "data").glob("*.dat"))


@pytest.mark.parametrize("text", ["0", "x", "-1", "1.5", "99999999999999999999", "9" * 5000, ""])
def test_a_count_that_is_none_is_one(node: Server, text: str) -> None:
    assert assign(node, f"?count={text}")["count"] == 1


def test_lookup(node: Server) -> None:
    fid = str(assign(node)["fid"])
    volume_id = fid.partition(",")[0]
    for query in (f"volumeId={volume_id}", f"fileId={fid}", f"volumeId={fid}"):
        reply = get(node.port, f"/dir/lookup?{query}")
        assert reply.status == 200
        assert reply.json()["volumeOrFileId"] == volume_id
        (location,) = reply.json()["locations"]
        assert location["url"] == location["publicUrl"] == f"{HOST}:{node.port}"
        assert location["grpcPort"] == node.port + GRPC_OFFSET
    for query, answer in (
        ("volumeId=77", {"volumeOrFileId": "77", "error": "volume id 77 not found"}),
        ("volumeId=x,1", {"volumeOrFileId": "x", "error": "unknown volume id x"}),
        ("fileId=x", {"error": "unknown volume id "}),
        ("", {"error": "unknown volume id "}),
    ):
        reply = get(node.port, f"/dir/lookup?{query}")
        assert (reply.status, reply.json()) == (404, answer)


def test_volumes_are_made_as_they_fill(tmp_path: Path) -> None:
    server = single_node(tmp_path, "-volumeSizeLimitMB=1")
    stored = {}
    with started(server):
        server.ready()
        for number in range(10):
            fid = str(assign(server)["fid"])
            stored[fid] = random.Random(number).randbytes(400_000)
            assert put(server.port, fid, stored[fid]).status == 201
        volumes = {fid.partition(",")[0] for fid in stored}
        assert len(volumes) == 4  # three of these objects go beyond 1 MB
        for fid, data in stored.items():
            assert get(server.port, f"/{fid}").body == data
        for path in (tmp_path / "data").glob("*.dat"):
            assert path.stat().st_size < 2 * MIB


@pytest.mark.parametrize("crash", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_restart_keeps_data_and_issues_no_key_twice(tmp_path: Path, crash: bool) -> None:
    server = single_node(tmp_path)
    stored = {}
    with started(server):
        server.ready()
        for number in range(5):
            fid = str(assign(server)["fid"])
            stored[fid] = bytes([number]) * 100
            assert put(server.port, fid, stored[fid]).status == 201
        assert request(server.port, "DELETE", f"/{list(stored)[-1]}").status == 202
        if crash:
            server.kill()
        else:
            assert server.stop() == 0
        server.start().ready()
        *kept, gone = stored
        for fid in kept:
            assert get(server.port, f"/{fid}").body == stored[fid]
        assert get(server.port, f"/{gone}").status == 404
        assert key_of(str(assign(server)["fid"])) > max(map(key_of, stored))


def test_a_second_node_on_the_directory_is_refused(node: Server) -> None:
    second = single_node(node.base)
    with started(second):
        assert second.running.wait() == 255
        (line,) = log_lines(second.running.errors, "WEF")
    assert line == f"data directory {node.base}/data is already served by another process"


def test_a_cluster_takes_the_directory_over(tmp_path: Path) -> None:
    """First fastvol, then the real server, each under a real master: everything is identical."""
    server = single_node(tmp_path)
    stored: dict[str, tuple[bytes, dict[str, str]]] = {}
    with started(server):
        server.ready()
        queries = ("", "?collection=pics", "?ttl=3d", "")
        for number, query in enumerate(queries * 3):
            fid = str(assign(server, query)["fid"])
            data = random.Random(number).randbytes(number * 20_000)
            headers = {"Content-Type": f"x/{number}", "Seaweed-Number": str(number)}
            assert put(server.port, fid, data, **headers).status == 201
            stored[fid] = data, dict(get(server.port, f"/{fid}").headers)
        removed = str(assign(server)["fid"])
        assert put(server.port, removed, b"gone").status == 201
        assert request(server.port, "DELETE", f"/{removed}").status == 202
        assert server.stop() == 0

    master = master_server(tmp_path)
    with started(master):
        master.ready("/dir/status")
        for program in (FASTVOL, weed(tmp_path), FASTVOL):
            member = volume_server(program, tmp_path, tmp_path / "data", [master.port])
            with started(member):
                member.ready()
                check_takeover(member, master, stored, removed)
                assert member.stop() == 0


def check_takeover(
    member: Server,
    master: Server,
    stored: dict[str, tuple[bytes, dict[str, str]]],
    removed: str,
) -> None:
    unsteady = {"date", "x-amz-request-id"}
    for fid, (data, headers) in stored.items():
        reply = get(member.port, f"/{fid}")
        assert (reply.status, reply.body) == (200, data)
        assert {n: v for n, v in reply.headers.items() if n not in unsteady} == {
            n: v for n, v in headers.items() if n not in unsteady
        }
    assert get(member.port, f"/{removed}").status == 404
    wait_until(lambda: joined(master, member), "the member has joined")
    fid = wait_until(
        lambda: get(master.port, "/dir/assign").json().get("fid"), "the master assigns"
    )
    assert key_of(fid) > max(map(key_of, [*stored, removed]))
    assert put(member.port, fid, b"later").status == 201
