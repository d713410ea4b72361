"""Requests of the differential test that store objects."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Final

from differential_request import (
    BINARY,
    COOKIE,
    FILE_LIMIT_MIB,
    IN_COLLECTION,
    LONG_TEXT,
    MISSING,
    OWN_GZIP,
    READ_ONLY,
    TEXT,
    TS,
    WITH_TTL,
    Case,
    Header,
    message,
)
from forms import form, part


def seen(group: str, fid: str, deviation: str = "") -> Iterator[Case]:
    """An object as three kinds of clients read it."""
    yield Case(group, message("GET", f"/{fid}"), deviation)
    yield Case(group, message("HEAD", f"/{fid}"), deviation)
    yield Case(group, message("GET", f"/{fid}", [("Accept-Encoding", "gzip")]), deviation)


RAW: Final[list[tuple[str, list[Header], bytes]]] = [
    ("", [], b""),
    ("", [], BINARY),
    ("", [], TEXT),
    (".jpg", [], BINARY),
    (".txt", [], BINARY),
    (".", [], BINARY),
    (".%C3%A9t%C3%A9", [], BINARY),
    ("", [("Content-Type", "application/octet-stream")], b"hello world"),
    ("", [("Content-Type", "text/html; charset=utf-8")], b"<p>"),
    ("", [("Content-Type", "image/png")], b"\x89PNG\r\n\x1a\n"),
    ("", [("Content-Type", "a/b")], BINARY),
    ("", [("Content-Type", "not a type")], BINARY),
    ("", [("Content-Type", "x" * 255)], BINARY),
    ("", [("Content-Type", "x" * 256)], BINARY),
    ("", [("Content-Type", "multipart/form-data; boundary=X")], BINARY),
    ("", [("Content-Disposition", 'attachment; filename="named.css"')], BINARY),
    ("", [("Content-Disposition", 'inline; filename="with space.txt"')], BINARY),
    ("", [("Content-Disposition", 'inline; filename="q\\"uote.txt"')], BINARY),
    ("", [("Content-Disposition", "filename=bare.css")], BINARY),
    ("", [("Content-Disposition", "inline; filename*=utf-8''%C3%A9.txt")], BINARY),
    ("", [("Content-Disposition", 'inline; filename="\xc3\xa9.txt"')], BINARY),
    ("", [("Content-Disposition", f'inline; filename="{"n" * 300}.txt"')], BINARY),
    ("", [("Content-Disposition", "inline; name=a/b/../c.svg")], BINARY),
    ("", [("Seaweed-Foo", "bar"), ("seaweed-x-LONG", "1; <2> & \"3\"")], BINARY),
    ("", [("Seaweed-Content-Type", "x/pair"), ("Seaweed-Etag", "mine")], BINARY),
    ("", [("Seaweed-Server", "me"), ("Seaweed-Content-Disposition", "d")], BINARY),
    ("", [("Seaweed-Accept-Ranges", "none"), ("Seaweed-Content-Length", "3")], BINARY),
    ("", [("X-Amz-Meta-A", "b"), ("X-Amz-Request-Id", "mine")], BINARY),
    ("", [("Origin", "http://elsewhere")], BINARY),
    ("", [("Accept-Encoding", "gzip, deflate"), ("User-Agent", "x")], BINARY),
]  # fmt: skip


def raw_uploads(fids: Iterator[str]) -> Iterator[Case]:
    """Bodies without a frame, under all kinds of names and types."""
    for number, (extension, headers, body) in enumerate(RAW):
        fid = next(fids)
        has_type = any(name == "Content-Type" for name, _ in headers)
        method = "POST" if has_type and number % 2 else "PUT"
        yield Case("raw", message(method, f"/{fid}{extension}?{TS}", headers, body))
        yield from seen("raw", fid)
        if extension:
            yield Case("raw", message("GET", f"/{fid}{extension}"))


MULTIPART: Final = [
    form((part("a.txt"), b"short")),
    form((part("a.bin", "application/octet-stream"), BINARY)),
    form((part("a.txt", "application/octet-stream"), b"short")),
    form((part("a.json", "application/json"), b"{}")),
    form((part("noext", "x/y"), BINARY)),
    form((part("dir\\\\b.txt"), BINARY)),
    form((part("/x/y/z.css"), BINARY)),
    form((part("\xc3\xa9.txt"), BINARY)),
    form((part("n" * 300), BINARY)),
    form((part(""), BINARY)),
    form((part(None), BINARY)),
    form((part(None), b"first"), (part("second.txt"), b"second")),
    form((part("empty.txt"), b"")),
    form((part("q.txt", "", "Content-Transfer-Encoding: quoted-printable"), b"a=3Db=\r\nc")),
    form((part("z.txt", "", "Content-Encoding: gzip"), OWN_GZIP)),
    form((part("m", "", "Content-MD5: AAAA"), BINARY)),
    b"preamble\r\n" + form((part("p"), BINARY)),
    form((part("lf"), BINARY)).replace(b"\r\n", b"\n"),
    b"",
    b"no boundary anywhere",
    b"--X--\r\n",
    form((part("cut"), BINARY))[:-9],
]


def multipart_uploads(fids: Iterator[str]) -> Iterator[Case]:
    """Forms as browsers and ``curl -F`` send them, whole and broken."""
    kind = ("Content-Type", "multipart/form-data; boundary=X")
    for body in MULTIPART:
        fid = next(fids)
        yield Case("multipart", message("POST", f"/{fid}?{TS}", [kind], body))
        yield from seen("multipart", fid)
    for value in ("", "multipart/form-data", "form-data", "Multipart/Form-Data; boundary=X"):
        fid = next(fids)
        headers = [("Content-Type", value)] if value else []
        body = form((part("t"), BINARY))
        yield Case("multipart", message("POST", f"/{fid}?{TS}", headers, body))
        yield Case("multipart", message("GET", f"/{fid}"))


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def encoded_uploads(fids: Iterator[str]) -> Iterator[Case]:
    """Compression by the client and by the server, and digests."""
    encoded = ("Content-Encoding", "gzip")
    plain = ("Content-Type", "text/plain")
    for headers, body in (
        ([encoded, plain], OWN_GZIP),
        ([encoded], OWN_GZIP[:-12]),
        ([encoded], b"not gzip at all"),
        ([("Content-Encoding", "br")], BINARY),
        ([encoded, ("Content-MD5", md5(LONG_TEXT))], OWN_GZIP),
        ([("Content-MD5", md5(BINARY))], BINARY),
        ([("Content-MD5", hashlib.md5(BINARY).hexdigest())], BINARY),
    ):
        fid = next(fids)
        yield Case("encoded", message("PUT", f"/{fid}?{TS}", headers, body))
        yield from seen("encoded", fid)
        yield Case("encoded", message("GET", f"/{fid}", [("Range", "bytes=2-9")]))
    for kind in ("text/plain", "application/xml", "application/javascript", ""):
        fid = next(fids)
        headers = [("Content-Type", kind)] if kind else []
        yield Case("encoded", message("PUT", f"/{fid}?{TS}", headers, LONG_TEXT), "deflate")
        yield Case("encoded", message("GET", f"/{fid}"), "deflate")
        yield Case("encoded", message("HEAD", f"/{fid}"), "deflate")
        gzip_taken = [("Accept-Encoding", "gzip")]
        yield Case("encoded", message("GET", f"/{fid}", gzip_taken), "deflate")
        yield Case("encoded", message("GET", f"/{fid}", [("Range", "bytes=2-9")]), "deflate")
    for kind in ("application/json", "image/svg+xml", "application/octet-stream", "audio/mpeg"):
        fid = next(fids)
        yield Case("encoded", message("PUT", f"/{fid}?{TS}", [("Content-Type", kind)], LONG_TEXT))
        yield from seen("encoded", fid)


PARAMETERS: Final = [
    *("ts=0", "ts=1", "ts=-1", "ts=junk", "ts=99999999999999999999", "ts=1099511627776"),
    *("ttl=3m", "ttl=90", "ttl=7d", "ttl=junk", "ttl=400y", "ttl=3x", "ttl=0d", "ttl="),
    *("type=replicate", "type=other", "pretty=1", "pretty=", "fsync=true", "fsync=1"),
    *("callback=f", "a=%zz", "a=1;b=2", "a&b==&=c", "ts=5&ts=6", "TS=5", "cm=false"),
]


def parameters(fids: Iterator[str]) -> Iterator[Case]:
    """What a query may ask for."""
    for query in PARAMETERS:
        fid = next(fids)
        target = f"/{fid}?{query}" if "ts=" in query else f"/{fid}?{TS}&{query}"
        yield Case("parameters", message("PUT", target, [("Content-Type", "x/y")], BINARY))
        yield Case("parameters", message("GET", f"/{fid}"))
    urlencoded = ("Content-Type", "application/x-www-form-urlencoded")
    for body in (b"ts=1700000000&ttl=3d", b"x=%z", b""):
        for method in ("PUT", "POST"):
            fid = next(fids)
            yield Case("parameters", message(method, f"/{fid}", [urlencoded], body))
            yield Case("parameters", message("GET", f"/{fid}"))
    fid = next(fids)
    too_large = bytes((FILE_LIMIT_MIB << 20) + 1)
    yield Case("parameters", message("PUT", f"/{fid}", [("Content-Type", "x/y")], too_large))
    yield Case(
        "parameters", message("PUT", f"/{fid}?{TS}", [("Content-Type", "x/y")], too_large[1:])
    )
    yield Case("parameters", message("HEAD", f"/{fid}"))


def other_volumes() -> Iterator[Case]:
    """A collection, a TTL, a read-only volume, and none."""
    kind = [("Content-Type", "x/y")]
    for volume_id in (IN_COLLECTION, WITH_TTL, READ_ONLY, MISSING):
        fid = f"{volume_id},a1{COOKIE}"
        yield Case("volumes", message("PUT", f"/{fid}?{TS}", kind, BINARY))
        yield Case("volumes", message("PUT", f"/{fid}?{TS}", kind, BINARY))
        yield Case("volumes", message("PUT", f"/{fid}?{TS}&type=replicate", kind, BINARY))
        yield from seen("volumes", fid)
        yield Case("volumes", message("GET", f"/{fid}?collection=c"))
        yield Case("volumes", message("DELETE", f"/{fid}"))
        yield Case("volumes", message("DELETE", f"/{fid}?type=replicate"))
    for fid in (f"{READ_ONLY},1{COOKIE}", f"{READ_ONLY},2{COOKIE}"):
        # What was stored before the volume was marked.
        yield from seen("volumes", fid)
        yield Case("volumes", message("PUT", f"/{fid}?{TS}", kind, b"other"))
        yield Case("volumes", message("DELETE", f"/{fid}"))


def rewrites(fids: Iterator[str]) -> Iterator[Case]:
    """The same key again: same data, other data, another cookie."""
    fid = next(fids)
    kind = [("Content-Type", "x/y")]
    for body in (BINARY, BINARY, b"other", b"other", BINARY, b"", b"", BINARY):
        yield Case("rewrites", message("PUT", f"/{fid}?{TS}", kind, body))
        yield Case("rewrites", message("GET", f"/{fid}"))
    strange = fid[:-8] + "55667788"
    yield Case("rewrites", message("PUT", f"/{strange}?{TS}", kind, BINARY))
    yield Case("rewrites", message("PUT", f"/{strange}?{TS}", kind, b"other"))
    yield Case("rewrites", message("PUT", f"/{fid}?{TS}&ttl=3d", [("Content-Type", "z/z")], BINARY))
    yield Case("rewrites", message("GET", f"/{fid}"))
    for delta in ("_1", "_2", "_0", "_"):
        yield Case("rewrites", message("PUT", f"/{fid}{delta}?{TS}", kind, b"d" + delta.encode()))
        yield Case("rewrites", message("GET", f"/{fid}{delta}"))
