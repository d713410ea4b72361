"""Requests of the differential test about the protocol itself: methods, paths, framing, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from differential_reads import LARGE, SMALL
from differential_request import BINARY, TS, Case, message


def methods() -> Iterator[Case]:
    """Other methods than the four."""
    for method in ("PATCH", "TRACE", "PROPFIND", "OPTIONS", "get", "MKCOL", "PURGE", "X-ANY"):
        for target in (f"/{SMALL}", "/", "/nothing"):
            yield Case("methods", message(method, target))
        yield Case("methods", message(method, f"/{SMALL}", [("Origin", "o")], b"body"))
    yield Case("methods", message("OPTIONS", "*"))
    for method in ("GET", "HEAD", "POST", "DELETE", "PATCH", "OPTIONS"):
        for target in ("/healthz", "/readyz"):
            yield Case("methods", message(method, target, [("Origin", "o")]))


def public_port() -> Iterator[Case]:
    """The port that only serves reads: other methods do nothing and are not refused."""
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "get", "TRACE"):
        body = BINARY if method in ("PUT", "POST") else None
        for target in (f"/{SMALL}", "/status", "/healthz", "/", "/1,bad", f"//{SMALL}"):
            yield Case("public", message(method, target, [("Origin", "o")], body), public=True)


def paths() -> Iterator[Case]:
    """Paths that are cleaned by a redirect, and targets of other forms."""
    for target in (
        *("/", "//", f"//{SMALL}", f"/a/../{SMALL}", f"/./{SMALL}", "/a//b?q=1", "/../", "/a/."),
        *(f"/{SMALL}#x", f"/{SMALL}?", f"/{SMALL}?#", f"/{SMALL}??", f"/%2e%2e/{SMALL}", "/%"),
        *(f"http://host/{SMALL}", "http://host", f"/{SMALL}%zz", f"/{SMALL}/", "/healthz/"),
        *(f"/{SMALL};x=1", f"/{SMALL}%3Fx", f"/{SMALL}\xe9", "/<script>//x", "/x//'\"&"),
    ):
        deviation = "refusal" if target == "http://host" else ""
        yield Case("paths", message("GET", target), deviation, alone=True)
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        yield Case("paths", message(method, f"//{SMALL}"), alone=True)


MALFORMED: Final[list[tuple[str, bytes]]] = [
    ("", b"GET /1,1111223344 HTTP/1.1\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost:\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.0\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.0\r\nHost: v\r\nConnection: keep-alive\r\n\r\n"),
    ("", b"HEAD /1,1111223344 HTTP/1.0\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nConnection: Keep-Alive, close\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    ("", b"GET /1,1111223344\r\n\r\n"),
    ("", b"GET\r\n\r\n"),
    ("", b"\r\nGET /1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET  /1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344  HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,11 11223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b" GET /1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GE(T /1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET 1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("refusal", b"GET * HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.2\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/2.0\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/0.9\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1x\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 http/1.1\r\nHost: v\r\n\r\n"),
    ("", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("strict", b"GET /1,1111223344 HTTP/1.1\nHost: v\n\n"),
    ("strict", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\r\n folded\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\n folded first: x\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\n lead: x\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nnocolon\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\n: empty\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX A: b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A : b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\x01c\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\x7fc\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\x00c\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: \xe9\tb\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-\xe9: b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\rc\r\n\r\n"),
    ("", b"GET /1,1111\x01223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344\xff HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nExpect: tea\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-Big: " + b"x" * 1_100_000 + b"\r\n\r\n"),
    ("", b"CONNECT volume:80 HTTP/1.1\r\nHost: volume:80\r\n\r\n"),
    ("", b"CONNECT /1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
]  # fmt: skip


def malformed() -> Iterator[Case]:
    """Requests that are none, or nearly."""
    for deviation, raw in MALFORMED:
        yield Case("malformed", raw, deviation, alone=True)


def framings(fids: Iterator[str]) -> Iterator[Case]:
    """How a body is delimited; each on a connection of its own."""

    def put(
        fields: str, body: bytes, deviation: str = "", *, method: str = "PUT", fid: str = ""
    ) -> Case:
        target = fid or next(fids)
        head = f"{method} /{target}?{TS} HTTP/1.1\r\nHost: v\r\nContent-Type: x/y\r\n{fields}\r\n"
        return Case("framings", head.encode() + body, deviation, alone=True)

    chunked = "Transfer-Encoding: chunked\r\n"
    yield put("Content-Length: 5\r\n", b"hello")
    yield put("Content-Length:  5 \r\n", b"hello")
    yield put("Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")
    yield put("Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!")
    for text in ("+5", "-1", "5a", "0x5", "", "99999999999999999999", "5,5"):
        yield put(f"Content-Length: {text}\r\n", b"hello")
    yield put("", b"")
    yield put(chunked, b"5\r\nhello\r\n0\r\n\r\n")
    yield put(chunked, b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n")
    yield put(chunked, b"05\r\nhello\r\n00\r\n\r\n")
    yield put(chunked, b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")
    yield put(chunked, b"zz\r\nhello\r\n0\r\n\r\n")
    yield put(chunked, b"5\r\nhelloXX0\r\n\r\n")
    yield put(chunked, b"\r\n")
    yield put("Transfer-Encoding: Chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n")
    yield put("Transfer-Encoding: gzip\r\n", b"hello")
    yield put("Transfer-Encoding: gzip, chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n")
    yield put("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"hello")
    yield put(chunked + "Content-Length: 5\r\n", b"5\r\nhello\r\n0\r\n\r\n", "strict")
    yield put(chunked + chunked, b"5\r\nhello\r\n0\r\n\r\n")
    expect = "Expect: 100-continue\r\nContent-Length: 5\r\n"
    yield put(expect, b"hello", "no interim")
    yield put(expect.replace("100", "200"), b"hello")
    yield put(expect, b"hello", fid="bad,fid")
    yield put(expect, b"hello", "no interim", fid="1,bad")
    yield put(expect, b"hello", method="DELETE", fid=SMALL)
    yield put(expect, b"hello", method="GET", fid=SMALL)
    for body in (bytes(1000), bytes(300_000)):  # bodies that nobody reads
        length = f"Content-Length: {len(body)}\r\n"
        yield put(length, body, method="PATCH", fid=SMALL)
        yield put(length, body, method="PUT", fid="bad,fid")
        yield put(length, body, method="DELETE", fid="1,9911223344")
    several = message("GET", f"/{SMALL}") + message("HEAD", f"/{LARGE}") + message("GET", "/1,bad")
    yield Case("framings", several, methods=(b"GET", b"HEAD", b"GET"), alone=True)
    first = message("PUT", f"/{next(fids)}?{TS}", [("Content-Type", "x/y")], BINARY)
    several = first + message("GET", f"/{SMALL}")
    yield Case("framings", several, methods=(b"PUT", b"GET"), alone=True)
