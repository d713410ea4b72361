"""Requests of the differential test that read and delete objects."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from crc32c import crc32c
from differential_request import (
    BINARY,
    COOKIE,
    LARGE_BYTES,
    LONG_TEXT,
    ORDINARY,
    SEED,
    TS,
    Case,
    message,
)
from forms import form, part

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
