"""The requests of the differential test, in the order in which they are sent.

The list is the same in every run: what is random comes from a fixed seed. Volume 1 is an ordinary
one, 2 belongs to a collection, 3 has a TTL, 4 is read-only, 9 does not exist.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from crc32c import crc32c

SEED: Final = 448
COOKIE: Final = "11223344"
ORDINARY, IN_COLLECTION, WITH_TTL, READ_ONLY, MISSING = 1, 2, 3, 4, 9
FILE_LIMIT_MIB: Final = 4
LARGE_BYTES: Final = (1 << 20) + 5000
"""Above the size up to which objects are read whole."""
TS: Final = "ts=1700000000"

BINARY: Final = b"\x00\x01binary"
TEXT: Final = b"a line of text\n"
LONG_TEXT: Final = TEXT * 100
OWN_GZIP: Final = gzip.compress(LONG_TEXT, mtime=0)

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes to send, and what is special about comparing what comes back.

    ``deviation`` names an entry of the test's list of deliberate differences; ``methods``: of each
    request in it, when there are several; ``alone``: on a connection of its own; ``public``: to the
    port for reads only.
    """

    group: str
    raw: bytes
    deviation: str = ""
    methods: tuple[bytes, ...] = ()
    alone: bool = False
    public: bool = False

    @property
    def title(self) -> str:
        shown = self.raw if len(self.raw) < 400 else self.raw[:400] + b"..."
        return f"[{self.group}] {shown!r}"


def message(
    method: str,
    target: str,
    headers: Sequence[Header] = (),
    body: bytes | None = None,
    *,
    version: str = "HTTP/1.1",
) -> bytes:
    """A well-formed request."""
    given = [("Host", "volume"), *headers]
    if body is not None and not any(name == "Transfer-Encoding" for name, _ in headers):
        given.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in given)
    return f"{method} {target} {version}\r\n{head}\r\n".encode("latin-1") + (body or b"")


def all_cases() -> list[Case]:
    """Everything, in order: later requests read what earlier ones stored."""
    chance = random.Random(SEED)
    fids = (f"{ORDINARY},{key:x}{COOKIE}" for key in itertools.count(0x100))
    return [
        *raw_uploads(fids),
        *multipart_uploads(fids),
        *encoded_uploads(fids),
        *parameters(fids),
        *other_volumes(),
        *rewrites(fids),
        *read_shapes(),
        *range_reads(chance),
        *conditional_reads(chance),
        *bad_fids(),
        *deletes(fids),
        *methods(),
        *public_port(),
        *paths(),
        *malformed(),
        *framings(fids),
    ]


# --- uploads ------------------------------------------------------------------------------------


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


def form(*parts: tuple[str, bytes], boundary: str = "X") -> bytes:
    """A multipart body; a part is its header lines and its data."""
    pieces = [
        b"--" + boundary.encode() + b"\r\n" + head.encode("latin-1") + b"\r\n" + data + b"\r\n"
        for head, data in parts
    ]
    return b"".join(pieces) + b"--" + boundary.encode() + b"--\r\n"


def part(filename: str | None, kind: str = "", *more: str) -> str:
    """Header lines of a part."""
    disposition = 'Content-Disposition: form-data; name="f"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    lines = [disposition, *([f"Content-Type: {kind}"] if kind else []), *more]
    return "".join(f"{line}\r\n" for line in lines)


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


# --- reads --------------------------------------------------------------------------------------

SMALL: Final = f"{ORDINARY},11{COOKIE}"
LARGE: Final = f"{ORDINARY},12{COOKIE}"
NAMELESS: Final = f"{ORDINARY},13{COOKIE}"
EMPTY: Final = f"{ORDINARY},14{COOKIE}"
SMALL_DATA: Final = b"0123456789abcdef"
LARGE_DATA: Final = random.Random(SEED).randbytes(LARGE_BYTES)

QUERIES: Final = [
    *("dl=1", "dl=true", "dl=yes", "dl=", "download=1", "cm=false", "version=1", "collection=x"),
    *("readDeleted=true", "width=10", "mode=fit", "pretty=1", "a=%zz", "a=1;b=2"),
    "response-content-type=x/z",
    "response-content-type=",
    "response-content-disposition=inline%3B%20filename%3D%22o%22",
    "response-cache-control=no-store&response-expires=never",
    "response-content-language=de&RESPONSE-CONTENT-ENCODING=identity",
    "response-content-type=a%0d%0aX-Evil:%201",
]


def read_shapes() -> Iterator[Case]:
    """The ways to name an object in a URL, and what the query changes."""
    kind = [("Content-Type", "text/x-small")]
    named = form((part("a name.css", "application/octet-stream"), b"0123456789abcdef"))
    multipart = [("Content-Type", "multipart/form-data; boundary=X")]
    yield Case("shapes", message("PUT", f"/{SMALL}?{TS}", kind, SMALL_DATA))
    yield Case("shapes", message("PUT", f"/{LARGE}?{TS}", [("Content-Type", "x/l")], LARGE_DATA))
    yield Case("shapes", message("POST", f"/{NAMELESS}?{TS}", multipart, named))
    yield Case("shapes", message("PUT", f"/{EMPTY}?{TS}", kind, b""))
    for fid in (SMALL, NAMELESS, EMPTY):
        vid, rest = fid.split(",")
        padded = rest.zfill(24)
        for target in (
            f"/{vid}/{rest}", f"/{vid}/{rest}.css", f"/{vid}/{rest}/name.txt", f"/{vid}/{rest}/",
            f"/{vid}/{rest}/noext", f"/{vid}/{rest}.a/n.b", f"/{vid},{rest}.html", f"/00{fid}",
            f"/{vid},{padded}", f"/{vid},{rest.upper()}", f"/{fid}_0", f"/{fid}.",
            f"/{vid}%2C{rest}", f"/{vid}%2F{rest}", f"/4294967297,{rest}",
            f"/{vid}/{rest}/%C3%A9.txt", f"/{vid}/{rest}/a%22b.txt", f"/{vid}/{rest}/x.",
        ):  # fmt: skip
            yield Case("shapes", message("GET", target))
        yield Case("shapes", message("HEAD", f"/{vid}/{rest}/name.txt"))
        for query in QUERIES:
            yield Case("shapes", message("GET", f"/{fid}?{query}"))
    for query in ("dl=1", "response-content-type=x/z"):
        yield Case("shapes", message("HEAD", f"/{SMALL}?{query}"))
    yield Case("shapes", message("GET", f"/{SMALL}", [("Origin", "http://elsewhere")]))
    yield Case("shapes", message("GET", f"/{SMALL}", [("Content-Type", "x/y")], b"a body"))
    yield Case("shapes", message("GET", f"/{LARGE}"))
    yield Case("shapes", message("HEAD", f"/{LARGE}"))


RANGES: Final = [
    *(
        "0-0",
        "0-",
        "0-15",
        "0-99",
        "5-7",
        "15-15",
        "15-",
        "16-",
        "16-20",
        "99-",
        "3-2",
        "-1",
        "-16",
    ),
    *(
        "-17",
        "-0",
        "",
        ",",
        "x",
        "0",
        "a-b",
        "0-a",
        "-a",
        "+1-+3",
        " 1 - 3 ",
        "1-3,",
        ",1-3",
        "0x1-2",
    ),
    *("9223372036854775807-", "9223372036854775808-", "0-9223372036854775808", "1_0-", "-+3"),
    *("0-15,0-15", "20-30,0-1", "16-,16-", "0-1,x"),
]


def range_reads(chance: random.Random) -> Iterator[Case]:
    """Single ranges, good and bad; lists of ranges only where one range or none is served."""
    for fid in (SMALL, EMPTY):
        for text in RANGES:
            yield Case("ranges", message("GET", f"/{fid}", [("Range", f"bytes={text}")]))
    for text in ("bytes 0-1", "Bytes=0-1", "octets=0-1", "bytes=", "", "bytes"):
        yield Case("ranges", message("GET", f"/{SMALL}", [("Range", text)]))
    yield Case("ranges", message("GET", f"/{SMALL}", [("Range", "bytes=--5")]), "negative suffix")
    yield Case("ranges", message("HEAD", f"/{SMALL}", [("Range", "bytes=0-1")]))
    twice = [("Range", "bytes=0-1"), ("Range", "bytes=2-3")]
    yield Case("ranges", message("GET", f"/{SMALL}", twice))
    if_range = [("Range", "bytes=0-1"), ("If-Range", '"other"')]
    yield Case("ranges", message("GET", f"/{SMALL}", if_range))
    for _ in range(20):
        first = chance.randrange(LARGE_BYTES)
        last = chance.choice([first, first + 10, first + 5000, LARGE_BYTES + 7, ""])
        yield Case("ranges", message("GET", f"/{LARGE}", [("Range", f"bytes={first}-{last}")]))
    for text in ("-1", f"-{LARGE_BYTES}", f"{LARGE_BYTES}-", "0-", "1-0"):
        yield Case("ranges", message("GET", f"/{LARGE}", [("Range", f"bytes={text}")]))


SINCE: Final = [
    "Tue, 14 Nov 2023 22:13:20 GMT",  # the moment of TS
    "Tue, 14 Nov 2023 22:13:19 GMT",
    "Tue, 14 Nov 2023 22:13:21 GMT",
    "tue, 14 nov 2023 22:13:20 GMT",
    "Mon, 14 Nov 2023 22:13:20 GMT",
    "Wed, 1 Nov 2034 22:13:20 GMT",
    "Wed, 01 Nov 2034 2:13:20 GMT",
    "Tue, 14 Nov 2023 22:13:20 UTC",
    "Tue, 14 Nov 2034 22:13:20 +0000",
    "Tuesday, 14-Nov-34 22:13:20 GMT",
    "Tue Nov 14 22:13:20 2034",
    "Tue, 14 Nov 2034 22:13:20.5 GMT",
    "Tue, 30 Feb 2034 22:13:20 GMT",
    "1700000000",
    "",
    "junk",
]


def conditional_reads(chance: random.Random) -> Iterator[Case]:
    """``If-*`` headers, alone and together."""
    other = '"e9ba3f66"'
    contents = {SMALL: SMALL_DATA, LARGE: LARGE_DATA, EMPTY: b""}
    for fid, data in contents.items():
        tag = f'"{crc32c(data):08x}"'
        tags = [tag, f"W/{tag}, {other}", f"W/{tag}", "*", f"{other}, {tag}", other, "", f" {tag} "]
        for value in SINCE:
            yield Case("conditionals", message("GET", f"/{fid}", [("If-Modified-Since", value)]))
        for value in tags:
            yield Case("conditionals", message("GET", f"/{fid}", [("If-None-Match", value)]))
    tag = f'"{crc32c(SMALL_DATA):08x}"'
    for name in ("If-Match", "If-Unmodified-Since", "If-Range"):
        for value in (tag, other, SINCE[1], SINCE[2]):
            yield Case("conditionals", message("GET", f"/{SMALL}", [(name, value)]))
    for _ in range(15):
        headers = [
            ("If-Modified-Since", chance.choice(SINCE)),
            ("If-None-Match", chance.choice([tag, other])),
            ("Range", chance.choice(["bytes=0-1", "bytes=99-", "x"])),
            ("Origin", "http://elsewhere"),
        ]
        chance.shuffle(headers)
        method = chance.choice(["GET", "HEAD"])
        yield Case("conditionals", message(method, f"/{SMALL}", headers[: chance.randrange(2, 5)]))


FIDS: Final = [
    *(f"1,11{COOKIE[:-1]}0", f"1,1100{COOKIE}", f"1,77{COOKIE}", f"9,11{COOKIE}", "1,", "1", ","),
    *("1,bad", "1,12345678", "1,g112233441", f"1,{'0' * 17}{COOKIE}", f"1,{'f' * 16}{COOKIE}"),
    *(f"bad,11{COOKIE}", f"-1,11{COOKIE}", f"+1,11{COOKIE}", f"1 ,11{COOKIE}".replace(" ", "%20")),
    *(f"18446744073709551617,11{COOKIE}", f"1,11{COOKIE}zz", f"1,11{COOKIE}_x", f"1,11{COOKIE}_-1"),
    *(f"1,11{COOKIE}_5", f"1,{'f' * 16}{COOKIE}_1", f"1,11{COOKIE}.tar.gz", f"1,11{COOKIE}/x"),
    *(f"1,2,11{COOKIE}", f"a/1,11{COOKIE}", "favicon", "%00", f"1,11{COOKIE}%20"),
    f"1_0,11{COOKIE}",
    *(f"1/11{COOKIE}/a/b", f"x/y/z/w/1.11{COOKIE}", f"1/11{COOKIE}/a%2Fb.jpg"),
]  # fmt: skip

PANICS: Final = [f"x/y/z/1,11{COOKIE}", f"1.5,11{COOKIE}"]
"""Paths on which upstream's handler dies, which closes the connection."""


def bad_fids() -> Iterator[Case]:
    """What is no object, asked for in all ways."""
    for fid in FIDS:
        for method in ("GET", "HEAD", "DELETE"):
            yield Case("fids", message(method, f"/{fid}"))
        yield Case("fids", message("PUT", f"/{fid}?{TS}", [("Content-Type", "x/y")], BINARY))
    for fid in PANICS:
        for method in ("GET", "HEAD", "DELETE"):
            yield Case("fids", message(method, f"/{fid}"), "panic", alone=True)


def deletes(fids: Iterator[str]) -> Iterator[Case]:
    """Deleting, deleting again, and what is left to see."""
    kind = [("Content-Type", "x/y")]
    for body in (BINARY, b"", bytes(300_000), LONG_TEXT):
        fid = next(fids)
        strange = fid[:-8] + "55667788"
        yield Case("deletes", message("PUT", f"/{fid}?{TS}", kind, body))
        yield Case("deletes", message("DELETE", f"/{strange}"))
        yield Case("deletes", message("PUT", f"/{fid}?{TS}", kind, body))
        yield Case("deletes", message("DELETE", f"/{fid}"))
        yield Case("deletes", message("DELETE", f"/{fid}?pretty=1"))
        yield Case("deletes", message("GET", f"/{fid}"))
        yield Case("deletes", message("HEAD", f"/{fid}"))
        yield Case("deletes", message("GET", f"/{fid}?readDeleted=true"))
        yield Case("deletes", message("GET", f"/{fid}?readDeleted=1"))
        yield Case("deletes", message("PUT", f"/{strange}?{TS}", kind, body))
        yield Case("deletes", message("GET", f"/{strange}"))
        yield Case("deletes", message("PUT", f"/{fid}?{TS}", kind, b"new"))
        yield Case("deletes", message("GET", f"/{fid}"))
        yield Case("deletes", message("DELETE", f"/{fid}?ts=5", [("Origin", "o")], b"body"))


# --- the protocol -------------------------------------------------------------------------------


def methods() -> Iterator[Case]:
    """Other methods than the four."""
    for method in ("PATCH", "TRACE", "PROPFIND", "OPTIONS", "get", "MKCOL", "PURGE", "X-ANY"):
        for target in (f"/{SMALL}", "/", "/nothing"):
            yield Case("methods", message(method, target))
        yield Case("methods", message(method, f"/{SMALL}", [("Origin", "o")], b"body"))
    yield Case("methods", message("OPTIONS", "*"), "words")
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
        deviation = {"http://host": "refusal", f"/{SMALL}\xe9": "refusal"}.get(target, "")
        yield Case("paths", message("GET", target), deviation, alone=True)
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        yield Case("paths", message(method, f"//{SMALL}"), alone=True)


MALFORMED: Final[list[tuple[str, bytes]]] = [
    ("", b"GET /1,1111223344 HTTP/1.1\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost:\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
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
    ("strict", b"GET /1,1111223344 HTTP/1.2\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/2.0\r\nHost: v\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/0.9\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1x\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 http/1.1\r\nHost: v\r\n\r\n"),
    ("words", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("strict", b"GET /1,1111223344 HTTP/1.1\nHost: v\n\n"),
    ("strict", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\r\n folded\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\n folded first: x\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\n lead: x\r\nHost: v\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nnocolon\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\n: empty\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX A: b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A : b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\x01c\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\x7fc\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\x00c\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: \xe9\tb\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-\xe9: b\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-A: b\rc\r\n\r\n"),
    ("", b"GET /1,1111\x01223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("refusal", b"GET /1,1111223344\xff HTTP/1.1\r\nHost: v\r\n\r\n"),
    ("words", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nExpect: tea\r\n\r\n"),
    ("", b"GET /1,1111223344 HTTP/1.1\r\nHost: v\r\nX-Big: " + b"x" * 1_100_000 + b"\r\n\r\n"),
    ("refusal", b"CONNECT volume:80 HTTP/1.1\r\nHost: volume:80\r\n\r\n"),
    ("refusal", b"CONNECT /1,1111223344 HTTP/1.1\r\nHost: v\r\n\r\n"),
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
    yield put("Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", "strict")
    yield put("Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!")
    for text in ("+5", "-1", "5a", "0x5", "", "99999999999999999999", "5,5"):
        yield put(f"Content-Length: {text}\r\n", b"hello")
    yield put("", b"")
    yield put(chunked, b"5\r\nhello\r\n0\r\n\r\n")
    yield put(chunked, b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n")
    yield put(chunked, b"05\r\nhello\r\n00\r\n\r\n")
    yield put(chunked, b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")
    yield put(chunked, b"zz\r\nhello\r\n0\r\n\r\n")
    yield put(chunked, b"5\r\nhelloXX0\r\n\r\n", "words")
    yield put(chunked, b"\r\n", "words")
    yield put("Transfer-Encoding: Chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n")
    yield put("Transfer-Encoding: gzip\r\n", b"hello", "refusal")
    yield put("Transfer-Encoding: gzip, chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n")
    yield put("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"hello", "refusal")
    yield put(chunked + "Content-Length: 5\r\n", b"5\r\nhello\r\n0\r\n\r\n", "strict")
    yield put(chunked + chunked, b"5\r\nhello\r\n0\r\n\r\n", "refusal")
    expect = "Expect: 100-continue\r\nContent-Length: 5\r\n"
    yield put(expect, b"hello", "no interim")
    yield put(expect.replace("100", "200"), b"hello", "words")
    yield put(expect, b"hello", fid="bad,fid")
    yield put(expect, b"hello", "no interim", fid="1,bad")
    yield put(expect, b"hello", "body read", method="DELETE", fid=SMALL)
    yield put(expect, b"hello", "body read", method="GET", fid=SMALL)
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
