"""Bodies that come from another server: how their ends are told, and what a failure leaves behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastvol.cluster import peer_http
from fastvol.http.router import Router
from tests.wire.live_plane import WAIT_SECONDS, LivePlane, Throttling
from tests.wire.test_throttling import plane_with, post, wait_for_event

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = "GET /7,01637037d6 HTTP/1.{}\r\nHost: h\r\n{}\r\n"


@contextmanager
def peer(
    answer: Callable[[socket.socket], None], heard: Callable[[bytes], None] = lambda _: None
) -> Iterator[int]:
    """A server on a port of its own that does the same to every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    heard(sock.recv(65536))
                    answer(sock)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_SECONDS)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LivePlane]:
    with LivePlane(tmp_path) as made:
        made.add_volume(1)
        yield made


def all_of(plane: LivePlane, request: str) -> bytes:
    """Everything until the connection ends."""
    with plane.connect() as sock:
        sock.sendall(request.encode())
        received = b""
        while piece := sock.recv(65536):
            received += piece
        return received


def in_chunks(sock: socket.socket) -> None:
    sock.sendall(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")


def test_a_body_of_unknown_length_comes_in_chunks(plane: LivePlane) -> None:
    with peer(in_chunks) as port:
        plane.cluster.put(7, port)
        head, _, body = all_of(plane, GET.format(1, "Connection: close\r\n")).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head and b"Content-Length" not in head
    assert body == b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("header", ["", "Connection: keep-alive\r\n"])
def test_an_old_client_is_told_by_the_end_of_the_connection(plane: LivePlane, header: str) -> None:
    with peer(in_chunks) as port:
        plane.cluster.put(7, port)
        head, _, body = all_of(plane, GET.format(0, header)).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head and b"keep-alive" not in head
    assert body == b"hello"


def test_a_body_that_breaks_off_ends_the_connection(plane: LivePlane) -> None:
    with peer(lambda sock: sock.sendall(CHUNKED + b"5\r\nhello\r\n5\r\nhe")) as port:
        plane.cluster.put(7, port)
        answer = all_of(plane, GET.format(1, ""))
    assert b"hello" in answer and not answer.endswith(b"0\r\n\r\n")


def stalling(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\nhello")
    sock.recv(1)


def dripping(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(b" ")
            time.sleep(0.05)


def test_a_body_that_stalls_ends_the_connection(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_http, "PEER_STALL_SECONDS", 0.3)
    with peer(stalling) as port:
        plane.cluster.put(7, port)
        assert all_of(plane, GET.format(1, "")).endswith(b"hello")


def test_a_copy_whose_answer_drips_fails_the_write(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_http, "PEER_STALL_SECONDS", 0.3)
    with peer(dripping) as port:
        plane.cluster.put(7, port)
        answer = plane.exchange(post("/7,01637037d6", 5) + b"hello")
    assert answer.startswith(b"HTTP/1.1 500 ") and b"the body takes longer than" in answer


def test_a_failing_answer_lets_go_of_the_bytes_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("no head for this one")

    with plane_with(tmp_path, Throttling(uploads=1 << 20)) as plane:
        plane.add_volume(1)
        with monkeypatch.context() as patched:
            patched.setattr(Router, "finish", fail)
            for fsync in ("", "?fsync=true"):  # on the loop, and in a thread
                with plane.connect() as sock:
                    sock.sendall(post(f"/1,01637037d6{fsync}", 5) + b"hello")
                    assert sock.recv(1) == b""
        wait_for_event(lambda: plane.uploads.in_flight == 0)


def test_a_failing_check_of_a_head_is_an_error_and_no_lost_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plane_with(tmp_path, Throttling(uploads=1)) as plane:
        plane.add_volume(1)

        async def fail(_: object) -> bool:
            raise RuntimeError("no patience")

        monkeypatch.setattr(type(plane.uploads), "is_over", property(lambda _: True))
        monkeypatch.setattr(plane.uploads, "wait", fail)
        answer = plane.exchange(post("/1,01637037d6", 5) + b"hello")
        assert answer.startswith(b"HTTP/1.1 500 ")
