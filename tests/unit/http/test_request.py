"""Heads are parsed as Go's server parses them; what frames a body is never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.errors import InvalidRequestError
from fastvol.http.request import HeadParser, MalformedRequestError, Request
from fastvol.limits import HTTP_HEAD_BYTES_MAX


def parse(*lines: str, method: str = "POST", version: str = "1.1", host: bool = True) -> Request:
    head = [f"{method} /3,01ab?x=1 HTTP/{version}", *(["Host: h:1"] if host else []), *lines]
    return HeadParser().parse("\r\n".join([*head, "", ""]).encode("latin-1"))


def test_the_parts_of_a_head() -> None:
    request = parse("X-A:  one \t", "x-a: two", "Content-Length: 12")
    assert (request.method, request.path) == ("POST", "/3,01ab")
    assert request.target.raw_query == b"x=1"
    assert request.headers.get(b"x-a") == b"one"
    assert request.content_length == 12 and request.has_body
    assert not request.chunked and not request.http10 and request.keep_alive


@pytest.mark.parametrize(
    ("lines", "chunked", "length", "has_body"),
    [
        ((), False, None, False),
        (("Content-Length: 0",), False, 0, False),
        (("Content-Length: 7",), False, 7, True),
        (("Content-Length: 007",), False, 7, True),
        (("Transfer-Encoding: chunked",), True, None, True),
        (("transfer-encoding: CHUNKED",), True, None, True),
    ],
)
def test_what_frames_a_body(
    lines: tuple[str, ...], chunked: bool, length: int | None, has_body: bool
) -> None:
    request = parse(*lines)
    assert (request.chunked, request.content_length) == (chunked, length)
    assert request.has_body is has_body


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: 7", "Content-Length: 8"), 400),
        (("Content-Length: 7, 7",), 400),
        (("Content-Length: -1",), 400),
        (("Content-Length: +1",), 400),
        (("Content-Length: 0x10",), 400),
        (("Content-Length: 1_0",), 400),
        (("Content-Length: 1 0",), 400),
        (("Content-Length:",), 400),
        (("Content-Length: " + "1" * 19,), 400),
        (("Content-Length: \xb2",), 400),
        (("Content-Length: 7", "Transfer-Encoding: chunked"), 400),
        (("Transfer-Encoding: chunked", "Content-Length: 0"), 400),
        (("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501),
        (("Transfer-Encoding: gzip, chunked",), 501),
        (("Transfer-Encoding: chunked, identity",), 501),
        (("Transfer-Encoding: \x0bchunked",), 400),
        (("Transfer-Encoding : chunked",), 400),
        ((" Transfer-Encoding: chunked",), 400),
        (("X: 1\n Transfer-Encoding: chunked",), 400),
        (("X: 1\rTransfer-Encoding: chunked",), 400),
        (("Expect: 200-maybe",), 417),
    ],
)
def test_doubtful_framing_is_refused(lines: tuple[str, ...], status: int) -> None:
    for method in ("POST", "GET", "DELETE", "BREW"):
        with pytest.raises(MalformedRequestError) as refused:
            parse(*lines, method=method)
        assert refused.value.status == status


def test_http_1_0_has_no_chunks() -> None:
    with pytest.raises(MalformedRequestError):
        parse("Transfer-Encoding: chunked", version="1.0")


@pytest.mark.parametrize(
    ("version", "status"),
    [("2.0", 505), ("3.1", 505), ("1.2", 400), ("0.9", 400), ("11.0", 400), ("1.10", 400),
     ("9" * 5000 + ".0", 400)],
)  # fmt: skip
def test_other_versions_are_refused(version: str, status: int) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        parse(version=version)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("version", "header", "keep_alive"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: Close",), False),
        ("1.1", ("Connection: keep-alive",), True),
        ("1.1", ("Connection: upgrade, close",), False),
        ("1.0", (), False),
        ("1.0", ("Connection: keep-alive",), True),
        ("1.0", ("Connection: close",), False),
        ("1.0", ("Connection: keep-alive, close",), False),
        ("1.1", ("Connection: upgrade", "Connection: close"), False),
        ("1.1", ("Connection: disclosed",), True),
    ],
)
def test_who_keeps_the_connection(version: str, header: tuple[str, ...], keep_alive: bool) -> None:
    assert parse(*header, version=version).keep_alive is keep_alive


def test_host_is_needed_only_in_1_1() -> None:
    assert parse(version="1.0", host=False).http10
    with pytest.raises(MalformedRequestError, match="missing required Host"):
        parse(host=False)


def test_an_offer_to_upgrade_is_passed_over() -> None:
    request = parse("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", method="GET")
    assert request.method == "GET" and request.keep_alive


def chunked(*pieces: bytes) -> HeadParser:
    parser = HeadParser()
    parser.parse(b"POST /1,1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in pieces:
        parser.feed_chunked(piece)
    return parser


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.data())
def test_chunks_come_together_however_they_are_cut(
    chunks: list[bytes], draw: st.DataObject
) -> None:
    stream = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cut = draw.draw(st.integers(0, len(stream)))
    parser = chunked(stream[:cut], stream[cut:])
    assert parser.complete and bytes(parser.body) == b"".join(chunks)
    assert not parser.began_another


def test_bytes_behind_the_last_chunk_are_no_body() -> None:
    parser = chunked(b"1\r\na\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert parser.complete and parser.body == b"a" and parser.began_another


@pytest.mark.parametrize("stream", [b"x\r\n", b"-1\r\n", b"1\r\nab\r\n", b"1 \x00\r\na", b"\r\n"])
def test_wrong_chunks_are_an_error(stream: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="invalid byte in chunk length"):
        chunked(stream)


def test_trailers_become_no_headers() -> None:
    parser = HeadParser()
    request = parser.parse(b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.feed_chunked(b"1\r\na\r\n0\r\nSeaweed-Owner: me\r\n\r\n")
    assert parser.complete
    assert [name.lower() for name, _ in request.headers.raw] == [b"host", b"transfer-encoding"]


def test_trailers_end_somewhere() -> None:
    with pytest.raises(InvalidRequestError, match="too long"):
        chunked(b"0\r\n", *[b"X: " + b"y" * 65536 + b"\r\n"] * (HTTP_HEAD_BYTES_MAX // 65536 + 1))
