"""A head is taken by one grammar, with Go's answers to what it refuses."""

import random

import pytest

from fastvol.http.request import MalformedRequestError, Request, parse_head
from fastvol.http.response import refusal

PLAIN = (400, "Bad Request", "400 Bad Request")


def head(*headers: str, line: str = "GET /3,01637037d6 HTTP/1.1", host: bool = True) -> bytes:
    lines = [line, *(["Host: a"] if host else []), *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def refused(raw: bytes) -> tuple[int, str, str]:
    with pytest.raises(MalformedRequestError) as caught:
        parse_head(raw)
    return caught.value.status, caught.value.reason, caught.value.body


def test_a_plain_request() -> None:
    request = parse_head(head("Accept-Encoding:gzip ", "ACCEPT-encoding: br", "X:"))
    assert (request.method, request.path) == ("GET", "/3,01637037d6")
    assert request.headers.get(b"accept-encoding") == b"gzip"
    assert request.headers.raw[0] == (b"Host", b"a")
    assert request.headers.get(b"x", b"?") == b""
    assert request.keep_alive and not request.http10 and not request.has_body


@pytest.mark.parametrize(
    ("line", "raw_path", "raw_query", "path"),
    [
        ("GET /a%20b?c=%zz HTTP/1.1", b"/a%20b", b"c=%zz", "/a b"),
        ("GET http://other/3,01 HTTP/1.1", b"/3,01", b"", "/3,01"),
        ("OPTIONS * HTTP/1.1", b"*", b"", "*"),
        ("CONNECT host:80 HTTP/1.1", b"", b"", ""),
        ("CONNECT /3,01 HTTP/1.1", b"/3,01", b"", "/3,01"),
        ("GET /3,01#x?y HTTP/1.1", b"/3,01#x", b"y", "/3,01#x"),
        ("GET /\xe9?\xe9 HTTP/1.1", b"/\xe9", b"\xe9", "/\udce9"),
        ("we!rd /x HTTP/1.1", b"/x", b"", "/x"),
    ],
)
def test_targets(line: str, raw_path: bytes, raw_query: bytes, path: str) -> None:
    request = parse_head(head(line=line))
    assert tuple(request.target) == (raw_path, raw_query)
    assert request.path == path


@pytest.mark.parametrize(
    "line",
    [
        "GET /",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/x.y",
        "G@T / HTTP/1.1",
        "GET x HTTP/1.1",
        "GET  HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "GET /%2 HTTP/1.1",
        "GET /\t HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "GET /a\nb HTTP/1.1",
        "",
    ],
)
def test_bad_request_lines(line: str) -> None:
    assert refused(head(line=line)) == PLAIN


@pytest.mark.parametrize(
    "line",
    ["X y", " y: 1", "\ty: 1", ": 1", "X(y): 1", "\xe9: 1", "X: a\x01", "X: a\x00b", "X: \x7f",
     "X: a\nY: b", "X: a\rY: b", "X: a\n", "\x0b"],
)  # fmt: skip
def test_bad_header_lines(line: str) -> None:
    assert refused(head("A: b", line)) == PLAIN
    assert refused(head(line, host=False)) == PLAIN


def test_blanks_in_a_name_are_named() -> None:
    reason = "Bad Request: invalid header name"
    for line in ("X y: 1", "X : 1", "Transfer-Encoding : chunked"):
        assert refused(head(line)) == (400, reason, f"400 {reason}")


def test_hosts() -> None:
    missing = "Bad Request: missing required Host header"
    assert refused(head(host=False)) == (400, missing, f"400 {missing}")
    malformed = "Bad Request: malformed Host header"
    for host in ("a b", "a/b", "a@b", "a\xe9"):
        assert refused(head(f"Host: {host}", host=False)) == (400, malformed, f"400 {malformed}")
    for host in ("", "a:80", "[::1]:80", "a_b", "%41"):
        parse_head(head(f"Host: {host}", host=False))
    assert refused(head("Host: b")) == PLAIN
    parse_head(head(host=False, line="GET / HTTP/1.0"))
    parse_head(head(host=False, line="CONNECT a:1 HTTP/1.1"))


def test_versions() -> None:
    words = "HTTP Version Not Supported: unsupported protocol version"
    for version in ("0.9", "2.0", "3.0", "9.9"):
        assert refused(head(line=f"GET / HTTP/{version}")) == (505, words, f"505 {words}")
    assert refused(b"PRI * HTTP/2.0\r\n\r\n") == (400, "Bad Request", "")
    assert parse_head(head(line="GET / HTTP/1.0")).http10
    assert not parse_head(head(line="GET / HTTP/1.2")).http10


@pytest.mark.parametrize(
    ("version", "headers", "kept"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: x, Close"], False),
        ("1.1", ["Connection: x", "Connection: close"], False),
        ("1.1", ["Connection: closed", "Connection: disclose"], True),
        ("1.1", ["Connection: Upgrade", "Upgrade: h2c"], True),
        ("1.0", [], False),
        ("1.0", ["Connection: Keep-Alive"], True),
        ("1.0", ["Connection: a, keep-alive"], True),
        ("1.0", ["Connection: keep-alive, close"], False),
    ],
)
def test_keep_alive(version: str, headers: list[str], kept: bool) -> None:
    assert parse_head(head(*headers, line=f"GET / HTTP/{version}")).keep_alive is kept


def post(*headers: str, version: str = "1.1") -> Request:
    return parse_head(head(*headers, line=f"POST /1,0100001234 HTTP/{version}"))


def test_framing() -> None:
    assert not post().has_body
    assert not post("Content-Length: 0").has_body
    assert post("Content-Length: 7").content_length == 7
    assert post("Content-Length: 7", "content-length:7 ").content_length == 7
    assert post(f"Content-Length: {'0' * 30}7").content_length == 7
    assert post(f"Content-Length: {(1 << 63) - 1}").content_length == (1 << 63) - 1
    assert post("Transfer-Encoding: Chunked").chunked
    assert post("Transfer-Encoding: chunked").content_length is None


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 7", "Content-Length: 8"],
        ["Content-Length: 7", "Content-Length: 07"],
        ["Content-Length: 7, 7"],
        ["Content-Length: +7"],
        ["Content-Length: -7"],
        ["Content-Length: 0x7"],
        ["Content-Length: 7 7"],
        ["Content-Length:"],
        ["Content-Length: \xb2"],
        [f"Content-Length: {1 << 63}"],
        [f"Content-Length: {'9' * 100_000}"],
        ["Content-Length: 7", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 7"],
    ],
)
def test_ambiguous_framing_is_refused(headers: list[str]) -> None:
    assert refused(head(*headers, line="POST / HTTP/1.1")) == PLAIN


def test_unknown_codings_are_not_implemented() -> None:
    wanted = (501, "Not Implemented", "Unsupported transfer encoding")
    for headers in (
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding:"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip", "Content-Length: 1"],
    ):
        assert refused(head(*headers, line="POST / HTTP/1.1")) == wanted


def test_a_coding_from_an_old_client_is_refused() -> None:
    raw = head("Transfer-Encoding: chunked", line="POST / HTTP/1.0")
    assert refused(raw) == PLAIN


def test_expectations() -> None:
    assert post("Expect: 100-Continue").expects_continue
    assert post("Expect: x, 100-continue").expects_continue

    assert not post("Expect: 100-continue", version="1.0").expects_continue
    assert not post().expects_continue
    for value in ("x", "100-continued", "200-ok"):
        assert refused(head(f"Expect: {value}")) == (417, "Expectation Failed", "")


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_the_refusal_of_a_head_names_no_length(method: bytes) -> None:
    with pytest.raises(MalformedRequestError) as caught:
        parse_head(method + b" / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n")
    answer = refusal(caught.value)
    assert answer.startswith(b"HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\n")
    assert (b"Content-Length: 0\r\n" in answer) == (method == b"GET")


def test_no_mutation_of_a_head_is_taken_for_another_framing() -> None:
    """Whatever byte is changed: the head is refused, or its body is framed by what it says."""
    raw = head("Content-Length: 12", "Connection: close", line="POST /1,0100001234?a=b HTTP/1.1")
    dice = random.Random(3)
    for at in range(len(raw) - 4):
        for byte in {0, 9, 10, 13, 32, 34, 44, 58, 255, dice.randrange(256), raw[at] ^ 32}:
            changed = raw[:at] + bytes((byte,)) + raw[at + 1 :]
            end = changed.find(b"\r\n\r\n")
            if end != len(raw) - 4:
                continue
            try:
                request = parse_head(changed)
            except MalformedRequestError:
                continue
            lines = [line.lower() for line in changed.split(b"\r\n")]
            said = [line for line in lines if line.startswith(b"content-length:")]
            assert not request.chunked
            assert request.content_length == (int(said[0][15:]) if said else None)
