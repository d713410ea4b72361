"""What odd answers and addresses of other servers lead to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastvol.pb import master_pb2
from tests.wire.live_plane import LivePlane
from tests.wire.test_manifest_depth import store_listing
from tests.wire.test_proxied_bodies import peer
from tests.wire.wire_requests import get, raw_post, status_of


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LivePlane]:
    with LivePlane(tmp_path, fast_read=False, fast_write=False) as made:
        yield made


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(answer)


def read(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("url", ["h:99999", "[::1", "h:x", ""])
def test_an_address_that_is_none_is_a_failure_in_words(
    plane: LivePlane, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    plane.cluster.where[7] = [master_pb2.Location(url=url)]
    store_listing(plane.add_volume(1), 5, ["7,0163"])
    assert status_of(plane.exchange(read(b"/7,01637037d6"))) == 500
    assert b'{"error":"failed to write to replicas' in plane.exchange(
        raw_post(0, b"data", fid="7,01637037d6")
    )
    manifest = plane.exchange(get(5))
    assert status_of(manifest) == 500 and b"text/plain" in manifest
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_is_none_is_a_failure_in_one_line(plane: LivePlane, answer: bytes) -> None:
    with peer(answering(answer)) as port:
        plane.cluster.put(7, port)
        assert status_of(plane.exchange(read(b"/7,01637037d6"))) == 500
        said = plane.exchange(raw_post(0, b"data", fid="7,01637037d6"))
    assert status_of(said) == 500 and b"failed to write to replicas" in said
    assert b"\\n" not in said and b"message=" not in said


def test_a_nested_answer_fails_a_write_in_words(plane: LivePlane) -> None:
    deep = b"[" * 60_000
    head = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(deep)
    with peer(answering(head + deep)) as port:
        plane.cluster.put(7, port)
        said = plane.exchange(raw_post(0, b"data", fid="7,01637037d6"))
    assert status_of(said) == 500 and b"failed to write to replicas" in said
