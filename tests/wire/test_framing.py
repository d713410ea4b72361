"""Requests however they are cut, malformed ones, deadlines, slow and vanishing clients, cold disks."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastvol._cffi.crc32c import crc32c
from fastvol.formats.needle import Needle
from fastvol.http.plane import PlaneOptions
from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane, Reader

VARYING = re.compile(rb"(Date|X-Amz-Request-Id|Last-Modified): [^\r]*")
SMALL, LARGE = os.urandom(1000), os.urandom(3 << 20)


def store(volume: Volume, key: int, data: bytes) -> None:
    volume.write(
        Needle(
            id=key,
            cookie=0x1234,
            data=data,
            flags=Needle.HAS_NAME | Needle.HAS_LAST_MODIFIED,
            name=b"n",
            last_modified=1_700_000_000,
            checksum=crc32c(data),
        )
    )


@pytest.fixture(name="plane", scope="module")
def plane_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    with LivePlane(tmp_path_factory.mktemp("plane")) as plane:
        volume = plane.add_volume(1)
        store(volume, 1, SMALL)
        store(volume, 2, LARGE)
        yield plane


def get(key: int = 1, *headers: str) -> bytes:
    return (
        "\r\n".join([f"GET /1,{key:x}00001234 HTTP/1.1", "Host: t", *headers]) + "\r\n\r\n"
    ).encode()


def raw_post(key: int, data: bytes, *headers: str) -> bytes:
    lines = [f"POST /1,{key:x}00001234 HTTP/1.1", "Host: t", "Content-Type: a/b"]
    lines += [f"Content-Length: {len(data)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


def multipart_post(key: int, data: bytes) -> bytes:
    body = b"--bb\r\nContent-Disposition: form-data; filename=f\r\n\r\n" + data + b"\r\n--bb--\r\n"
    head = (
        f"POST /1,{key:x}00001234?ts=5 HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=bb\r\n\r\n"
    )
    return head.encode() + body


def chunked_post(key: int, *chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    head = f"POST /1,{key:x}00001234 HTTP/1.1\r\nHost: t\r\nContent-Type: a/b\r\n"
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body


def send_all(sock: socket.socket, pieces: list[bytes]) -> None:
    for piece in pieces:
        sock.sendall(piece)


CORPUS = {
    "fast read": get(),
    "read with a query": b"GET /1,100001234?dl=true HTTP/1.1\r\nHost: t\r\n\r\n",
    "head": b"HEAD /1,100001234 HTTP/1.1\r\nHost: t\r\n\r\n",
    "missing": get(0x999),
    "options": b"OPTIONS /1,100001234 HTTP/1.1\r\nHost: t\r\nOrigin: x\r\n\r\n",
    "patch": b"PATCH /1,100001234 HTTP/1.1\r\nHost: t\r\n\r\n",
    "odd method": b"get /1,100001234 HTTP/1.1\r\nHost: t\r\n\r\n",
    "raw upload": raw_post(0x51, b"\x00raw"),
    "fast upload": multipart_post(0x52, b"\x00part"),
    "chunked upload": chunked_post(0x53, b"\x00one", b"two" * 10),
    "bad upload": raw_post(0x54, b"x").replace(b"Content-Type: a/b\r\n", b""),
    "bad volume id": raw_post(1, b"x").replace(b"/1,", b"/x,"),
    "delete missing": b"DELETE /1,99900001234 HTTP/1.1\r\nHost: t\r\n\r\n",
    "unclean path": b"GET /a/../1,100001234 HTTP/1.1\r\nHost: t\r\n\r\n",
    "large read": get(2),
}


def fixed(response: bytes | None) -> bytes | None:
    return response if response is None else VARYING.sub(rb"\1:", response)


@pytest.mark.parametrize("label", CORPUS)
def test_byte_by_byte_equals_all_at_once(plane: LivePlane, label: str) -> None:
    request = CORPUS[label]
    plane.exchange(request)  # so that an upload is unchanged in both runs below
    whole = plane.exchange(request)
    with plane.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            sock.sendall(bytes((byte,)))
        answer = Reader(sock).response(head_only=request.startswith(b"HEAD"))
    assert fixed(answer) == fixed(whole)


def test_any_split_of_a_pipeline_gives_the_same_answers_in_order(plane: LivePlane) -> None:
    labels = [label for label in CORPUS if label != "chunked upload"] * 2
    expected = []
    for label in labels:
        plane.exchange(CORPUS[label])
        expected.append(fixed(plane.exchange(CORPUS[label])))
    stream = b"".join(CORPUS[label] for label in labels)
    dice = random.Random(5)
    for _ in range(6):
        cuts = sorted(dice.sample(range(1, len(stream)), 12))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        with plane.connect() as sock:
            sender = threading.Thread(target=send_all, args=(sock, pieces))
            sender.start()
            reader = Reader(sock)
            for label, want in zip(labels, expected, strict=True):
                answer = reader.response(head_only=label == "head")
                assert fixed(answer) == want, label
            sender.join(10)
            assert not sender.is_alive()


def test_many_pipelined_small_reads(plane: LivePlane) -> None:
    with plane.connect() as sock:
        sock.sendall(get() * 500)
        reader = Reader(sock)
        for _ in range(500):
            answer = reader.response()
            assert answer is not None and answer.endswith(SMALL)


PLAIN_400 = b"400 Bad Request"
MALFORMED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", b"missing required Host header"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", PLAIN_400),
    "bad host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", b"malformed Host"),
    "no version": (b"GET /\r\n\r\n", PLAIN_400),
    "three spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", PLAIN_400),
    "version 2": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"505 HTTP Version Not Supported"),
    "version text": (b"GET / HTTP/x\r\nHost: a\r\n\r\n", PLAIN_400),
    "bad escape": (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", PLAIN_400),
    "relative target": (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", PLAIN_400),
    "space in a name": (b"GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n", b"invalid header name"),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"invalid header name"),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nxyz\r\n\r\n", PLAIN_400),
    "control byte": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", PLAIN_400),
    "nul byte": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", PLAIN_400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", PLAIN_400),
    "one bare line feed": (b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", PLAIN_400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n", PLAIN_400),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n y\r\n\r\n", PLAIN_400),
    "leading empty line": (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", PLAIN_400),
    "both lengths": (
        b"POST /1,1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        PLAIN_400,
    ),
    "two lengths": (
        b"POST /1,1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        PLAIN_400,
    ),
    "list of lengths": (
        b"POST /1,1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        PLAIN_400,
    ),
    "signed length": (b"POST /1,1 HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", PLAIN_400),
    "negative length": (b"POST /1,1 HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", PLAIN_400),
    "unknown coding": (
        b"POST /1,1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"Unsupported transfer encoding",
    ),
    "hidden chunked": (
        b"POST /1,1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"Unsupported transfer encoding",
    ),
    "two codings": (
        b"POST /1,1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        b"Unsupported transfer encoding",
    ),
    "unknown expectation": (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", b"417 Expectation"),
    "http/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""),
    "noise": (bytes(range(128, 256)) + b"\r\n\r\n", PLAIN_400),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", PLAIN_400),
}


@pytest.mark.parametrize("label", MALFORMED)
def test_malformed_requests_are_refused_and_the_connection_ends(
    plane: LivePlane, label: str
) -> None:
    request, words = MALFORMED[label]
    with plane.connect() as sock:
        # What follows must never be taken for a request of its own.
        sock.sendall(request + get())
        reader = Reader(sock)
        try:
            answer = reader.rest()
        except ConnectionResetError:
            answer = b""
    assert SMALL not in answer
    if answer:
        assert re.match(rb"HTTP/1\.1 (400|417|501|505) ", answer), answer
        assert b"Connection: close\r\n" in answer
        assert words in answer
    assert plane.exchange(get()).endswith(SMALL)


def test_a_head_may_be_long_but_not_endless(plane: LivePlane) -> None:
    assert plane.exchange(get(1, "X-Long: " + "a" * 900_000)).endswith(SMALL)
    with plane.connect() as sock:
        try:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (1100 << 10))
            answer = Reader(sock).rest()
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 431 ")


def test_http_1_0(plane: LivePlane) -> None:
    with plane.connect() as sock:
        sock.sendall(b"GET /1,100001234 HTTP/1.0\r\n\r\n")
        answer = Reader(sock).rest()
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n") and answer.endswith(SMALL)
    with plane.connect() as sock:
        reader = Reader(sock)
        for _ in range(2):
            sock.sendall(b"GET /1,100001234 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            kept = reader.response()
            assert kept is not None and b"Connection: keep-alive\r\n" in kept


def test_connection_close_is_honoured(plane: LivePlane) -> None:
    with plane.connect() as sock:
        sock.sendall(get(1, "Connection: close") + get())
        reader = Reader(sock)
        answer = reader.response()
        assert answer is not None and b"Connection: close\r\n" in answer
        assert reader.rest() == b""


def test_continue_is_sent_when_the_body_is_wanted(plane: LivePlane) -> None:
    request = raw_post(0x61, b"\x00later", "Expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    with plane.connect() as sock:
        sock.sendall(head + b"\r\n\r\n")
        reader = Reader(sock)
        assert reader.response() == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        answer = reader.response()
        assert answer is not None and answer.startswith(b"HTTP/1.1 201 ")
    refused = request.replace(b"/1,", b"/x,").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with plane.connect() as sock:
        sock.sendall(refused)
        reader = Reader(sock)
        answer = reader.response()
        assert answer is not None and answer.startswith(b"HTTP/1.1 400 ")
        assert reader.rest() == b""


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


def test_truncated_upload_is_no_upload(plane: LivePlane) -> None:
    request = raw_post(0x63, bytes(1000))
    with plane.connect() as sock:
        sock.sendall(request[:-10])
        sock.shutdown(socket.SHUT_WR)
        answer = Reader(sock).rest()
    assert answer.startswith(b"HTTP/1.1 400 ") and b"unexpected EOF" in answer
    assert plane.exchange(get(0x63)).startswith(b"HTTP/1.1 404 ")


@pytest.fixture(name="hasty", scope="module")
def hasty_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    options = PlaneOptions(idle_seconds=1.5, head_seconds=0.8, file_bytes_max=1 << 20)
    with LivePlane(tmp_path_factory.mktemp("hasty"), options=options) as plane:
        volume = plane.add_volume(1)
        store(volume, 1, SMALL)
        store(volume, 2, LARGE)
        yield plane


def test_idle_connections_are_closed_silently(hasty: LivePlane) -> None:
    with hasty.connect() as fresh, hasty.connect() as used:
        used.sendall(get())
        reader = Reader(used)
        assert reader.response() is not None
        began = time.monotonic()
        assert Reader(fresh).rest() == b""
        assert reader.rest() == b""
        assert 0.5 < time.monotonic() - began < 6


def test_a_head_must_come_in_time_however_it_drips(hasty: LivePlane) -> None:
    for start in (b"GET /1,1000", b"POST /1,1"):
        with hasty.connect() as sock:
            sock.sendall(start)
            began = time.monotonic()
            try:
                while time.monotonic() - began < 6:
                    sock.sendall(b"0")
                    time.sleep(0.1)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert time.monotonic() - began < 5


def test_a_stalled_body_ends_with_words(hasty: LivePlane) -> None:
    with hasty.connect() as sock:
        sock.sendall(raw_post(0x71, bytes(1000))[:-500])
        answer = Reader(sock).rest()
    assert answer.startswith(b"HTTP/1.1 400 ") and b"i/o timeout" in answer


def test_a_client_that_stops_reading_hurts_nobody_and_is_dropped(hasty: LivePlane) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect(("127.0.0.1", hasty.port))
        slow.sendall(get(2) * 20)
        for _ in range(20):
            assert hasty.exchange(get()).endswith(SMALL)
        time.sleep(2.5)
        received = 0
        try:
            while piece := slow.recv(1 << 16):
                received += len(piece)
        except ConnectionResetError:
            pass
        assert received < 20 * len(LARGE)


def test_a_slow_reader_gets_everything(plane: LivePlane) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        slow.settimeout(20)
        slow.connect(("127.0.0.1", plane.port))
        slow.sendall(get(2) + get() + get(2))
        time.sleep(0.3)
        reader = Reader(slow)
        for want in (LARGE, SMALL, LARGE):
            answer = reader.response()
            assert answer is not None and answer.endswith(want)


def test_vanishing_clients_leave_nothing_behind(plane: LivePlane) -> None:
    for request in (
        get(2),
        raw_post(0x81, bytes(100_000))[:-1],
        get()[:10],
        multipart_post(1, b"x")[:-3],
    ):
        for _ in range(5):
            sock = plane.connect()
            sock.sendall(request)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    deadline = time.monotonic() + 10
    while plane.connections() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert plane.connections() == 0
    assert plane.exchange(get(2)).endswith(LARGE)


def test_cold_needles_are_read_by_the_io_threads(plane: LivePlane) -> None:
    volume = plane.store.table[1]
    data = {key: os.urandom(2000 + key) for key in range(0x200, 0x240)}
    for key, content in data.items():
        store(volume, key, content)
    volume.sync()
    path = volume.files.data(".dat")
    for _ in range(3):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        before = plane.counts().cold
        sockets = {key: plane.connect() for key in data}
        for key, sock in sockets.items():
            sock.sendall(get(key) + get(1))
        for key, sock in sockets.items():
            reader = Reader(sock)
            answer = reader.response()
            assert answer is not None and answer.endswith(data[key])
            answer = reader.response()
            assert answer is not None and answer.endswith(SMALL)
            sock.close()
        assert plane.exchange(get(2)).endswith(LARGE)
        if plane.counts().cold > before:
            return
    pytest.fail("the page cache never let go of the file")


def test_a_file_cut_under_its_mapping_is_a_500_and_no_crash(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        volume = plane.add_volume(1)
        store(volume, 1, SMALL)
        for key, size in ((2, 50_000), (3, 700_000), (4, 3 << 20)):
            store(volume, key, os.urandom(size))
        for key in (1, 2, 3, 4):
            assert plane.exchange(get(key)).startswith(b"HTTP/1.1 200 ")
        os.truncate(volume.files.data(".dat"), 2000)
        for key in (2, 3, 4):
            assert plane.exchange(get(key)).startswith(b"HTTP/1.1 500 "), key
        assert plane.exchange(get(1)).endswith(SMALL)
