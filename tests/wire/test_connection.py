"""What one connection may not do: grow, lose an answer, mix two up, or keep others waiting."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
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

SMALL, LARGE = os.urandom(1000), os.urandom(8 << 20)
DRAINED = 262_144
"""Bodies shorter than this are read although nobody wants them."""


def store(volume: Volume, key: int, data: bytes, **fields: object) -> None:
    values: dict[str, object] = {"name": b"n", "last_modified": 1_700_000_000, **fields}
    flags = Needle.HAS_NAME | Needle.HAS_LAST_MODIFIED
    flags |= Needle.HAS_PAIRS if "pairs" in fields else 0
    needle = Needle(id=key, cookie=0x1234, data=data, flags=flags, checksum=crc32c(data), **values)  # type: ignore[arg-type]
    volume.write(needle)


def fill(plane: LivePlane) -> Volume:
    volume = plane.add_volume(1)
    store(volume, 1, SMALL)
    store(volume, 2, LARGE)
    return volume


@pytest.fixture(name="plane", scope="module")
def plane_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    with LivePlane(tmp_path_factory.mktemp("plane")) as plane:
        fill(plane)
        yield plane


@pytest.fixture(name="hasty", scope="module")
def hasty_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    options = PlaneOptions(idle_seconds=1.0, head_seconds=0.6, file_bytes_max=1 << 20)
    with LivePlane(tmp_path_factory.mktemp("hasty"), options=options) as plane:
        fill(plane)
        yield plane


def get(key: int = 1, *headers: str, query: str = "", method: str = "GET") -> bytes:
    lines = [f"{method} /1,{key:x}00001234{query} HTTP/1.1", "Host: t", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(key: int, *headers: str, fid: str = "") -> bytes:
    lines = [f"POST /{fid or f'1,{key:x}00001234'} HTTP/1.1", "Host: t", "Content-Type: a/b"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode()


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"


def status_of(answer: bytes | None) -> int:
    assert answer is not None
    return int(answer[9:12])


# --- bodies that nobody wants --------------------------------------------------------------------


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


def test_a_refused_upload_is_told_although_the_client_is_still_sending(plane: LivePlane) -> None:
    """Closing on unread input would reset the connection and take the answer with it."""
    head = post(1, f"Content-Length: {64 << 20}", fid="x,100001234")
    for _ in range(5):
        with plane.connect() as sock:
            sender = threading.Thread(target=_send_until_refused, args=(sock, head))
            sender.start()
            answer = Reader(sock).response()
            sender.join(10)
        assert status_of(answer) == 400
        assert answer is not None and b'parsing \\"x\\": invalid syntax' in answer


def _send_until_refused(sock: socket.socket, head: bytes) -> None:
    try:
        sock.sendall(head)
        for _ in range(64):
            sock.sendall(bytes(1 << 20))
    except OSError:
        pass


def test_an_expectation_nobody_meets_gets_the_final_answer_only(plane: LivePlane) -> None:
    for request in (
        get(1, "Expect: 100-continue", "Content-Length: 5"),
        post(1, "Expect: 100-continue", CHUNKED, fid="x,100001234"),
        get(1, "Expect: 100-continue", "Content-Length: 5", method="DELETE").replace(
            b"/1,", b"/9,"
        ),
    ):
        with plane.connect() as sock:
            sock.sendall(request)
            answer = Reader(sock).rest()
        assert b"100 Continue" not in answer and b"Connection: close\r\n" in answer


# --- chunked uploads -----------------------------------------------------------------------------


def test_requests_behind_a_chunked_upload_are_answered(plane: LivePlane) -> None:
    framed = post(0x11, CHUNKED) + b"5;x=y\r\n\x00hell\r\n01\r\no\r\n0\r\nTrailer: z\r\n\r\n"
    with plane.connect() as sock:
        sock.sendall(framed + get(0x11) + framed + get(0x11, query="?a=b"))
        reader = Reader(sock)
        answers = [reader.response() for _ in range(4)]
    assert [status_of(answer) for answer in answers] == [201, 200, 204, 200]
    for answer in answers[1::2]:
        assert answer is not None and answer.endswith(b"\r\n\r\n\x00hello")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"zz\r\nx\r\n0\r\n\r\n", "invalid byte in chunk length"),
        (b"0x1\r\nx\r\n0\r\n\r\n", "invalid byte in chunk length"),
        (b"1 ;a\r\nx\r\n0\r\n\r\n", "invalid byte in chunk length"),
        (b"\r\nx\r\n0\r\n\r\n", "empty hex number for chunk length"),
        (b"00000000000000001\r\nx\r\n0\r\n\r\n", "http chunk length too large"),
        (b"1\nx\r\n0\r\n\r\n", "chunked line ends with bare LF"),
        (b"1;\ra\r\nx\r\n0\r\n\r\n", "invalid CR in chunked line"),
        (b"1\r\nx\n0\r\n\r\n", "malformed chunked encoding"),
        (b"1\r\nxyz\r\n0\r\n\r\n", "malformed chunked encoding"),
        (b"1;" + b"a" * 5000, "header line too long"),
        (b"1\r\nx\r\n0\r\nno colon\r\n\r\n", 'malformed MIME header: missing colon: "no colon"'),
        (b"0\r\n" + b"A: b\r\n" * 900, "http: suspiciously long trailer after chunked body"),
        (
            b"".join(b"1;" + b"a" * 2000 + b"\r\nx\r\n" for _ in range(10)),
            "chunked encoding contains too much non-data",
        ),
        (b"fffffffffffffff\r\n" + bytes(3 << 20), "file over the limited 1048576 bytes"),
    ],
)
def test_bad_chunks_are_refused_in_words(plane: LivePlane, body: bytes, words: str) -> None:
    with plane.connect() as sock:
        sock.sendall(post(0x12, CHUNKED) + body)
        answer = Reader(sock).rest()
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in head
    assert json.loads(text) == {"error": words}
    assert status_of(plane.exchange(get(0x12))) == 404


# --- input that ends or stops ----------------------------------------------------------------------


def small_form(key: int) -> bytes:
    """An upload of the shape that the fast write takes."""
    body = b"--b\r\nContent-Disposition: form-data; filename=f\r\n\r\n\x00data\r\n--b--\r\n"
    head = f"POST /1,{key:x}00001234 HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + body


CUT = {
    "fast upload": (small_form(0x21)[:-3], b'{"error":"unexpected EOF"}'),
    "raw upload": (post(0x21, "Content-Length: 9") + b"1234", b'{"error":"unexpected EOF"}'),
    "chunk": (post(0x21, CHUNKED) + b"9\r\n1234", b'{"error":"unexpected EOF"}'),
    "end of chunks": (post(0x21, CHUNKED) + b"1\r\n1\r\n", b'{"error":"unexpected EOF"}'),
    "fast head": (get()[:-1], b"400 Bad Request"),
    "odd head": (b"PATCH /1 HTT", b"400 Bad Request"),
}


@pytest.mark.parametrize("label", CUT)
def test_input_that_ends_too_early_is_answered(plane: LivePlane, label: str) -> None:
    request, words = CUT[label]
    with plane.connect() as sock:
        sock.sendall(get() + request)
        sock.shutdown(socket.SHUT_WR)
        reader = Reader(sock)
        first = reader.response()
        assert first is not None and first.endswith(SMALL)
        answer = reader.rest()
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"\r\n\r\n" + words)
    assert status_of(plane.exchange(get(0x21))) == 404


def test_input_that_stops_is_answered_in_time(hasty: LivePlane) -> None:
    began = time.monotonic()
    sockets = {label: hasty.connect() for label in CUT}
    for label, sock in sockets.items():
        sock.sendall(CUT[label][0])
    for label, sock in sockets.items():
        with sock:
            answer = Reader(sock).rest()
        words = CUT[label][1]
        assert answer.startswith(b"HTTP/1.1 400 "), label
        if words.startswith(b"{"):
            words = rb'\{"error":"read tcp [0-9.:]+-\\u003e[0-9.:]+: i/o timeout"\}'
        assert re.search(rb"\r\n\r\n" + words + rb"$", answer), label
    assert 0.4 < time.monotonic() - began < 5
    assert status_of(hasty.exchange(get(0x21))) == 404


def test_a_stalled_unwanted_body_delays_the_answer_only(hasty: LivePlane) -> None:
    with hasty.connect() as sock:
        sock.sendall(get(1, "Content-Length: 10") + b"12345")
        answer = Reader(sock).rest()
    assert answer.endswith(SMALL) and b"\r\nConnection: close\r\n" in answer


def test_no_words_are_mixed_into_an_answer_that_is_under_way(hasty: LivePlane) -> None:
    """A connection that expires with a request half received and an answer half sent just ends."""
    with socket.socket() as one, socket.socket() as other:
        for slow, query in ((one, ""), (other, "?a=b")):
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(10)
            slow.connect(("127.0.0.1", hasty.port))
            slow.sendall(get(2, query=query) + b"GET /1,1000012")
        time.sleep(2.2)
        for slow in (one, other):
            received = bytearray()
            try:
                while piece := slow.recv(1 << 16):
                    received += piece
            except ConnectionResetError:
                pass
            body = bytes(received).partition(b"\r\n\r\n")[2]
            assert len(body) < len(LARGE) and LARGE.startswith(body)


# --- many requests at once -------------------------------------------------------------------------


def test_long_pipelines_are_answered_in_order_and_let_others_through(plane: LivePlane) -> None:
    kinds = [get(), get(query="?a=b"), get(0x99), get(0x99, method="PATCH")]
    wanted = [200, 200, 404, 400]
    rounds = 1000
    stream = b"".join(kinds) * rounds
    waits = []
    with plane.connect() as busy:
        sender = threading.Thread(target=busy.sendall, args=(stream,))
        sender.start()
        reader = Reader(busy)
        for number in range(rounds):
            statuses = [status_of(reader.response()) for _ in kinds]
            assert statuses == wanted, number
            if number % 100 == 0:
                began = time.monotonic()
                assert plane.exchange(get()).endswith(SMALL)
                waits.append(time.monotonic() - began)
        sender.join(10)
        assert not sender.is_alive()
    assert sorted(waits)[len(waits) // 2] < 1.0


def test_a_pipeline_of_large_reads_lets_others_through(plane: LivePlane) -> None:
    count = 12
    with plane.connect() as busy:
        busy.sendall((get(2) + get() + get(2, query="?a=b")) * count)
        total = threading.Event()
        thread = threading.Thread(target=_read_all, args=(busy, count, total))
        thread.start()
        for _ in range(20):
            assert plane.exchange(get()).endswith(SMALL)
        thread.join(60)
        assert total.is_set()


def _read_all(sock: socket.socket, count: int, done: threading.Event) -> None:
    reader = Reader(sock)
    for _ in range(count):
        for want in (LARGE, SMALL, LARGE):
            answer = reader.response()
            assert answer is not None and answer.endswith(want)
    done.set()


# --- what is stored cannot harm --------------------------------------------------------------------


def test_stored_pairs_cannot_break_the_framing(plane: LivePlane) -> None:
    hostile = {
        "Content-Length": "3",
        "Transfer-Encoding": "chunked",
        "Connection": "close",
        "Keep-Alive": "x",
        "Trailer": "x",
        "Upgrade": "x",
        "Date": "never",
        "X\r\nY": "z",
        "X-Line": "a\r\nContent-Length: 1\r\n\r\nb",
        "X-Half": "\ud800",
        "X-Number": 5,
    }
    volume = plane.store.table[1]
    store(volume, 0x31, SMALL, pairs=json.dumps(hostile).encode())
    for request in (get(0x31), get(0x31, "Range: bytes=5000-"), get(0x31, "Range: bytes=1-2,4-5")):
        with plane.connect() as sock:
            sock.sendall(request + get())
            reader = Reader(sock)
            first, second = reader.response(), reader.response()
        assert first is not None and second is not None and second.endswith(SMALL)
        head = first.partition(b"\r\n\r\n")[0]
        assert head.count(b"\r\nDate: never") == head.count(b"\r\nDate:") == 1
        assert b"\r\nX-Line: a  Content-Length: 1    b\r\n" in head
        assert "\r\nX-Half: \ufffd\r\n".encode() in head
        for name in (b"Transfer-Encoding", b"Connection", b"Keep-Alive", b"Trailer", b"Upgrade"):
            assert b"\r\n" + name not in head
    store(volume, 0x32, SMALL, pairs=b"[" * 60_000)
    assert plane.exchange(get(0x32)).endswith(SMALL)


def test_an_error_of_a_handler_is_a_500_and_the_connection_goes_on(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_volume_id: int) -> Volume:
        raise RuntimeError("boom")

    with plane.connect() as sock:
        with monkeypatch.context() as patch:
            patch.setattr(plane.store, "find_volume", fail)
            sock.sendall(get(query="?a=b") + post(0x41, "Content-Length: 1") + b"x")
            reader = Reader(sock)
            assert [status_of(reader.response()) for _ in range(2)] == [500, 500]
        sock.sendall(get(query="?a=b"))
        answer = reader.response()
        assert answer is not None and answer.endswith(SMALL)


# --- cold disks --------------------------------------------------------------------------------------


def drop_pages(volume: Volume) -> None:
    volume.sync()
    fd = os.open(volume.files.data(".dat"), os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def is_cached(volume: Volume, offset: int) -> bool:
    """Asked without touching the page, which would bring it in."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = bytearray(1)
    with volume.files.data(".dat").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        anchor = ctypes.c_char.from_buffer(mapping)
        address = ctypes.addressof(anchor) + offset // mmap.PAGESIZE * mmap.PAGESIZE
        result = (ctypes.c_ubyte * 1).from_buffer(page)
        failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(1), result)
        del anchor
    assert failed == 0
    return bool(page[0] & 1)


def test_a_small_range_of_a_large_cold_needle_costs_little(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        volume = fill(plane)
        at = LARGE_START + (4 << 20)
        before = plane.counts()
        for wanted in (get(2, "Range: bytes=7000000-7000009"), get(2, method="HEAD")):
            drop_pages(volume)
            assert not is_cached(volume, at)
            with plane.connect() as sock:
                sock.sendall(wanted + get())
                reader = Reader(sock)
                first = reader.response(head_only=wanted.startswith(b"HEAD"))
                second = reader.response()
            assert status_of(first) == (200 if wanted.startswith(b"HEAD") else 206)
            if wanted.startswith(b"GET"):
                assert first is not None and first.endswith(LARGE[7_000_000:7_000_010])
            assert second is not None and second.endswith(SMALL)
            assert not is_cached(volume, at)
        assert plane.counts().cold > before.cold
        assert plane.counts().to_python == before.to_python


LARGE_START = 2048
"""About where the large needle begins; only used far behind it."""


@pytest.mark.parametrize("query", ["", "?a=b"])
def test_a_long_cold_range_is_fetched_while_it_is_sent(tmp_path: Path, query: str) -> None:
    with LivePlane(tmp_path) as plane:
        volume = fill(plane)
        drop_pages(volume)
        before = plane.counts().cold
        with plane.connect() as sock:
            sock.sendall(get(2, "Range: bytes=1000-7000000", query=query) + get())
            reader = Reader(sock)
            first, second = reader.response(), reader.response()
        assert first is not None and first.endswith(LARGE[1000:7_000_001])
        assert len(first.partition(b"\r\n\r\n")[2]) == 6_999_001
        assert second is not None and second.endswith(SMALL)
        if not query:
            assert plane.counts().cold >= before + 10


def test_a_file_cut_while_it_is_sent_ends_that_connection_only(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        volume = fill(plane)
        drop_pages(volume)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(10)
            slow.connect(("127.0.0.1", plane.port))
            slow.sendall(get(2, "Range: bytes=1000-7900000"))
            assert slow.recv(100).startswith(b"HTTP/1.1 206 ")
            os.truncate(volume.files.data(".dat"), 3000)
            received = 0
            try:
                while piece := slow.recv(1 << 16):
                    received += len(piece)
            except ConnectionResetError:
                pass
        assert received < 7_900_000
        assert plane.exchange(get()).endswith(SMALL)


# --- the end -----------------------------------------------------------------------------------------


def test_stopping_ends_every_connection_and_every_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    plane = LivePlane(tmp_path, stop_seconds=0.5)
    sockets = []
    with plane:
        fill(plane)
        for request in (
            b"",
            get(),
            get()[:20],
            b"PATCH /",
            post(0x51, "Content-Length: 100") + b"x",
            get(2) * 4,
            get(2, query="?a=b") * 4,
            b"nonsense\r\n\r\n",
        ):
            sock = plane.connect()
            sock.sendall(request)
            sockets.append(sock)
        time.sleep(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert set(threading.enumerate()) == before
    for sock in sockets:
        sock.close()


def test_reset_connections_are_let_go_in_every_state(plane: LivePlane) -> None:
    for request in (
        b"",
        get()[:20],
        b"PATCH /",
        post(0x61, "Content-Length: 1000000") + b"x",
        post(0x61, CHUNKED) + b"9\r\nx",
        get(2) * 4,
        get(2, query="?a=b") * 4,
        b"nonsense\r\n\r\n" + bytes(1 << 18),
    ):
        for _ in range(3):
            sock = plane.connect()
            sock.sendall(request)
            time.sleep(0.01)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    deadline = time.monotonic() + 5
    while plane.connections() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert plane.connections() == 0
