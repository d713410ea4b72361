"""The status page's HTML: well-formed, escaped, accessible, complete."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from ui_kit import busy_state, empty_state, troubled_state

from fastvol.http.ui import _as_data
from fastvol.http.ui_render import PageRenderer
from fastvol.http.ui_state import ServerState
from fastvol.http.ui_table import Selection, listed
from fastvol.limits import STATUS_PAGE_DAMAGED_MAX
from fastvol.store.loading import DamagedVolume

VOID = {"meta", "link", "img", "input", "br"}
SELF_CLOSED = {"rect", "polyline", "polygon"}


class Page(HTMLParser):
    """Elements and texts; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SELF_CLOSED
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


RENDERER = PageRenderer()
STATES = {"empty": empty_state, "busy": busy_state, "troubled": troubled_state}


def page_of(state: ServerState, selection: Selection | None = None) -> Page:
    chosen = selection or Selection()
    return Page(RENDERER.page(state, chosen, listed(state.volumes, chosen)).decode())


@pytest.fixture(name="page", params=STATES)
def page_fixture(request: pytest.FixtureRequest) -> Page:
    return page_of(STATES[request.param]())


def test_it_is_one_accessible_document(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
    ids = Counter(found["id"] for _, found in page.elements if "id" in found)
    assert max(ids.values()) == 1
    for found in page.all("th"):
        assert found.get("scope") in ("col", "row")
    for found in page.all("svg"):
        assert found.get("role") == "img" and found.get("aria-label")
    for found in page.all("img"):
        assert "alt" in found
    labels = {found["for"] for found in page.all("label")}
    fields = {found["id"] for found in page.all("input") if found.get("type") != "hidden"}
    assert fields == labels
    assert len([head for head in page.all("th") if "aria-sort" in head]) == 1
    for _, found in page.elements:
        named = (found.get("aria-labelledby") or "").split()
        assert all(name in ids for name in named)


def test_nothing_comes_from_elsewhere_and_only_hashed_code_runs(page: Page) -> None:
    for _, found in page.elements:
        assert "style" not in found and not any(name.startswith("on") for name in found)
        for name in ("src", "href"):
            assert not re.match(r"https?:|//|data:|javascript:", found.get(name) or "")
    assert len(page.all("script")) == len(page.all("style")) == 1
    for kind in ("script", "style"):
        digest = b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in RENDERER.policy
    assert "default-src 'none'" in RENDERER.policy and "unsafe" not in RENDERER.policy


def test_a_busy_server_shows_everything() -> None:
    page, state = page_of(busy_state()), busy_state()
    for words in (
        "Volume server 10.0.4.17:8080", "SeaweedFS 8000GB 4.48 fastvol", "Healthy", "System Stats",
        "Disk Stats", "/srv/disk0", "68.92%", "Volumes 40", "10.0.4.1:9333, 10.0.4.2:9333", "3d 2h",
        "Last minute", "Last hour", "184,223,912 since the start", "thumbnails", "12h", "memory",
    ):  # fmt: skip
        assert words in page.text, words
    assert len([found for found in page.all("svg") if found.get("class") == "chart"]) == 8
    rows = len(state.volumes) + len(state.disks) + 2
    assert len(page.all("tr")) == rows
    assert "Erasure" not in page.text and "Remote" not in page.text and "Damaged" not in page.text


def test_a_server_in_trouble_says_so() -> None:
    page = page_of(troubled_state())
    for words in (
        "Not healthy", "The server is stopping.", "2 volumes are damaged and not served",
        "/srv/disk0 is low on space", "/srv/<nvme>&1 : its file system does not answer", "Low space",
        "No answer", "Read-only marked read-only by an operator, 9d ago", "Deletes only", "Quarantined",
        "Unavailable", "Vacuuming", "Remote Volumes", "a/'\"<i>.dat", "Erasure Coding Shards",
        "13: 3.00 GiB", "Damaged Volumes", "its super block is of version 9", "it is <b>cut off</b>",
        "<script>alert(1)</script>\"'&",
    ):  # fmt: skip
        assert words in page.text, words


def test_without_counters_there_are_no_rates() -> None:
    page = page_of(empty_state())
    assert "Last minute" not in page.text and "Activity" not in page.text
    assert "There are no volumes yet." in page.text and "none: a single node" in page.text


def test_what_a_visitor_asked_for_is_shown_escaped() -> None:
    words = "\"><script>x</script>'\udcff"
    page = page_of(busy_state(), Selection(words=words, sort="size", descending=True))
    assert len(page.all("script")) == 1 and "No volume fits." in page.text
    (field,) = [found for found in page.all("input") if found.get("name") == "q"]
    assert (field["value"] or "").startswith("\"><script>x</script>'")


def test_columns_sort_without_scripts() -> None:
    links = [found["href"] for found in page_of(busy_state()).all("a") if "data-go" in found]
    assert "?sort=size" in links and "?order=desc" in links
    sorted_page = page_of(busy_state(), Selection(sort="size", descending=True))
    (head,) = [found for found in sorted_page.all("th") if "aria-sort" in found]
    assert head["aria-sort"] == "descending"


def test_thousands_of_volumes_stay_a_small_page() -> None:
    state, chosen = busy_state(5000), Selection(page=2)
    text = RENDERER.page(state, chosen, listed(state.volumes, chosen))
    assert len(text) < 300_000
    page = Page(text.decode())
    assert "201–400 of 5,000" in page.text and "Page 2 of 25" in page.text


def test_thousands_of_damaged_volumes_are_counted() -> None:
    damaged = tuple(
        DamagedVolume(f"/d/{n}", "why", 1.0) for n in range(STATUS_PAGE_DAMAGED_MAX + 5)
    )
    assert "and 5 more" in page_of(replace(empty_state(), damaged=damaged)).text


def test_the_same_as_data() -> None:
    state = troubled_state()
    data = json.loads(
        json.dumps(_as_data(state, listed(state.volumes, Selection(words="quarantined"))))
    )
    assert [volume["id"] for volume in data["volumes"]] == [3]
    assert (data["volumes_all"], data["volumes_found"], data["pages"]) == (30, 1, 1)
    assert data["volumes"][0]["reasons"][0]["words"].startswith("its index ends")
    assert data["activity"]["totals"]["reads"] == 184_223_912
    assert data["disks"][1]["failed"] is True and data["damaged"][0]["path"].endswith("pictures_77")
