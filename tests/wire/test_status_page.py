"""The status page as a client and as a browser see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_kit import opened
from ui_kit import troubled_state

from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.http.ui import PATH, StatusPage
from fastvol.http.ui_state import ServerState, StateTaker
from fastvol.limits import STATUS_PAGE_CACHE_SECONDS
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store
from tests.wire.live_plane import LivePlane

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
BROWSER_SECONDS_MAX = 60


@pytest.fixture(name="store", scope="module")
def store_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory = tmp_path_factory.mktemp("data")
    store = Store(StoreOptions("127.0.0.1", 8080, (LocationOptions(directory, 8),)))
    store.load()
    store.add_volume(7, "pictures", ReplicaPlacement.parse("000"), TTL.parse("3d"))
    store.add_volume(8, "", ReplicaPlacement.parse("000"), TTL.parse(""))
    store.mark_volume_read_only(8, can_delete=False, persist=False)
    yield store
    store.close()


@pytest.fixture(name="site", scope="module")
def site_fixture(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    taker = StateTaker(store, "127.0.0.1:8080", ("127.0.0.1:9333",), 5)
    with LivePlane(
        tmp_path_factory.mktemp("plane"), exact=lambda run: {PATH: StatusPage(taker, run).answer}
    ) as plane:
        yield plane


class InTrouble(StateTaker):
    """Shows a server with every problem there is."""

    def take(self) -> ServerState:
        return troubled_state()


def ask(plane: LivePlane, target: str = PATH, method: str = "GET") -> tuple[dict[str, str], bytes]:
    head, _, body = plane.exchange(
        f"{method} {target} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
    ).partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    assert start == "HTTP/1.1 200 OK"
    return dict(line.split(": ", 1) for line in lines), body


def test_the_page_over_http(site: LivePlane) -> None:
    headers, body = ask(site)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store" and "X-Amz-Request-Id" in headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert b"volume" in body.lower() and b"pictures" in body and b"127.0.0.1:9333" in body
    assert b"marked read-only by an operator" in body
    bare, nothing = ask(site, method="HEAD")
    assert nothing == b"" and int(bare["Content-Length"]) > 10_000


def test_the_page_as_data(site: LivePlane) -> None:
    headers, body = ask(site, f"{PATH}?format=json&q=pictures")
    assert headers["Content-Type"] == "application/json"
    data = json.loads(body)
    assert [volume["id"] for volume in data["volumes"]] == [7] and data["volumes_all"] == 2
    assert data["volumes"][0]["ttl"] == "3d" and data["volumes"][0]["map_kind"] == "memory"
    assert data["disks"][0]["volumes"] == 2 and data["activity"] is None


def test_what_is_new_is_shown_after_a_moment(site: LivePlane, store: Store) -> None:
    """Many visitors share one look at the volumes, but not for long."""
    ask(site)
    store.stopping = True
    try:
        time.sleep(STATUS_PAGE_CACHE_SECONDS + 0.1)
        assert b"The server is stopping." in ask(site)[1]
    finally:
        store.stopping = False


def test_other_ports_and_paths_have_no_page(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        reply = plane.exchange(f"GET {PATH} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        assert reply.startswith(b"HTTP/1.1 400")


def browse(plane: LivePlane, home: Path, *arguments: str) -> str:
    """What the browser prints; its profile is thrown away."""
    done = subprocess.run(
        [
            *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--enable-logging=stderr", f"--user-data-dir={home}", *arguments),
            f"http://127.0.0.1:{plane.port}{PATH}",
        ],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=BROWSER_SECONDS_MAX,
        check=True,
    )
    assert "Content Security Policy" not in done.stderr, done.stderr
    assert "Uncaught" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(not BROWSER, reason="no Chromium is installed")
def test_a_browser_shows_it_and_runs_nothing_foreign(store: Store, tmp_path: Path) -> None:
    """Its own script runs (the pause button appears), names with markup in them do not."""
    taker = InTrouble(store, "", (), 5)
    with LivePlane(tmp_path, exact=lambda run: {PATH: StatusPage(taker, run).answer}) as plane:
        dom = browse(plane, tmp_path / "profile", "--dump-dom")
        assert '<button id="pause" type="button">Pause</button>' in dom
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in dom and dom.count("<script") == 1
        for width in (1280, 500):
            picture = tmp_path / f"{width}.png"
            size = f"--window-size={width},1400"
            browse(plane, tmp_path / "profile", size, f"--screenshot={picture}")
            image = opened(picture.read_bytes()).convert("RGB")
            assert image.size == (width, 1400)
            colors = image.getcolors(1 << 20)
            assert colors is not None and len(colors) > 100
