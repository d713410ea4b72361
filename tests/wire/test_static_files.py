"""Icons on both ports, for any method."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest
from image_kit import opened
from PIL import ImageChops

from fastvol.http.static_files import read_asset
from tests.wire.live_plane import LivePlane

ICONS = {
    "/favicon.ico": ("favicon.ico", "image/x-icon"),
    "/seaweedfsstatic/favicon.ico": ("favicon.ico", "image/x-icon"),
    "/seaweedfsstatic/seaweed50x50.png": ("seaweed50x50.png", "image/png"),
    "/seaweedfsstatic/seaweed50x50%2Epng?x=y": ("seaweed50x50.png", "image/png"),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


def ask(
    plane: LivePlane, target: str, method: str = "GET", *headers: str
) -> tuple[list[str], bytes]:
    """Lines of the head without the date, and the body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: t", *headers, "", ""]
    head, _, body = plane.exchange("\r\n".join(lines).encode()).partition(b"\r\n\r\n")
    return [line for line in head.decode().split("\r\n") if not line.startswith("Date:")], body


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ICONS)
def test_icons(plane: LivePlane, target: str, method: str) -> None:
    """Neither Server nor a request id: these are no answers of the volume server."""
    name, mime = ICONS[target]
    head, body = ask(plane, target, method, "Origin: http://elsewhere")
    data = read_asset(name)
    assert head == [
        "HTTP/1.1 200 OK",
        "Accept-Ranges: bytes",
        f"Content-Length: {len(data)}",
        f"Content-Type: {mime}",
    ]
    assert body == (b"" if method == "HEAD" else data)


def test_icons_on_the_port_for_reads(tmp_path: Path) -> None:
    with LivePlane(tmp_path, public=True) as plane:
        for target in ICONS:
            assert ask(plane, target)[0][0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("0-9", 206, slice(0, 10)),
        ("-5", 206, slice(-5, None)),
        ("99999-", 416, None),
        ("x", 416, None),
    ],
)
def test_ranges(plane: LivePlane, wanted: str, status: int, part: slice | None) -> None:
    head, body = ask(plane, "/favicon.ico", "GET", f"Range: bytes={wanted}")
    assert int(head[0].split()[1]) == status
    assert ("Accept-Ranges: bytes" in head) == (status == 206)
    if part is not None:
        assert body == read_asset("favicon.ico")[part]


@pytest.mark.parametrize(
    "tail", ["nothing", "bootstrap/", "a/favicon.ico", "%2e%2e/static_files.py"]
)
def test_there_is_nothing_else(plane: LivePlane, tail: str) -> None:
    head, body = ask(plane, f"/seaweedfsstatic/{tail}")
    assert head[0] == "HTTP/1.1 404 Not Found" and body == b"404 page not found\n"
    assert not any(line.startswith("Server") for line in head)


def test_the_directory_lists_its_files_and_is_found_without_its_slash(plane: LivePlane) -> None:
    head, body = ask(plane, "/seaweedfsstatic/")
    assert head[0] == "HTTP/1.1 200 OK" and b'<a href="favicon.ico">favicon.ico</a>' in body
    head, _ = ask(plane, "/seaweedfsstatic?a=b")
    assert head[0] == "HTTP/1.1 307 Temporary Redirect"
    assert "Location: /seaweedfsstatic/?a=b" in head


def test_the_icons_are_those_that_the_tool_draws() -> None:
    path = Path(__file__).parents[2] / "tools" / "artwork.py"
    spec = importlib.util.spec_from_file_location("artwork", path)
    assert spec is not None and spec.loader is not None
    artwork = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(artwork)
    stored = opened(read_asset("seaweed50x50.png"))
    assert ImageChops.difference(stored.convert("RGBA"), artwork.icon(50)).getbbox() is None
    with io.BytesIO(read_asset("favicon.ico")) as file:
        from PIL import IcoImagePlugin

        assert set(IcoImagePlugin.IcoImageFile(file).info["sizes"]) == set(artwork.ICON_SIZES)
