"""What a server answers for others: reads go on to them, changes reach every copy.

Two clusters in one: fastvol beside two real volume servers, so that each question can be put to
fastvol and to the real thing in the same situation.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cluster import WEED, Cluster, Server, started, volume_server
from daemons import START_SECONDS_MAX, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, get, request

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

VOLUME_IDS = count(1)
FID = "01637037d6"


@dataclass
class Trio:
    """fastvol, and two real servers: ``peer`` has the other copies, ``real`` is the model."""

    cluster: Cluster
    peer: Server
    real: Server

    @property
    def fast(self) -> Server:
        return self.cluster.volume

    def volume(self, *servers: Server, replication: str = "000") -> int:
        """A new volume on these servers, once the master knows them all."""
        volume_id = next(VOLUME_IDS)
        for server in servers:
            self.cluster.rpc_of(server.port).AllocateVolume(
                pb.AllocateVolumeRequest(volume_id=volume_id, replication=replication, version=3)
            )
        wait_until(lambda: len(self.located(volume_id)) == len(servers), "the master knows")
        return volume_id

    def located(self, volume_id: int) -> list[Any]:
        reply = get(self.cluster.master.port, f"/dir/lookup?volumeId={volume_id}").json()
        return list(reply.get("locations") or ())

    @property
    def both(self) -> tuple[Server, Server]:
        """Whom a question is put to."""
        return self.fast, self.real


@pytest.fixture(scope="module", params=["proxy"])
def trio(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Trio]:
    yield from make_trio(tmp_path_factory.mktemp("trio"), request.param)


def make_trio(base: Path, read_mode: str) -> Iterator[Trio]:
    extra = [f"-readMode={read_mode}"]
    cluster = Cluster.make(base, *extra)
    weed = [WEED, f"-logdir={base}", f"-config_dir={base}"]
    masters = [cluster.master.port]
    peer = volume_server(weed, base, base / "peer", masters, *extra)
    real = volume_server(weed, base, base / "real", masters, *extra)
    with cluster.running(), started(peer, real):
        for server in (peer, real):
            server.ready()
            wait_until(lambda port=server.port: cluster.node(port), "joined", START_SECONDS_MAX)
        yield Trio(cluster, peer, real)


def raw(port: int, method: str, target: str, **headers: str) -> tuple[int, list[str], bytes]:
    """Status, header lines without what differs by nature, body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=CALL_SECONDS_MAX)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        lines = [f"{name}: {value}" for name, value in answer.getheaders()]
        return answer.status, sorted(normal(line) for line in lines), body
    finally:
        connection.close()


def normal(line: str) -> str:
    line = re.sub(r"^(Date|X-Amz-Request-Id): .*", r"\1", line)
    return re.sub(r"boundary=[0-9a-f]{60}", "boundary=…", line)


def upload(port: int, target: str, data: bytes = b"hello world", **headers: str) -> Any:
    headers.setdefault("Content_Type", "application/octet-stream")
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(port, "POST", target, data, given)


# --- reads that go on ---------------------------------------------------------------------------

PROXIED = [
    ("GET", "/{vid},01637037d6", {}),
    ("HEAD", "/{vid},01637037d6", {}),
    ("GET", "/{vid},01637037d6", {"Range": "bytes=2-4"}),
    ("GET", "/{vid},01637037d6", {"Range": "bytes=99-"}),
    ("GET", "/{vid},01637037d6", {"Range": "bytes=0-1,4-5"}),
    ("GET", "/{vid},01637037d6", {"If_None_Match": '"c99465aa"'}),
    ("GET", "/{vid},01637037d6", {"Origin": "http://there"}),
    ("GET", "/{vid},01637037d6?response-content-type=a/b&dl=true&z=1&a=b%20c", {}),
    ("GET", "/{vid}/01637037d6/some%20name.txt", {}),
    ("GET", "/{vid},01637037d7", {}),
    ("GET", "/{vid},99637037d6", {}),
    ("GET", "/{vid},02637037d6", {}),
    ("GET", "/{vid},02637037d6", {"Accept_Encoding": "gzip"}),
    ("GET", "/{vid},02637037d6", {"Accept_Encoding": "identity"}),
    ("GET", "/{vid},03637037d6?readDeleted=true", {}),
    ("GET", "/{vid},03637037d6", {}),
    ("GET", "/{vid},04637037d6", {}),
    ("GET", "/9999,01637037d6", {}),
    ("HEAD", "/9999,01637037d6", {}),
    ("GET", "/0,01637037d6", {}),
]


@pytest.fixture(scope="module")
def far_away(trio: Trio) -> int:
    """A volume that only the peer has."""
    volume_id = trio.volume(trio.peer)
    port = trio.peer.port
    assert upload(port, f"/{volume_id},01637037d6?ts=1700000000").status == 201
    text = b"words " * 200
    assert upload(port, f"/{volume_id},02637037d6", text, Content_Type="text/plain").status == 201
    assert upload(port, f"/{volume_id},03637037d6").status == 201
    assert request(port, "DELETE", f"/{volume_id},03637037d6").status == 202
    assert upload(port, f"/{volume_id},04637037d6", bytes(3_000_000)).status == 201
    return volume_id


@pytest.mark.parametrize(("method", "target", "headers"), PROXIED)
def test_a_read_is_proxied_as_by_the_real_server(
    trio: Trio, far_away: int, method: str, target: str, headers: dict[str, str]
) -> None:
    target = target.format(vid=far_away)
    fast, real = (raw(server.port, method, target, **headers) for server in trio.both)
    assert without_boundary(fast) == without_boundary(real)


def without_boundary(answer: tuple[int, list[str], bytes]) -> tuple[int, list[str], bytes]:
    """How the end of a body is told may differ: a length says more than chunks."""
    status, lines, body = answer
    framing = ("Content-Length:", "Transfer-Encoding:")
    kept = [line for line in lines if not line.startswith(framing)]
    return status, kept, re.sub(rb"--[0-9a-f]{60}", b"--", body)


def test_a_proxied_body_that_breaks_off_is_cut(trio: Trio) -> None:
    volume_id = trio.volume(trio.peer)
    target = f"/{volume_id},0a637037d6"
    assert upload(trio.peer.port, target, bytes(8_000_000)).status == 201
    assert len(get(trio.fast.port, target).body) == 8_000_000


# --- changes that reach every copy --------------------------------------------------------------

UPLOADS: list[tuple[str, bytes, dict[str, str]]] = [
    ("", b"plain", {"Content_Type": "text/x-plain"}),
    ("?ts=1700000000&ttl=3h", b"with time", {"Content_Type": "a/b", "Seaweed_Owner": "me"}),
    ("", b"words and words " * 200, {"Content_Type": "text/plain"}),
    ("", b"named", {"Content_Disposition": 'inline; filename="é b.txt"', "Content_Type": "c/d"}),
    ("?fsync=true", b"durable", {"Content_Type": "a/b"}),
    (
        "",
        b"sum",
        {
            "Content_Type": "a/b",
            "Content_MD5": base64.b64encode(hashlib.md5(b"sum").digest()).decode(),
        },
    ),
    ("", bytes(3_000_000), {"Content_Type": "a/b"}),
]


@pytest.fixture(scope="module")
def copies(trio: Trio) -> tuple[int, int]:
    """A volume of fastvol and the peer, and one of the real server and the peer."""
    return (
        trio.volume(trio.fast, trio.peer, replication="001"),
        trio.volume(trio.real, trio.peer, replication="001"),
    )


@pytest.mark.parametrize(("query", "data", "headers"), UPLOADS)
def test_a_write_reaches_the_other_copy(
    trio: Trio, copies: tuple[int, int], query: str, data: bytes, headers: dict[str, str]
) -> None:
    """The primary's answer, and what the peer then has, are those of the real server."""
    answers, stored = [], []
    for volume_id, server in zip(copies, trio.both, strict=True):
        target = f"/{volume_id},{next(KEYS):x}637037d6"
        headers = {**headers}
        headers.setdefault("Content_Disposition", 'inline; filename="same"')
        reply = upload(server.port, target + query, data, **headers)
        shown = {name: value for name, value in reply.headers.items() if name in SHOWN}
        said = reply.json()
        said.pop("eTag")  # of what our own gzip made
        answers.append((reply.status, shown, said))
        stored.append(peer_has(trio, target))
        assert get(server.port, target).body == data
        assert get(trio.peer.port, target).body == data
    assert answers[0] == answers[1]
    assert stored[0] == stored[1]


KEYS = count(0x100, 7)
SHOWN = ("content-type", "content-md5", "x-content-type-options")


def peer_has(trio: Trio, target: str) -> Any:
    status, lines, _ = raw(trio.peer.port, "GET", target, Accept_Encoding="gzip")
    varying = ("Last-Modified:", "Etag:", "Content-Length:")
    return status, [line for line in lines if not line.startswith(varying)]


def test_a_write_on_the_peer_reaches_us(trio: Trio, copies: tuple[int, int]) -> None:
    target = f"/{copies[0]},b0b637037d6"
    assert upload(trio.peer.port, target, b"from the peer").status == 201
    assert get(trio.fast.port, target).body == b"from the peer"
    assert request(trio.peer.port, "DELETE", target).status == 202
    assert get(trio.fast.port, target).status == 404


def test_an_unchanged_write_is_told_so(trio: Trio, copies: tuple[int, int]) -> None:
    for volume_id, server in zip(copies, trio.both, strict=True):
        target = f"/{volume_id},b1b637037d6"
        assert upload(server.port, target, b"once").status == 201
        assert upload(server.port, target, b"once").status == 204


def test_a_delete_reaches_the_other_copy(trio: Trio, copies: tuple[int, int]) -> None:
    for volume_id, server in zip(copies, trio.both, strict=True):
        target = f"/{volume_id},b2b637037d6"
        assert upload(server.port, target, b"gone soon").status == 201
        assert request(server.port, "DELETE", target).status == 202
        assert get(trio.peer.port, target).status == 404
        assert get(server.port, target).status == 404


def test_a_copy_that_a_peer_sends_goes_no_further(trio: Trio, copies: tuple[int, int]) -> None:
    for volume_id, server in zip(copies, trio.both, strict=True):
        target = f"/{volume_id},b3b637037d6"
        assert upload(server.port, f"{target}?type=replicate", b"only here").status == 201
        assert get(server.port, target).body == b"only here"
        assert get(trio.peer.port, target).status == 404
        assert request(server.port, "DELETE", f"{target}?type=replicate").status == 202


def test_a_write_for_a_volume_that_is_elsewhere(trio: Trio, far_away: int) -> None:
    for number, server in enumerate(trio.both):
        target = f"/{far_away},c{number}637037d6"
        reply = upload(server.port, target, b"sent on")
        assert reply.status == 201 and reply.json()["size"] == 7
        assert get(trio.peer.port, target).body == b"sent on"
        assert request(server.port, "DELETE", target).status == 404


def test_too_few_copies_refuse_a_change(trio: Trio) -> None:
    answers = []
    for server in trio.both:
        volume_id = trio.volume(server, replication="001")
        target = f"/{volume_id},{FID}"
        assert upload(server.port, f"{target}?type=replicate", b"x").status == 201
        written = upload(server.port, f"/{volume_id},02637037d6", b"x")
        deleted = request(server.port, "DELETE", target)
        texts = [reply.json()["error"] for reply in (written, deleted)]
        answers.append(
            [written.status, deleted.status, *(t.replace(str(volume_id), "V") for t in texts)]
        )
        assert get(server.port, target).status == 200
    assert answers[0] == answers[1]


def test_an_unknown_volume_takes_no_write(trio: Trio) -> None:
    answers = []
    for server in trio.both:
        for query in ("", "?type=replicate"):
            reply = upload(server.port, f"/9999,{FID}{query}", b"x")
            text = reply.json()["error"].replace(str(server.port), "PORT")
            answers.append((server.port, query, reply.status, text))
    assert [a[1:] for a in answers[:2]] == [a[1:] for a in answers[2:]]


# --- manifests ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chunked(trio: Trio, far_away: int) -> tuple[tuple[int, int], list[bytes]]:
    """Two volumes with the same manifest of chunks on the peer; one of fastvol, one of real."""
    parts = [b"first part, ", b"the second " * 100_000, b"end"]
    chunks = []
    at = 0
    for number, part in enumerate(parts):
        fid = f"{far_away},d{number}637037d6"
        assert upload(trio.peer.port, f"/{fid}", part).status == 201
        chunks.append({"fid": fid, "offset": at, "size": len(part)})
        at += len(part)
    text = json.dumps(
        {"name": "whole.txt", "mime": "text/x-whole", "size": at, "chunks": chunks[::-1]}
    ).encode()
    broken = json.dumps({"chunks": [{"fid": f"{far_away},ee637037d6", "size": 5}]}).encode()
    wrong = json.dumps({"chunks": [{"fid": "not-a-valid-fid", "size": 5}]}).encode()
    ids = (trio.volume(trio.fast), trio.volume(trio.real))
    for volume_id, server in zip(ids, trio.both, strict=True):
        for key, body in (
            ("01", text),
            ("02", broken),
            ("03", wrong),
            ("04", b"{}"),
            ("05", b"no"),
        ):
            target = f"/{volume_id},{key}637037d6?cm=true&ts=1700000000"
            assert upload(server.port, target, body, Content_Type="application/json").status == 201
    return ids, parts


MANIFEST_READS = [
    ("GET", "01", {}),
    ("HEAD", "01", {}),
    ("GET", "01?cm=false", {}),
    ("GET", "01?cm=0", {}),
    ("GET", "01", {"Range": "bytes=5-20"}),
    ("GET", "01", {"Range": "bytes=12-13"}),
    ("GET", "01", {"Range": "bytes=-4"}),
    ("GET", "01", {"Range": "bytes=0-3,10-14"}),
    ("GET", "01", {"Range": "bytes=99999999-"}),
    ("GET", "01", {"Accept_Encoding": "gzip"}),
    ("GET", "01?dl=true&response-content-type=x/y", {}),
    ("GET", "02", {}),
    ("GET", "03", {}),
    ("GET", "04", {}),
    ("HEAD", "03", {}),
    ("GET", "05", {}),
]


@pytest.mark.parametrize(("method", "key", "headers"), MANIFEST_READS)
def test_a_manifest_is_read_as_by_the_real_server(
    trio: Trio,
    chunked: tuple[tuple[int, int], list[bytes]],
    method: str,
    key: str,
    headers: dict[str, str],
) -> None:
    fid, _, query = key.partition("?")
    answers = []
    for volume_id, server in zip(chunked[0], trio.both, strict=True):
        target = f"/{volume_id},{fid}637037d6" + (f"?{query}" if query else "")
        status, lines, body = raw(server.port, method, target, **headers)
        lines = [line.replace(f"{volume_id},0", "V,0") for line in lines]
        answers.append(without_boundary((status, lines, body)))
    assert answers[0] == answers[1]
    if key == "01" and method == "GET" and not headers:
        assert answers[0][2] == b"".join(chunked[1])


def test_deleting_a_manifest_deletes_its_chunks(trio: Trio, far_away: int) -> None:
    answers = []
    for number, server in enumerate(trio.both):
        fid = f"{far_away},f{number}637037d6"
        assert upload(trio.peer.port, f"/{fid}", b"a chunk").status == 201
        volume_id = trio.volume(server)
        body = json.dumps({"size": 7, "chunks": [{"fid": fid, "size": 7}]}).encode()
        target = f"/{volume_id},{FID}"
        given = {"Content_Type": "application/json"}
        assert upload(server.port, f"{target}?cm=true", body, **given).status == 201
        reply = request(server.port, "DELETE", target)
        answers.append((reply.status, reply.body))
        assert get(server.port, target).status == 404
        assert get(trio.peer.port, f"/{fid}").status == 404
    assert answers[0] == answers[1] == (202, b'{"size":7}')


def test_a_manifest_whose_chunk_cannot_be_deleted_stays(
    trio: Trio, chunked: tuple[tuple[int, int], list[bytes]]
) -> None:
    answers = []
    for volume_id, server in zip(chunked[0], trio.both, strict=True):
        for key in ("03", "05"):
            reply = request(server.port, "DELETE", f"/{volume_id},{key}637037d6")
            answers.append((key, reply.status, reply.json()["error"]))
            assert get(server.port, f"/{volume_id},{key}637037d6?cm=false").status == 200
    assert answers[0] == answers[2]
    assert answers[1][:2] == answers[3][:2]


# --- the other modes, and a copy that is away ---------------------------------------------------


@pytest.mark.parametrize("mode", ["redirect", "local"])
def test_reads_of_other_volumes_without_a_proxy(tmp_path: Path, mode: str) -> None:
    for trio in make_trio(tmp_path, mode):
        volume_id = trio.volume(trio.peer)
        assert upload(trio.peer.port, f"/{volume_id},{FID}").status == 201
        for method in ("GET", "HEAD"):
            for rest in ("", ".jpg", "?readDeleted=true&collection=a%20b&x=y", "?proxied=true"):
                target = f"/{volume_id},{FID}{rest}"
                fast, real = (raw(server.port, method, target) for server in trio.both)
                assert fast == real, (method, rest)
        fast, real = (raw(s.port, "GET", f"/{volume_id}/{FID}_1/n.txt") for s in trio.both)
        assert fast == real


def test_a_copy_that_is_away_fails_the_write(tmp_path: Path) -> None:
    """The own copy stays; the client hears which one failed and why."""
    for trio in make_trio(tmp_path, "proxy"):
        ids = [trio.volume(server, trio.peer, replication="001") for server in trio.both]
        for volume_id, server in zip(ids, trio.both, strict=True):
            assert upload(server.port, f"/{volume_id},02637037d6").status == 201
        trio.peer.kill()
        answers = []
        for volume_id, server in zip(ids, trio.both, strict=True):
            # Right after the death, while the master still lists the copy.
            written = upload(server.port, f"/{volume_id},{FID}?ts=5", b"half way")
            deleted = request(server.port, "DELETE", f"/{volume_id},02637037d6")
            answers.append([normal_error(reply, volume_id) for reply in (written, deleted)])
            if "less than" not in answers[-1][0]:
                assert get(server.port, f"/{volume_id},{FID}").body == b"half way"
        assert answers[0] == answers[1]


def normal_error(reply: Any, volume_id: int) -> str:
    assert reply.status == 500
    return str(reply.json()["error"]).replace(f"{volume_id},", "V,").replace(f" {volume_id}", " V")
