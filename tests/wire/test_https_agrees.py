"""HTTPS gives byte for byte what plain HTTP gives, for whatever way a request takes inside."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.wire.live_plane import LivePlane, Reader
from tests.wire.tls_plane import TlsPlane
from tests.wire.wire_requests import (
    CHUNKED,
    TO_PYTHON,
    chunked_post,
    fill,
    get,
    multipart_post,
    post,
    raw_post,
)

VARYING = re.compile(rb"(Date: |X-Amz-Request-Id: |boundary=|\r\n--)[^\r]*")


def dated(upload: bytes) -> bytes:
    """With a modification time that is the same on both planes."""
    return upload.replace(b" HTTP/1.1", b"?ts=1700000000 HTTP/1.1", 1)


SEQUENCES = {
    "fast reads": [get(), get(2), get(method="HEAD"), get()],
    "complete reads": [get(query=TO_PYTHON), get(2, query=TO_PYTHON)],
    "ranges": [
        get(1, "Range: bytes=10-19"),
        get(2, "Range: bytes=-100000"),
        get(2, "Range: bytes=0-9,50-59"),
        get(2, "Range: bytes=99999999-"),
    ],
    "errors": [get(99), b"GET /nonsense HTTP/1.1\r\nHost: t\r\n\r\n", get(77, method="DELETE")],
    "writes": [
        dated(multipart_post(0x31, b"fast")),
        dated(multipart_post(0x31, b"fast")),
        get(0x31),
        dated(raw_post(0x32, b"raw" * 50_000)),
        get(0x32),
        dated(chunked_post(0x33, b"chunk", b"ed")),
        get(0x33),
        get(0x31, method="DELETE"),
        get(0x31),
    ],
    "malformed": [get(), b"nonsense\r\n\r\n"],
    "stray chunk": [post(0x35, CHUNKED) + b"zz\r\n"],
    "close": [get(1, "Connection: close")],
    "HTTP/1.0": [b"GET /1,100001234 HTTP/1.0\r\n\r\n"],
    "options": [b"OPTIONS /1,100001234 HTTP/1.1\r\nHost: t\r\nOrigin: http://x\r\n\r\n"],
}


@pytest.fixture(name="pair", scope="module")
def pair_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LivePlane, TlsPlane]]:
    with (
        LivePlane(tmp_path_factory.mktemp("plain")) as plain,
        TlsPlane(tmp_path_factory.mktemp("secure")) as secure,
    ):
        fill(plain)
        fill(secure)
        yield plain, secure


def answers(plane: LivePlane, requests: list[bytes], *, at_once: bool) -> list[bytes | None]:
    with plane.connect() as sock:
        reader = Reader(sock)
        if at_once:
            sock.sendall(b"".join(requests))
        found = []
        for request in requests:
            if not at_once:
                sock.sendall(request)
            answer = reader.response(head_only=request.startswith(b"HEAD"))
            found.append(answer and VARYING.sub(rb"\1", answer))
            if answer is None:
                break
        return found


@pytest.mark.parametrize("at_once", [False, True], ids=["keep-alive", "pipelined"])
@pytest.mark.parametrize("label", SEQUENCES)
def test_answers_are_the_same(pair: tuple[LivePlane, TlsPlane], label: str, at_once: bool) -> None:
    plain, secure = pair
    want = answers(plain, SEQUENCES[label], at_once=at_once)
    assert answers(secure, SEQUENCES[label], at_once=at_once) == want
    assert want[0] is not None


def test_an_expectation_is_answered_before_the_body_comes(
    pair: tuple[LivePlane, TlsPlane],
) -> None:
    requests = [post(0x34, "Content-Length: 3", "Expect: 100-continue"), b"abc"]
    want, found = (answers(plane, requests, at_once=False) for plane in pair)
    assert found == want
    assert want[0] == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_reads_over_tls_are_the_fast_ones(pair: tuple[LivePlane, TlsPlane]) -> None:
    _, secure = pair
    before = secure.counts()
    secure.exchange(get())
    after = secure.counts()
    assert (after.get_200 - before.get_200, after.to_python - before.to_python) == (1, 0)
