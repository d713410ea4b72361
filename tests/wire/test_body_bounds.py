"""A body's length is the client's word: what nobody wants is neither kept nor waited for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import CHUNKED, SMALL, chunks, get, raw_post, store

DRAINED = 262_144
"""Bodies shorter than this are read although nobody wants them."""


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH", "OPTIONS"])
def test_an_unwanted_body_is_read_and_the_next_request_answered(
    plane: LivePlane, method: str
) -> None:
    body = b"GET /1,100001234 HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    with plane.connect() as sock:
        for framed in (
            get(0x99, f"Content-Length: {len(body)}", method=method) + body,
            get(0x99, CHUNKED, method=method) + chunks(body, body),
        ):
            sock.sendall(framed + get())
            reader = Reader(sock)
            first = reader.response(head_only=method == "HEAD")
            assert first is not None and b"Connection: close" not in first
            second = reader.response()
            assert second is not None and second.endswith(SMALL)


def test_a_long_unwanted_body_is_not_waited_for(plane: LivePlane) -> None:
    """Whatever length a client promises, nothing of it is kept."""
    for length in (DRAINED, 10**15):
        with plane.connect() as sock:
            sock.sendall(get(1, f"Content-Length: {length}"))
            answer = Reader(sock).rest()
        assert answer.endswith(SMALL) and b"\r\nConnection: close\r\n" in answer
    with plane.connect() as sock:
        sock.sendall(get(1, f"Content-Length: {DRAINED - 1}"))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(20)
        sock.sendall(bytes(DRAINED - 1))
        answer = Reader(sock).response() or b""
        assert answer.endswith(SMALL) and b"Connection: close" not in answer


def test_an_endless_unwanted_chunked_body_ends_the_connection(plane: LivePlane) -> None:
    with plane.connect() as sock:
        sock.sendall(get(1, CHUNKED) + chunks(bytes(DRAINED + 10))[:-5])
        answer = Reader(sock).rest()
    assert answer.endswith(SMALL) and b"\r\nConnection: close\r\n" in answer


def plain_requests(public: bool) -> list[bytes]:
    requests = [b"GET /1,100001234", b"HEAD /1,100001234", b"DELETE /1,99900001234", b"PATCH /x"]
    return requests + ([b"POST /1,100001234", b"PUT /1,100001234"] if public else [])


@pytest.mark.parametrize("public", [False, True])
def test_a_body_that_means_nothing_is_not_waited_for(tmp_path: Path, public: bool) -> None:
    """Nor kept: its length is the client's word, and may be anything."""
    with LivePlane(tmp_path, public=public) as plane:
        store(plane.add_volume(1), 1, SMALL)
        for line in plain_requests(public):
            head = line + b" HTTP/1.1\r\nHost: t\r\n"
            for framing in (
                b"Content-Length: 999999999999\r\n\r\n" + b"x" * 1000,
                b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 9,
            ):
                with plane.connect() as sock:
                    sock.settimeout(5)
                    sock.sendall(head + framing)
                    answer = Reader(sock).rest()
                assert b"Connection: close\r\n" in answer, line
                if line.startswith(b"GET"):
                    assert answer.endswith(SMALL)
            for framing in (
                b"Content-Length: 3\r\n\r\nabc",
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ):
                with plane.connect() as sock:
                    reader = Reader(sock)
                    sock.sendall(head + framing)
                    assert reader.response(head_only=line.startswith(b"HEAD")) is not None, line
                    sock.sendall(get())
                    assert (reader.response() or b"").endswith(SMALL)


def test_short_body_of_a_refused_request_is_drained(plane: LivePlane) -> None:
    refused = raw_post(1, bytes(200_000)).replace(b"/1,", b"/x,")
    with plane.connect() as sock:
        sock.sendall(refused + get())
        reader = Reader(sock)
        first, second = reader.response(), reader.response()
    assert first is not None and first.startswith(b"HTTP/1.1 400 ")
    assert second is not None and second.endswith(SMALL)


def test_upload_that_is_too_large_is_refused_without_being_received(plane: LivePlane) -> None:
    head = raw_post(0x62, b"").replace(b"Content-Length: 0", b"Content-Length: 9999999999")
    with plane.connect() as sock:
        sock.sendall(head)
        answer = Reader(sock).rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"file over the limited 1048576 bytes" in answer


def test_a_promise_alone_takes_no_memory(plane: LivePlane) -> None:
    head = b"POST /1,5400001234 HTTP/1.1\r\nHost: t\r\nContent-Type: a/b\r\n"
    before = resident_bytes()
    sockets = [plane.connect() for _ in range(150)]
    for sock in sockets:
        sock.sendall(head + b"Content-Length: 1000000\r\n\r\n" + b"x" * 2000)
    time.sleep(0.3)
    for sock in sockets:
        sock.sendall(b"x")
    time.sleep(0.5)
    grown = resident_bytes() - before
    for sock in sockets:
        sock.close()
    assert grown < 40 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
