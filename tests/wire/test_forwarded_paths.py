"""What other servers hear in our requests, whatever the path holds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wire.live_plane import LivePlane
from tests.wire.test_manifest_depth import store_listing
from tests.wire.test_proxied_bodies import peer
from tests.wire.wire_requests import get, raw_post, status_of

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LivePlane]:
    with LivePlane(tmp_path, fast_read=False, fast_write=False) as made:
        yield made


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(answer)


def read(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        (b"/7,01637037d6.a#b", b"/7,01637037d6.a%23b"),
        (b"/7,01637037d6.\xc3\xa9\xff", b"/7,01637037d6.%C3%A9%FF"),
        (b"/7/01637037d6/a%20b", b"/7/01637037d6/a%20b"),
    ],
)
def test_a_path_is_heard_as_it_was_asked_for(plane: LivePlane, path: bytes, heard: bytes) -> None:
    lines: list[bytes] = []
    with peer(answering(FINE), lines.append) as port:
        plane.cluster.put(7, port)
        assert status_of(plane.exchange(read(path))) == 200
    assert lines[0].startswith(b"GET " + heard + b"?proxied=true HTTP/1.1\r\n")


def test_a_copy_is_told_that_it_is_one_whatever_the_path(plane: LivePlane) -> None:
    lines: list[bytes] = []
    plane.add_volume(7, replication="001")
    with peer(answering(FINE), lines.append) as port:
        plane.cluster.put(7, plane.port, port)
        assert status_of(plane.exchange(raw_post(0, b"data", fid="7,01637037d6.a#b"))) == 201
        delete = b"DELETE /7,01637037d6.a#b HTTP/1.1\r\nHost: h\r\n\r\n"
        assert status_of(plane.exchange(delete)) == 202
    assert lines[0].startswith(b"POST /7,01637037d6.a%23b?") and b"type=replicate " in lines[0]
    assert lines[1].startswith(b"DELETE /7,01637037d6.a%23b?type=replicate ")


def test_a_chunk_is_asked_for_by_its_name_alone(plane: LivePlane) -> None:
    lines: list[bytes] = []
    volume = plane.add_volume(1)
    store_listing(volume, 5, ["7,0163 x?y#z\r\nA: b%41"])
    with peer(
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"), lines.append
    ) as port:
        plane.cluster.put(7, port)
        assert plane.exchange(get(5)).endswith(b"123456789")
    assert lines[0].startswith(b"GET /7,0163%20x%3Fy%23z%0D%0AA:%20b%2541 HTTP/1.1\r\n")
