"""Where one request ends and the next begins, however the bytes are cut and whatever is in them."""

from __future__ import annotations

import json
import random
import re
import socket
import threading

import pytest

from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import (
    CHUNKED,
    SMALL,
    TO_PYTHON,
    chunked_post,
    get,
    multipart_post,
    post,
    raw_post,
    status_of,
    store,
)

VARYING = re.compile(rb"(Date|X-Amz-Request-Id|Last-Modified): [^\r]*")


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
    "fast upload": multipart_post(0x52, b"\x00part", "?ts=5"),
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


def test_many_pipelined_small_reads_are_all_answered(plane: LivePlane) -> None:
    with plane.connect() as sock:
        sock.sendall(get() * 500)
        reader = Reader(sock)
        for _ in range(500):
            answer = reader.response()
            assert answer is not None and answer.endswith(SMALL)


def test_requests_behind_a_chunked_upload_are_answered(plane: LivePlane) -> None:
    framed = post(0x11, CHUNKED) + b"5;x=y\r\n\x00hell\r\n01\r\no\r\n0\r\nTrailer: z\r\n\r\n"
    with plane.connect() as sock:
        sock.sendall(framed + get(0x11) + framed + get(0x11, query=TO_PYTHON))
        reader = Reader(sock)
        answers = [reader.response() for _ in range(4)]
    assert [status_of(answer) for answer in answers] == [201, 200, 204, 200]
    for answer in answers[1::2]:
        assert answer is not None and answer.endswith(b"\r\n\r\n\x00hello")


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


def test_http_1_0_ends_the_connection_unless_kept_alive(plane: LivePlane) -> None:
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
