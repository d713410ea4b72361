"""JPEGs are stored upright by both servers when the flag says so, and lie the same way."""

from __future__ import annotations

from collections.abc import Iterator
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
from http_calls import Reply, get, request
from image_kit import encoded, gradient, opened, oriented_jpeg, pictures
from PIL import ImageChops, ImageStat

pytestmark = pytest.mark.interop

COOKIE: Final = "11223344"
MIME: Final = "image/jpeg"
MEAN_DIFFERENCE_MAX: Final = 8
"""Of a channel, between what two JPEG codecs make of the same picture."""


@pytest.fixture(name="servers", scope="module")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    base = tmp_path_factory.mktemp("orientation")
    master = master_server(base)
    flag = "-images.fix.orientation"
    servers = [
        volume_server(program, base, base / name, [master.port], flag)
        for name, program in (("weed", weed(base)), ("fastvol", FASTVOL))
    ]
    with started(master, *servers):
        for server in servers:
            server.ready()
            with volume_rpc(server.port) as rpc:
                allocate(rpc, 1)
        yield servers


def stored(server: Server, fid: str, data: bytes, mime: str = MIME, query: str = "") -> Reply:
    """What is there after an upload, with the reply to the upload checked."""
    headers = {"Content-Type": mime} if mime else {}
    reply = request(server.port, "PUT", f"/1,{fid}{query}", data, headers)
    assert reply.status in (201, 204), reply
    if reply.status == 201:
        assert reply.json()["size"] == len(data)
    found = get(server.port, f"/1,{fid.partition('.')[0]}")
    assert found.headers["etag"] == reply.headers["etag"]
    return found


def same_layout(theirs: bytes, ours: bytes) -> bool:
    left, right = opened(theirs), opened(ours)
    if (left.format, left.size) != (right.format, right.size):
        return False
    difference = ImageChops.difference(left.convert("RGB"), right.convert("RGB"))
    return max(ImageStat.Stat(difference).mean) < MEAN_DIFFERENCE_MAX


@pytest.mark.parametrize("size", [(60, 40), (33, 17)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight(servers: list[Server], orientation: int, size: tuple[int, int]) -> None:
    data = oriented_jpeg(orientation, size)
    fid = f"{orientation}{size[0]:02x}{COOKIE}"
    theirs, ours = (stored(server, fid, data).body for server in servers)
    assert (theirs == data) == (ours == data) == (orientation == 1)
    assert same_layout(theirs, ours)
    assert opened(ours).getexif().get(0x0112, 1) == 1


TURNED: Final = oriented_jpeg(6)
TAG: Final = opened(TURNED).getexif()
LEFT_ALONE: Final = {
    "another type": (TURNED, "application/octet-stream", ""),
    "a type with parameters": (TURNED, "image/jpeg; q=1", ""),
    "another spelling": (TURNED, "image/jpg", ""),
    "truncated": (TURNED[:-50], MIME, ""),
    "without its end": (TURNED[:-2], MIME, ""),
    "no tag": (pictures()["jpeg"], MIME, ""),
    "a png by another name": (encoded(gradient(), "PNG", exif=TAG), MIME, ".jpg"),
    "no picture": (b"no picture", MIME, ".jpg"),
}
MADE_UPRIGHT: Final = {
    "by its name": (TURNED, "application/octet-stream", ".jpg"),
    "by its name in capitals": (TURNED, "application/octet-stream", ".JPEG"),
    "a forwarded copy": (TURNED, MIME, "?type=replicate"),
    "with something behind it": (TURNED + b"more", MIME, ""),
    "progressive": (encoded(gradient(), "JPEG", progressive=True, exif=TAG), MIME, ""),
    "gray": (encoded(gradient().convert("L"), "JPEG", exif=TAG), MIME, ""),
    "for printers": (encoded(gradient().convert("CMYK"), "JPEG", exif=TAG), MIME, ""),
}


@pytest.mark.parametrize("what", LEFT_ALONE)
def test_left_alone(servers: list[Server], what: str) -> None:
    data, mime, end = LEFT_ALONE[what]
    for server in servers:
        fid = f"a{list(LEFT_ALONE).index(what)}{COOKIE}{end}"
        assert stored(server, fid, data, mime).body == data


@pytest.mark.parametrize("what", MADE_UPRIGHT)
def test_made_upright(servers: list[Server], what: str) -> None:
    data, mime, end = MADE_UPRIGHT[what]
    ext, query = (end, "") if end.startswith(".") else ("", end)
    fid = f"b{list(MADE_UPRIGHT).index(what)}{COOKIE}{ext}"
    theirs, ours = (stored(server, fid, data, mime, query).body for server in servers)
    assert opened(ours).size == (40, 60)
    assert same_layout(theirs, ours)
