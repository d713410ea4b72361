"""Requests that no client should send are refused, and end the connection."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import CHUNKED, SMALL, get, post, send_what_is_taken, status_of

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
        answer = Reader(sock).rest()
    assert SMALL not in answer
    assert re.match(rb"HTTP/1\.1 (400|417|501|505) ", answer), answer
    assert b"Connection: close\r\n" in answer
    assert words in answer
    assert plane.exchange(get()).endswith(SMALL)


def test_a_version_of_many_digits_is_malformed(plane: LivePlane) -> None:
    for version in (b"9" * 5000 + b".1", b"1." + b"1" * 5000, b"10.1", b"01.1"):
        with plane.connect() as sock:
            sock.sendall(b"GET / HTTP/" + version + b"\r\nHost: t\r\n\r\n")
            began = time.monotonic()
            assert Reader(sock).rest().startswith(b"HTTP/1.1 400 ")
            assert time.monotonic() - began < 0.7


def test_a_head_may_be_long_but_not_endless(plane: LivePlane) -> None:
    assert plane.exchange(get(1, "X-Long: " + "a" * 900_000)).endswith(SMALL)
    with plane.connect() as sock:
        send_what_is_taken(sock, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (1100 << 10))
        answer = Reader(sock).rest()
    assert answer.startswith(b"HTTP/1.1 431 ")


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
