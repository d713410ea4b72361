"""Clients that mean harm: what they send costs little, ends in time, and is felt by nobody else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastvol._cffi.crc32c import crc32c
from fastvol.formats.needle import Needle
from fastvol.http.connection import Connection
from fastvol.http.plane import PlaneOptions
from fastvol.http.request import Request
from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane, Reader

BODY = b"\x00content" * 100
LARGE = bytes(range(256)) * (16 << 10)
GET = b"GET /1,100001234 HTTP/1.1\r\nHost: t\r\n\r\n"
GET_LARGE = GET.replace(b"/1,1", b"/1,2")
TO_PYTHON = GET.replace(b" HTTP", b"?dl=true HTTP")


def store(volume: Volume, key: int, data: bytes) -> None:
    volume.write(Needle(id=key, cookie=0x1234, data=data, checksum=crc32c(data)))


@pytest.fixture(name="plane", scope="module")
def plane_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    options = PlaneOptions(idle_seconds=1.5, head_seconds=0.8, file_bytes_max=1 << 20)
    with LivePlane(tmp_path_factory.mktemp("hostile"), options=options) as plane:
        volume = plane.add_volume(1)
        store(volume, 1, BODY)
        store(volume, 2, LARGE)
        yield plane


def test_a_version_of_many_digits_is_malformed(plane: LivePlane) -> None:
    for version in (b"9" * 5000 + b".1", b"1." + b"1" * 5000, b"10.1", b"01.1"):
        with plane.connect() as sock:
            sock.sendall(b"GET / HTTP/" + version + b"\r\nHost: t\r\n\r\n")
            began = time.monotonic()
            assert Reader(sock).rest().startswith(b"HTTP/1.1 400 ")
            assert time.monotonic() - began < 0.7


def test_a_failure_ends_its_own_connection_only(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Connection._answer

    def failing(self: Connection, request: Request) -> None:
        if b"x-fail" in request.headers:
            time.sleep(0.2)  # so that the others' events come in one batch with the next failure
            raise RuntimeError("on purpose")
        real(self, request)

    monkeypatch.setattr(Connection, "_answer", failing)
    bad = TO_PYTHON.replace(b"Host", b"X-Fail: 1\r\nHost")
    sockets = [plane.connect() for _ in range(12)]
    for at, sock in enumerate(sockets):
        sock.sendall(bad if at % 2 == 0 else TO_PYTHON)
    for at, sock in enumerate(sockets):
        with sock:
            answer = Reader(sock).response()
            assert (answer is None) if at % 2 == 0 else (answer or b"").endswith(BODY)


@pytest.mark.parametrize("start", [b"POST /1,1", GET[:-4] + b"\r\nX: " + b"a" * 9000])
def test_a_head_in_pythons_hands_keeps_its_deadline_however_it_drips(
    tmp_path: Path, start: bytes
) -> None:
    options = PlaneOptions(idle_seconds=1.5, head_seconds=0.8)
    with LivePlane(tmp_path, options=options, fast_write=False) as plane, plane.connect() as sock:
        sock.sendall(start)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 6:
                sock.sendall(b"0")
                time.sleep(0.1)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - began < 5


def multipart(data: bytes) -> bytes:
    body = b"--bb\r\nContent-Disposition: form-data; filename=f\r\n\r\n" + data + b"\r\n--bb--\r\n"
    head = b"POST /1,5100001234 HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n" % len(body)
    return head + b"Content-Type: multipart/form-data; boundary=bb\r\n\r\n" + body


def test_a_stalled_or_truncated_multipart_upload_ends_with_words(plane: LivePlane) -> None:
    """As any other upload does, although these bytes still lie with the fast write."""
    request = multipart(b"x" * 1000)[:-100]
    with plane.connect() as stalled, plane.connect() as truncated:
        stalled.sendall(request)
        truncated.sendall(request)
        truncated.shutdown(socket.SHUT_WR)
        answer = Reader(truncated).rest()
        assert answer.startswith(b"HTTP/1.1 400 ") and b"unexpected EOF" in answer
        answer = Reader(stalled).rest()
        assert answer.startswith(b"HTTP/1.1 400 ") and b"i/o timeout" in answer


def test_nothing_is_said_in_the_middle_of_a_response(plane: LivePlane) -> None:
    """A client that stops reading leaves requests behind the blocked answer; when its time is over,
    no word of another response may come between the bytes of that answer."""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect(("127.0.0.1", plane.port))
        slow.sendall(GET_LARGE + b"GET /1,1")
        taken = slow.recv(1 << 12)
        # Read a little, so that there is room for words but not enough to wake the sender.
        deadline = time.monotonic() + 8
        while plane.connections() and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            while piece := slow.recv(1 << 16):
                taken += piece
        except ConnectionResetError:
            pass
    assert b"400 Bad Request" not in taken
    assert len(taken) < len(LARGE)


def plain_requests(public: bool) -> list[bytes]:
    requests = [b"GET /1,100001234", b"HEAD /1,100001234", b"DELETE /1,99900001234", b"PATCH /x"]
    return requests + ([b"POST /1,100001234", b"PUT /1,100001234"] if public else [])


@pytest.mark.parametrize("public", [False, True])
def test_a_body_that_means_nothing_is_not_waited_for(tmp_path: Path, public: bool) -> None:
    """Nor kept: its length is the client's word, and may be anything."""
    with LivePlane(tmp_path, public=public) as plane:
        store(plane.add_volume(1), 1, BODY)
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
                    assert answer.endswith(BODY)
            for framing in (
                b"Content-Length: 3\r\n\r\nabc",
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ):
                with plane.connect() as sock:
                    reader = Reader(sock)
                    sock.sendall(head + framing)
                    assert reader.response(head_only=line.startswith(b"HEAD")) is not None, line
                    sock.sendall(GET)
                    assert (reader.response() or b"").endswith(BODY)


def test_a_refusal_reaches_a_client_that_is_still_sending(plane: LivePlane) -> None:
    size = 8 << 20
    for path in (b"/x,100001234", b"/1,5200001234"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: t\r\nContent-Type: a/b\r\n"
        request = head + b"Content-Length: %d\r\n\r\n" % size + bytes(size)
        with plane.connect() as sock:
            sender = threading.Thread(target=send_what_is_taken, args=(sock, request))
            sender.start()
            time.sleep(0.1)
            answer = Reader(sock).rest()
            sender.join(10)
            assert not sender.is_alive()
        assert answer.startswith(b"HTTP/1.1 400 "), answer


def send_what_is_taken(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)


@pytest.mark.parametrize("endless", [b"X: y\r\n", b"1;" + b"e" * 3000])
def test_trailers_and_chunk_extensions_have_an_end(plane: LivePlane, endless: bytes) -> None:
    head = b"POST /1,5300001234 HTTP/1.1\r\nHost: t\r\nContent-Type: a/b\r\n"
    start = (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"0\r\n" if endless[:1] == b"X" else b"")
    )
    with plane.connect() as sock:
        answers: list[bytes] = []
        reader = threading.Thread(target=lambda: answers.append(Reader(sock).rest()))
        reader.start()
        send_what_is_taken(sock, start + endless * ((3 << 20) // len(endless)))
        reader.join(10)
        assert not reader.is_alive()
    assert answers[0].startswith(b"HTTP/1.1 400 ")


def test_a_long_pipeline_does_not_hold_up_the_others(plane: LivePlane) -> None:
    """Thousands of requests for the complete handlers in one connection: they take turns."""
    count = 4000
    with plane.connect() as greedy, plane.connect() as modest:
        sender = threading.Thread(target=send_what_is_taken, args=(greedy, TO_PYTHON * count))
        drained: list[bytes] = []
        reader = Reader(greedy)
        taker = threading.Thread(
            target=lambda: drained.extend(reader.response() or b"" for _ in range(count))
        )
        sender.start()
        taker.start()
        mine, answered = Reader(modest), 0
        while taker.is_alive():
            modest.sendall(GET)
            assert (mine.response() or b"").endswith(BODY)
            answered += 1
        sender.join(10)
        taker.join(10)
    assert len(drained) == count and all(answer.endswith(BODY) for answer in drained)
    assert answered > 40


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


def test_without_an_idle_timeout_connections_stay(tmp_path: Path) -> None:
    with LivePlane(tmp_path, options=PlaneOptions(idle_seconds=0)) as plane:
        store(plane.add_volume(1), 1, BODY)
        with plane.connect() as sock:
            reader = Reader(sock)
            for _ in range(2):
                time.sleep(1.2)
                sock.sendall(GET)
                assert (reader.response() or b"").endswith(BODY)
