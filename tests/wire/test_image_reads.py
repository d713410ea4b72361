"""Reads that ask for another size: the headers are the object's, the length is the image's."""

from __future__ import annotations

import gzip
import http.client
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from image_kit import encoded, gradient, opened, oriented_jpeg, pictures, png_chunk
from volume_kit import needle

from fastvol.formats.needle import Needle
from fastvol.http import object_reply
from tests.wire.live_plane import LivePlane
from tests.wire.wire_requests import store

STORED = "Tue, 14 Nov 2023 22:13:20 GMT"
PNG, BIG, BIG_NAMED, PACKED, MEDIUM = range(1, 6)
BIG_DATA = (
    pictures()["png"][:33] + png_chunk(b"tEXt", b"c\0" + b"x" * (1 << 20)) + pictures()["png"][33:]
)
MEDIUM_DATA = encoded(gradient((1500, 1000)), "JPEG", quality=100)


@pytest.fixture(name="plane", scope="module")
def plane_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    with LivePlane(tmp_path_factory.mktemp("images")) as plane:
        volume = plane.add_volume(1)
        store(volume, PNG, pictures()["png"], mime=b"image/png")
        store(volume, BIG, BIG_DATA)
        store(volume, BIG_NAMED, BIG_DATA, name=b"a.png")
        store(volume, MEDIUM, MEDIUM_DATA, name=b"a.JPG")
        volume.write(packed())
        yield plane


def packed() -> Needle:
    data = gzip.compress(pictures()["png"], mtime=0)
    flags = Needle.HAS_LAST_MODIFIED | Needle.IS_COMPRESSED
    return needle(PACKED, data, cookie=0x1234, flags=flags, last_modified=1_700_000_000)


Answer = tuple[int, http.client.HTTPMessage, bytes]


def ask(
    plane: LivePlane,
    key: int,
    tail: str,
    method: str = "GET",
    body: bytes | None = None,
    **headers: str,
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", plane.port, timeout=20)) as connection:
        connection.request(method, f"/1,{key:x}00001234{tail}", body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def test_headers_are_those_of_the_object(plane: LivePlane) -> None:
    _, plain, _ = ask(plane, PNG, ".png?a=b")
    status, headers, body = ask(plane, PNG, ".png?width=30")
    assert status == 200 and opened(body).size == (30, 20)
    for name in ("Etag", "Last-Modified", "Content-Type", "Content-Disposition", "Accept-Ranges"):
        assert headers[name] == plain[name]
    assert headers["Last-Modified"] == STORED and headers["Content-Length"] == str(len(body))


def test_ranges_and_head_are_about_the_image(plane: LivePlane) -> None:
    _, _, body = ask(plane, PNG, ".jpg?width=30")
    status, headers, part = ask(plane, PNG, ".jpg?width=30", Range="bytes=10-19")
    assert (status, part) == (206, body[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(body)}"
    status, headers, nothing = ask(plane, PNG, ".jpg?width=30", "HEAD")
    assert (status, nothing, headers["Content-Length"]) == (200, b"", str(len(body)))
    _, _, several = ask(plane, PNG, ".jpg?width=30", Range="bytes=0-1,10-19")
    assert body[10:20] in several


def test_a_condition_needs_no_image(plane: LivePlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_reply, "drawn", lambda *_: pytest.fail("decodes"))
    assert ask(plane, PNG, ".png?width=30", If_Modified_Since=STORED)[0] == 304


def test_no_image_is_made_on_the_event_loop(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    really = object_reply.drawn

    def drawn(*arguments: object) -> bytes:
        seen.append(threading.current_thread().name)
        return really(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(object_reply, "drawn", drawn)
    for key in (PNG, MEDIUM):
        assert len(ask(plane, key, "?width=30" if key == MEDIUM else ".png?width=30")[2]) > 0
    assert len(seen) == 2 and all("ThreadPoolExecutor" in name for name in seen)


def test_a_medium_object_is_read_whole_for_its_stored_name(plane: LivePlane) -> None:
    """It would be sent from the file otherwise; so would the length of a HEAD."""
    assert 16 << 10 < len(MEDIUM_DATA) <= 1 << 20
    body = ask(plane, MEDIUM, "?width=30")[2]
    assert opened(body).size == (30, 20)
    assert ask(plane, MEDIUM, "?width=30", "HEAD")[1]["Content-Length"] == str(len(body))
    assert ask(plane, MEDIUM, "?width=1500")[2] == MEDIUM_DATA


def test_a_large_object_is_an_image_by_its_url_only(plane: LivePlane) -> None:
    assert ask(plane, BIG_NAMED, "?width=30")[2] == BIG_DATA
    for key in (BIG, BIG_NAMED):
        assert opened(ask(plane, key, ".PNG?width=30")[2]).size == (30, 20)
        length = ask(plane, key, ".png?width=30", "HEAD")[1]["Content-Length"]
        assert length == str(len(BIG_DATA))


@pytest.mark.parametrize("accepted", ["", "gzip"])
def test_a_compressed_image_is_unpacked_first(plane: LivePlane, accepted: str) -> None:
    _, headers, body = ask(plane, PACKED, ".png?width=30", Accept_Encoding=accepted)
    assert opened(body).size == (30, 20) and "Content-Encoding" not in headers
    _, headers, body = ask(plane, PACKED, ".PNG?width=30", Accept_Encoding=accepted)
    if accepted:
        assert headers["Content-Encoding"] == "gzip" and body == packed().data
    else:
        assert opened(body).size == (30, 20)


def test_pictures_are_stored_upright_if_that_is_wanted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for wanted in (True, False):
        directory = tmp_path_factory.mktemp("upright")
        with LivePlane(directory, fast_write=False, fix_orientation=wanted) as plane:
            plane.add_volume(1)
            source = oriented_jpeg(6)
            headers = {"Content_Type": "image/jpeg"}
            assert ask(plane, 1, "", "PUT", source, **headers)[0] == 201
            assert opened(ask(plane, 1, "")[2]).size == ((40, 60) if wanted else (60, 40))
            assert ask(plane, 1, "", "PUT", source, **headers)[0] == 204


def test_images_that_wait_for_memory_hold_up_nobody_else(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are threads, and more, and a read that needs a thread of its own."""
    go_on = threading.Event()

    def waiting(data: bytes, _request: object) -> bytes:
        assert go_on.wait(20)
        return data

    monkeypatch.setattr(object_reply, "drawn", waiting)
    asked = [threading.Thread(target=ask, args=(plane, MEDIUM, "?width=30")) for _ in range(3 * 4)]
    for one in asked:
        one.start()
    try:
        status, _, body = ask(plane, BIG, "?cm=true")
        assert status == 200 and body == BIG_DATA
    finally:
        go_on.set()
        for one in asked:
            one.join(20)
