"""Answers to requests that go wrong: they arrive whole, or the connection ends without a word."""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest

from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import (
    CHUNKED,
    LARGE,
    SMALL,
    TO_PYTHON,
    all_that_comes,
    get,
    multipart_post,
    post,
    raw_post,
    send_what_is_taken,
    slow_client,
    status_of,
    wait_all_gone,
)

CUT = {
    "fast upload": (multipart_post(0x21, b"\x00data")[:-3], b'{"error":"unexpected EOF"}'),
    "data of a fast upload": (
        multipart_post(0x21, b"x" * 1000)[:-100],
        b'{"error":"unexpected EOF"}',
    ),
    "raw upload": (raw_post(0x21, bytes(1000))[:-500], b'{"error":"unexpected EOF"}'),
    "end of a raw upload": (raw_post(0x21, bytes(1000))[:-10], b'{"error":"unexpected EOF"}'),
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


@pytest.mark.parametrize("mebibytes", [8, 64])
@pytest.mark.parametrize(
    ("fid", "words"),
    [
        ("x,100001234", b'parsing \\"x\\": invalid syntax'),
        ("1,5200001234", b"file over the limited 1048576 bytes"),
    ],
    ids=["bad volume id", "too large"],
)
def test_a_refusal_reaches_a_client_that_is_still_sending(
    plane: LivePlane, fid: str, words: bytes, mebibytes: int
) -> None:
    """Closing on unread input would reset the connection and take the answer with it."""
    request = raw_post(1, bytes(mebibytes << 20), fid=fid)
    for pause in (0, 0, 0, 0, 0.1):
        with plane.connect() as sock:
            sender = threading.Thread(target=send_what_is_taken, args=(sock, request))
            sender.start()
            time.sleep(pause)  # with one, the answer has long been sent when it is looked for
            reader = Reader(sock)
            answer = reader.response()
            if mebibytes == 8:  # what the server is ready to throw away: no reset follows
                assert reader.rest() == b""
            sender.join(10)
            assert not sender.is_alive()
        assert status_of(answer) == 400
        assert answer is not None and words in answer


@pytest.mark.parametrize("taken", [0, 4096])
@pytest.mark.parametrize("query", ["", TO_PYTHON], ids=["fast", "complete"])
def test_no_words_are_mixed_into_an_answer_that_is_under_way(
    hasty: LivePlane, query: str, taken: int
) -> None:
    """A connection that expires with a request half received and an answer half sent just ends.

    A client that took a little made room for words, but not enough to wake the sender.
    """
    with slow_client(hasty) as slow:
        slow.sendall(get(2, query=query) + b"GET /1,1000012")
        assert slow.recv(1, socket.MSG_PEEK)  # under way, and nothing taken yet
        received = slow.recv(taken) if taken else b""
        wait_all_gone(hasty)
        received += all_that_comes(slow)
    body = received.partition(b"\r\n\r\n")[2]
    assert 0 < len(body) < len(LARGE) and LARGE.startswith(body)
