"""The fast read and the complete read give byte for byte the same responses.

Both planes serve the same volume: the same C object is in both tables. Only the Date and the request
id may differ.
"""

from __future__ import annotations

import gzip
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fastvol._cffi.crc32c import crc32c, legacy
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL
from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane

VARYING = re.compile(rb"(Date|X-Amz-Request-Id): [^\r]*")
COPY_MAX, MAP_MAX, INLINE_MAX, PAGED = 16 << 10, 256 << 10, 1 << 20, 1 << 20
TS = 1_700_000_000
STORED = "Tue, 14 Nov 2023 22:13:20 GMT"
LATER = "Wed, 15 Nov 2023 00:00:00 GMT"
EARLIER = "Mon, 13 Nov 2023 00:00:00 GMT"
META = 5 + 5 + 1 + 3 + 1 + 9
"""Body bytes beside the payload of the sized needles below."""


@dataclass(frozen=True)
class Stored:
    """One needle of the matrix; ``core`` says whether a plain GET of it is for the fast read."""

    key: int
    label: str
    core: bool = True
    cookie: int = 0x1234


@dataclass
class Pair:
    """The two planes and what lies in their volume."""

    fast: LivePlane
    complete: LivePlane
    volume: Volume
    needles: list[Stored]

    def by_label(self, label: str) -> Stored:
        return next(needle for needle in self.needles if needle.label == label)

    def both(self, request: bytes) -> bytes:
        """The answer, after checking that both planes give it."""
        answers = [VARYING.sub(rb"\1:", p.exchange(request)) for p in (self.fast, self.complete)]
        assert answers[0] == answers[1], request
        return answers[0]


def fill(volume: Volume) -> list[Stored]:
    """Needles of every kind that the two reads could disagree about."""
    needles: list[Stored] = []

    def add(
        label: str, data: bytes, *, core: bool = True, flags: int | None = None, **fields: object
    ) -> None:
        key = len(needles) + 1
        bits = (
            Needle.HAS_NAME | Needle.HAS_MIME | Needle.HAS_LAST_MODIFIED if flags is None else flags
        )
        values: dict[str, object] = {
            "name": b"a.b",
            "mime": b"app/plain",
            "last_modified": TS,
            **fields,
        }
        checksum = values.pop("checksum", crc32c(data))
        needle = Needle(id=key, cookie=0x1234, data=data, flags=bits, checksum=checksum, **values)  # type: ignore[arg-type]
        volume.write(needle)
        needles.append(Stored(key, label, core))

    text = b"plain text, nothing odd in it\n" * 3
    for label, name in (
        ("no name", b""),
        ("spaces", b"a b c.txt"),
        ("quotes", b'say "hi" \\ now.bin'),
        ("known extension", b"pic.PNG"),
        ("unknown extension", b"x.zzz"),
        ("leading dot", b".html"),
        ("token marks", b"a'b*c%d.txt"),
        ("longest name", b"n" * 255),
    ):
        for mime in (b"", b"application/octet-stream", b"text/x-foo; charset=utf-8"):
            add(f"{label}, {mime.decode() or 'no mime'}", text, name=name, mime=mime)
    add("unicode name", text, name="é.txt".encode(), core=False)
    add("control byte in the name", text, name=b"a\x01b", core=False)
    add("line end in the mime", text, mime=b"a/b\r\nX: y", core=False)
    add("no flags at all", text, flags=0)
    add("last modified zero", text, last_modified=0)
    for label, data in (
        ("html", b"  <html><body>"),
        ("xml", b"<?xml version='1.0'?>"),
        ("pdf", b"%PDF-1.4"),
        ("png", b"\x89PNG\r\n\x1a\n\0\0"),
        ("mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(30)),
        ("binary", bytes(range(256))),
        ("one byte", b"x"),
    ):
        add(f"sniffed {label}", data, mime=b"", name=b"thing")
    for size in (511, 512, 513):
        add(f"sniff edge {size}", b"t" * (size - 1) + b"\x01", mime=b"", name=b"")
    edges = {COPY_MAX - META, MAP_MAX, INLINE_MAX, PAGED - META, 3 << 20}
    for edge in sorted(edges):
        for size in (edge - 1, edge, edge + 1):
            add(f"size {size}", os.urandom(size))
            add(f"size {size}, sniffed", b"T" * size, mime=b"", name=b"")
    add("pairs", text, flags=0x2E, pairs=b'{"Owner":"bob","A-B":"2"}', core=False)
    add("ttl", text, flags=0x1E, ttl=TTL(9, 6), core=False)
    add("manifest", b'{"chunks":[]}', flags=0x8E, core=False)
    squeezed = gzip.compress(text * 50, mtime=0)
    add("gzip", squeezed, flags=0x0F, core=False)
    add("large gzip", gzip.compress(os.urandom(40_000), mtime=0), flags=0x0F, core=False)
    add("flagged but not gzip", text, flags=0x0F, core=False)
    add("legacy checksum", text, checksum=legacy(crc32c(text)))
    big = os.urandom(100_000)
    add("legacy checksum, large", big, checksum=legacy(crc32c(big)), core=False)
    add("bad checksum", text, checksum=1, core=False)
    add("bad checksum, large", big, checksum=1, core=False)
    add("empty", b"", core=False)
    add("deleted", text, core=False)
    volume.delete(needles[-1].key, 0x1234, 0)
    return needles


@pytest.fixture(name="pair", scope="module")
def pair_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        LivePlane(tmp_path_factory.mktemp("volume")) as fast,
        LivePlane(tmp_path_factory.mktemp("unused"), fast_read=False) as complete,
    ):
        volume = fast.add_volume(5)
        needles = fill(volume)
        complete.lend_volume(volume)
        yield Pair(fast, complete, volume, needles)
        complete.store.table.clear()


def get(needle: Stored, *headers: str, method: str = "GET", path: str | None = None) -> bytes:
    where = path or f"/5,{needle.key:x}{needle.cookie:08x}"
    lines = [f"{method} {where} HTTP/1.1", "Host: test", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def served(pair: Pair) -> int:
    counts = pair.fast.counts()
    return counts.get_200 + counts.get_206 + counts.get_304 + counts.head_200 + counts.head_304


def test_plain_get_and_head_of_every_needle(pair: Pair) -> None:
    for needle in pair.needles:
        for method in ("GET", "HEAD"):
            before = served(pair)
            pair.both(get(needle, method=method))
            assert served(pair) - before == needle.core, (needle.label, method)


def test_gzip_is_served_as_stored_to_clients_that_take_it(pair: Pair) -> None:
    for label, core in (("gzip", True), ("large gzip", True), ("flagged but not gzip", False)):
        for accepted in ("gzip", "deflate, gzip;q=0.5", "br", "GZIP"):
            before = served(pair)
            answer = pair.both(get(pair.by_label(label), f"Accept-Encoding: {accepted}"))
            assert served(pair) - before == (core and "gzip" in accepted), (label, accepted)
            takes = label != "flagged but not gzip" and "gzip" in accepted
            assert (b"Content-Encoding: gzip" in answer) == takes


SIMPLE_RANGES = ["bytes=0-0", "bytes=1-", "bytes=5-9", "bytes=0-99999999", "bytes=0-"]
OTHER_RANGES = [
    "bytes=-5",
    "bytes=--5",
    "bytes=9999999-",
    "bytes=5-1",
    "bytes=a-b",
    "bytes=0-1,4-5,",
    "bytes=",
    "bytes=,",
    "Bytes=0-1",
    "bytes=+1-+2",
    "bytes=0 - 1",
    "bytes= 0-1",
    "bytes=0-1;x",
    "bytes=00000000000000000000001-2",
]


def test_ranges(pair: Pair) -> None:
    sizes = [needle for needle in pair.needles if needle.label.startswith("size ")]
    for needle in sizes:
        for header in SIMPLE_RANGES:
            before = served(pair)
            pair.both(get(needle, f"Range: {header}"))
            assert served(pair) == before + 1, (needle.label, header)
            pair.both(get(needle, f"Range: {header}", method="HEAD"))
    for label in ("spaces, no mime", "gzip", "sniffed html", "empty", f"size {MAP_MAX}"):
        for header in (*SIMPLE_RANGES, *OTHER_RANGES):
            if header.count("-") == 2 and "," in header:
                continue  # multipart: the boundary is random
            for extra in ((), ("Accept-Encoding: gzip",), ("If-Range: x",)):
                pair.both(get(pair.by_label(label), f"Range: {header}", *extra))


DATES = [
    STORED,
    LATER,
    EARLIER,
    STORED.replace("Nov", "nov"),
    STORED.replace("GMT", "UTC"),
    STORED.replace("Tue", "Mon"),
    "Tue, 14-Nov-23 22:13:20 GMT",
    "Tue Nov 14 22:13:20 2023",
    "Thu, 31 Feb 2030 00:00:00 GMT",
    "Thu, 30 Nov 2023 24:00:00 GMT",
    "Thu, 1 Jan 2030 00:00:00 GMT",
    "yesterday",
    "",
]


def test_conditionals(pair: Pair) -> None:
    for label in (
        "spaces, no mime",
        "no flags at all",
        "last modified zero",
        "gzip",
        "empty",
        "size 3145728",
    ):
        needle = pair.by_label(label)
        etag = re.search(rb"Etag: (\S+)", pair.both(get(needle, "Accept-Encoding: gzip")))
        assert etag is not None
        tag = etag[1].decode()
        tags = [tag, tag.strip('"'), f"W/{tag}", f"{tag}, {tag}", "*", '"00000000"', tag.upper()]
        for method in ("GET", "HEAD"):
            for date in DATES:
                pair.both(get(needle, f"If-Modified-Since: {date}", method=method))
                pair.both(
                    get(
                        needle, f"If-Modified-Since: {date}", f"If-None-Match: {tag}", method=method
                    )
                )
            for value in tags:
                pair.both(get(needle, f"If-None-Match: {value}", method=method))
                pair.both(get(needle, f"If-None-Match: {value}", "Range: bytes=1-2", method=method))
    before = pair.fast.counts().get_304
    pair.both(get(pair.by_label("spaces, no mime"), f"If-Modified-Since: {STORED}"))
    assert pair.fast.counts().get_304 == before + 1


def test_path_shapes(pair: Pair) -> None:
    needle = pair.by_label("spaces, no mime")
    fid = f"{needle.key:x}{needle.cookie:08x}"
    for path, core in (
        (f"/5,{fid}", True),
        (f"/5/{fid}", True),
        (f"/005,00{fid.upper()}", True),
        (f"/5,{fid}.jpg", True),
        (f"/5/{fid}.TXT", True),
        (f"/5,{needle.key - 1:x}{needle.cookie:08x}_1", True),
        (f"/4294967301,{fid}", False),
        (f"/5,{fid}_", False),
        (f"/5,{fid}_x", False),
        (f"/5,{fid}.", False),
        (f"/5,{fid}.tar.gz", False),
        (f"/5/{fid}/name.html", False),
        (f"/5/{fid}/", False),
        (f"/5%2C{fid}", False),
        (f"/5,{fid}?dl=true", False),
        (f"/5,{fid}?response-content-type=a%2Fb&response-cache-control=x", False),
        (f"/5,{fid}#x", False),
        (f"//5,{fid}", False),
        (f"/6,{fid}", False),
        (f"/5,{needle.key:x}{needle.cookie + 1:08x}", False),
        ("/5,ffffff00001234", False),
        ("/5,1234", False),
        ("/x,1234", False),
        ("/", False),
        (f"http://other/5,{fid}", False),
    ):
        before = served(pair)
        pair.both(get(needle, path=path))
        assert served(pair) - before == core, path


HEADERS = {
    "User-Agent: x": True,
    "Accept: */*": True,
    "Connection: keep-alive": True,
    "Connection: Keep-Alive": True,
    "Cookie: a=b": True,
    "Authorization: Bearer x": True,
    "Cache-Control: no-cache": True,
    "If-Match: *": True,
    "X-Forwarded-For: 1.2.3.4": True,
    "Sec-Fetch-Mode: cors": True,
    "Origin: http://a": False,
    "X-Unknown: 1": False,
    "Content-Length: 0": False,
    "Seaweed-Owner: x": False,
    "Range: bytes=0-1\r\nRange: bytes=2-3": False,
}


def test_request_headers(pair: Pair) -> None:
    for label in ("spaces, no mime", f"size {MAP_MAX + 1}"):
        for header, core in HEADERS.items():
            before = served(pair)
            pair.both(get(pair.by_label(label), header))
            assert served(pair) - before == core, header


def test_read_deleted_and_expired_are_for_the_complete_read(pair: Pair) -> None:
    deleted = pair.by_label("deleted")
    path = f"/5,{deleted.key:x}{deleted.cookie:08x}?readDeleted=true"
    assert pair.both(get(deleted, path=path)).startswith(b"HTTP/1.1 200 ")
    ttl = pair.by_label("ttl")
    assert pair.both(get(ttl)).startswith(b"HTTP/1.1 200 ")
    assert time.time() > TS
