"""Resized and cropped images: the same table of requests to ``weed volume`` and to fastvol.

Compared are status and headers, whether the stored bytes come back untouched, and else format, color
mode, size and picture of what does. The encoded bytes differ: they are of other encoders.
"""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    master_server,
    started,
    volume_rpc,
    volume_server,
    weed,
)
from http_calls import CALL_SECONDS_MAX, HOST
from image_kit import encoded, gradient, opened, pictures, png_chunk
from PIL import ImageChops, ImageStat

pytestmark = pytest.mark.interop

COOKIE: Final = "11223344"
EXTENSIONS: Final = (".png", ".jpg", ".gif", ".webp")
FEW: Final = (
    "width=30",
    "width=30&height=30",
    "crop_x1=5&crop_y1=5&crop_x2=25&crop_y2=15",
    "crop_x1=5&crop_y1=5&crop_x2=25&crop_y2=15&width=9",
)
MANY: Final = (
    *FEW,
    *("height=10", "width=30&height=10", "width=100&height=100", "width=100&height=20"),
    *("width=30&height=30&mode=fit", "width=30&height=30&mode=fill", "width=60&height=40"),
    *(
        "width=30&height=10&mode=fit",
        "width=100&height=20&mode=fit",
        "width=100&height=20&mode=fill",
    ),
    *("width=0&height=0", "width=abc", "width=abc&height=10", "width=%2B30", "width=30.5"),
    *("width=1", "height=1", "width=1&height=1", "width=1&height=1&mode=fit", "width=030"),
    *(
        "width=30&height=30&mode=FIT",
        "width=30&mode=x",
        "width=5&width=30",
        "Width=30",
        "width=3_0",
    ),
    *("width=99999999999999999999&height=10&mode=fit", "width=-5", "width=70000&height=10"),
    *("crop_x2=20&crop_y2=10", "crop_x1=-1&crop_x2=20&crop_y2=10", "crop_x2=20", "crop_x2=0"),
    *("crop_x1=10&crop_y1=10&crop_x2=10&crop_y2=20", "crop_x1=x&crop_x2=20&crop_y2=10"),
    *("crop_x2=60&crop_y2=39", "crop_x2=61&crop_y2=40", "crop_x2=61&crop_y2=40&width=10"),
    *(
        "crop_x1=10&crop_y1=10&crop_x2=50&crop_y2=30&width=10",
        "crop_x2=99999999999999999999&crop_y2=1",
    ),
    *("width=50&height=50&crop_x2=40&crop_y2=40", "width=30&response-content-type=x/y"),
)
EMPTY: Final = (
    "width=30&mode=fit",
    "height=10&mode=fill",
    "width=-5&height=10",
    "width=30&height=-5",
)
"""Sizes without sense: an empty body, but there a JPEG or GIF without pixels that nothing opens."""
ASKED_MUCH: Final = (
    "png",
    "jpeg",
    "gif",
    "webp",
    "tall",
    "line",
    "large",
    "alpha",
    "gif on a canvas",
)
MEAN_DIFFERENCE_MAX: Final = 10
UNLIKE: Final = ("palette", "gif", "cmyk", "webp", "one bit")
"""Beginnings of names: of these the colors come out a little otherwise."""
CUT: Final = (" half", " but 1", " but 2", " but 4", " but 13", " and more")
"""Ends of names: what these decode to does not depend on how it is written."""
BIG: Final = "big"
"""More than a mebibyte, in a chunk that every decoder skips."""


@dataclass(frozen=True, slots=True)
class Got:
    """An answer of one server to one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    def steady(self) -> dict[str, str]:
        changing = ("Date", "X-Amz-Request-Id", "Content-Length", "Content-Range")
        return {name: value for name, value in self.headers.items() if name not in changing}


class Caller:
    """One kept connection to each of the two."""

    def __init__(self, servers: list[Server]) -> None:
        self._connections = [
            http.client.HTTPConnection(HOST, server.port, timeout=CALL_SECONDS_MAX)
            for server in servers
        ]

    def both(
        self, method: str, target: str, body: bytes | None = None, **headers: str
    ) -> tuple[Got, Got]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        theirs, ours = (self._call(c, method, target, body, given) for c in self._connections)
        return theirs, ours

    @staticmethod
    def _call(
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> Got:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.getheaders()), answer.read())

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@cache
def sources() -> dict[str, bytes]:
    png, header_end = pictures()["png"], 33
    comment = png_chunk(b"tEXt", b"comment\0" + b"x" * (1 << 20))
    return {**pictures(), BIG: png[:header_end] + comment + png[header_end:]}


def fid(name: str) -> str:
    return f"1,{list(sources()).index(name) + 1:x}{COOKIE}"


@pytest.fixture(name="caller", scope="module")
def caller_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    base = tmp_path_factory.mktemp("images")
    master = master_server(base)
    servers = [
        volume_server(program, base, base / name, [master.port])
        for name, program in (("weed", weed(base)), ("fastvol", FASTVOL))
    ]
    with started(master, *servers):
        for server in servers:
            server.ready()
            with volume_rpc(server.port) as rpc:
                allocate(rpc, 1)
        with closing(Caller(servers)) as caller:
            for name, data in sources().items():
                for got in caller.both(
                    "PUT",
                    f"/{fid(name)}?ts=1700000000",
                    data,
                    Content_Type="application/octet-stream",
                ):
                    assert got.status == 201
            yield caller


def difference_of(name: str, theirs: Got, ours: Got) -> str:
    """What is different, in words; empty when nothing is."""
    source = sources()[name]
    if (theirs.status, theirs.steady()) != (ours.status, ours.steady()):
        return f"{theirs.status} {theirs.steady()}, but {ours.status} {ours.steady()}"
    if int(ours.headers["Content-Length"]) != len(ours.body):
        return f"length {ours.headers['Content-Length']} of {len(ours.body)} bytes"
    if (theirs.body == source) != (ours.body == source):
        return "stored bytes" if theirs.body == source else "not the stored bytes"
    if theirs.body == source or theirs.body == ours.body == b"":
        return ""
    left, right = opened(theirs.body), opened(ours.body)
    shapes = [(image.format, image.mode, image.size) for image in (left, right)]
    if shapes[0] != shapes[1]:
        return f"{shapes[0]}, but {shapes[1]}"
    if left.format == "GIF" or name.startswith(UNLIKE):
        return ""
    pixels = ImageChops.difference(left.convert("RGBA"), right.convert("RGBA"))
    mean = max(ImageStat.Stat(pixels).mean)
    return f"pixels differ by {mean} in the mean" if mean > MEAN_DIFFERENCE_MAX else ""


@pytest.mark.parametrize("ext", EXTENSIONS)
def test_the_whole_table(caller: Caller, ext: str) -> None:
    differences = []
    for name in sources():
        if ext != ".png" and name.endswith(CUT):
            continue
        for query in MANY if name in ASKED_MUCH else FEW:
            target = f"/{fid(name)}{ext}?{query}"
            found = difference_of(name, *caller.both("GET", target))
            if found:
                differences.append(f"{name}{ext}?{query}: {found}")
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("query", EMPTY)
def test_sizes_without_sense(caller: Caller, query: str) -> None:
    for ext in (".png", ".webp"):
        for method in ("GET", "HEAD"):
            theirs, ours = caller.both(method, f"/{fid('png')}{ext}?{query}")
            assert theirs.steady() == ours.steady()
            assert theirs.headers["Content-Length"] == ours.headers["Content-Length"] == "0"
    for ext in (".jpg", ".gif"):
        theirs, ours = caller.both("GET", f"/{fid('png')}{ext}?{query}")
        assert (theirs.status, ours.status, ours.body) == (200, 200, b"")
        with pytest.raises(OSError, match="cannot identify"):
            opened(theirs.body)


@pytest.mark.parametrize("ext", ["", ".PNG", ".Png", ".JPEG", ".jpe", ".bmp", ".WEBP", ".svg"])
def test_extensions(caller: Caller, ext: str) -> None:
    for query in FEW:
        assert not difference_of("png", *caller.both("GET", f"/{fid('png')}{ext}?{query}"))


@pytest.mark.parametrize("ext", ["", ".png"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_large_object_is_an_image_by_its_url_only(caller: Caller, ext: str, method: str) -> None:
    theirs, ours = caller.both(method, f"/{fid(BIG)}{ext}?width=30")
    assert theirs.steady() == ours.steady()
    if method == "GET":
        assert not difference_of(BIG, theirs, ours)
        assert (ours.body == sources()[BIG]) == (ext == "")
    else:
        assert theirs.headers["Content-Length"] == ours.headers["Content-Length"]


def test_an_object_named_as_an_image(caller: Caller) -> None:
    """The stored name counts when the URL has none, and only for what is not large."""
    for key, name in ((0x500, "png"), (0x501, BIG), (0x502, "no image")):
        for got in caller.both(
            "PUT", f"/1,{key:x}{COOKIE}.png", sources()[name], Content_Type="image/png"
        ):
            assert got.status == 201
        for tail in ("", ".gif", "/x", "/x.gif", "/x.PNG"):
            path = f"/1/{key:x}{COOKIE}{tail}" if "/" in tail else f"/1,{key:x}{COOKIE}{tail}"
            theirs, ours = caller.both("GET", f"{path}?width=30")
            for got in (theirs, ours):
                got.headers.pop("Last-Modified")
            assert not difference_of(name, theirs, ours), path


@pytest.mark.parametrize("accepted", ["", "gzip"])
@pytest.mark.parametrize("ext", ["", ".png", ".PNG", ".webp", ".txt"])
def test_compressed_images(caller: Caller, ext: str, accepted: str) -> None:
    """What is asked decides whether it is decompressed, and there capitals do not count."""
    packed = gzip.compress(pictures()["png"], mtime=0)
    target = f"/1,600{COOKIE}"
    caller.both(
        "PUT", f"{target}?ts=1700000000", packed, Content_Encoding="gzip", Content_Type="x/y"
    )
    for query in ("width=30", "crop_x2=20&crop_y2=10", "width=100", "a=b"):
        got = caller.both("GET", f"{target}{ext}?{query}", Accept_Encoding=accepted)
        theirs, ours = got
        assert theirs.steady() == ours.steady()
        if theirs.body in (packed, pictures()["png"]):
            assert ours.body == theirs.body
        else:
            assert opened(ours.body).size == opened(theirs.body).size


def test_ranges_and_lengths_are_of_what_is_produced(caller: Caller) -> None:
    target = f"/{fid('large')}.jpg?width=100"
    whole = caller.both("GET", target)
    heads = caller.both("HEAD", target)
    parts = caller.both("GET", target, Range="bytes=10-19")
    for one, head, part in zip(whole, heads, parts, strict=True):
        assert head.headers["Content-Length"] == str(len(one.body))
        assert (part.status, part.body) == (206, one.body[10:20])
        assert part.headers["Content-Range"] == f"bytes 10-19/{len(one.body)}"
    for pair in (whole, heads, parts):
        assert pair[0].steady() == pair[1].steady()


def test_a_changed_size_does_not_change_the_conditions(caller: Caller) -> None:
    target = f"/{fid('png')}.png?width=30"
    tag = caller.both("GET", target)[0].headers["Etag"]
    for given in ({"If_None_Match": tag}, {"If_Modified_Since": "Tue, 14 Nov 2023 22:13:20 GMT"}):
        theirs, ours = caller.both("GET", target, **given)
        assert theirs.status == ours.status == 304 and theirs.steady() == ours.steady()


def test_images_in_chunks(caller: Caller) -> None:
    """The content of a manifest is made smaller like any other, at any size."""
    data = encoded(gradient((90, 60)), "PNG")
    half = len(data) // 2
    chunks = []
    for key, part in ((0x700, data[:half]), (0x701, data[half:])):
        caller.both("PUT", f"/1,{key:x}{COOKIE}", part, Content_Type="application/octet-stream")
        offset = 0 if key == 0x700 else half
        chunks.append(f'{{"fid":"1,{key:x}{COOKIE}","offset":{offset},"size":{len(part)}}}')
    manifest = f'{{"name":"a.png","size":{len(data)},"chunks":[{",".join(chunks)}]}}'
    target = f"/1,702{COOKIE}?cm=true&ts=1700000000"
    for got in caller.both("PUT", target, manifest.encode(), Content_Type="application/json"):
        assert got.status == 201
    for tail in ("", ".jpg", ".PNG", ".txt"):
        for query in ("width=30", "crop_x2=20&crop_y2=10", "width=300", "width=30&cm=false"):
            for method in ("GET", "HEAD"):
                theirs, ours = caller.both(method, f"/1,702{COOKIE}{tail}?{query}")
                assert (theirs.status, theirs.steady()) == (ours.status, ours.steady())
                if method == "HEAD" or theirs.body in (data, manifest.encode()):
                    assert ours.body == theirs.body
                else:
                    assert opened(ours.body).size == opened(theirs.body).size
