"""Filter, order and pages of the list of volumes."""

from __future__ import annotations

import pytest
from ui_kit import busy_state, troubled_state, volume_row

from fastvol.http.query import parse_query
from fastvol.http.ui_table import SORT_KEYS, Selection, listed
from fastvol.limits import STATUS_PAGE_VOLUMES


def selected(query: str) -> Selection:
    return Selection.of(parse_query(query.encode()))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "sort=nothing&order=up&page=x",
        "page=0",
        "page=-1",
        "page=%F0%9D%9F%99",
        "page=" + "9" * 50,
    ],
)
def test_nonsense_selects_what_one_gets_at_first(query: str) -> None:
    assert selected(query) == Selection()


@pytest.mark.parametrize("key", SORT_KEYS)
@pytest.mark.parametrize("descending", [False, True])
def test_every_column_orders_the_list(key: str, descending: bool) -> None:
    rows = troubled_state().volumes
    shown = listed(rows, Selection(sort=key, descending=descending)).rows
    values = [SORT_KEYS[key](row) for row in shown]
    assert values == sorted(values, reverse=descending) and len(shown) == len(rows)


def test_pages_hold_everything_once() -> None:
    rows = busy_state(2 * STATUS_PAGE_VOLUMES + 1).volumes
    pages = [listed(rows, Selection(page=page)) for page in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [STATUS_PAGE_VOLUMES, STATUS_PAGE_VOLUMES, 1]
    assert [row.id for page in pages for row in page.rows] == [row.id for row in rows]
    assert [page.first for page in pages] == [
        1,
        STATUS_PAGE_VOLUMES + 1,
        2 * STATUS_PAGE_VOLUMES + 1,
    ]
    assert listed(rows, Selection(page=99)).page == 3


def test_words_are_ids_and_parts_of_names() -> None:
    rows = [
        volume_row(1, collection="Pictures"),
        volume_row(12, collection="pictures"),
        volume_row(3, state="read-only", collection=""),
    ]
    for words, ids in (
        ("1", [1]), ("PICT", [1, 12]), ("pict 12", [12]), ("read", [3]), ("nothing", []), ("", [1, 3, 12]),
    ):  # fmt: skip
        assert [row.id for row in listed(rows, Selection(words=words)).rows] == ids
    assert listed(rows, Selection(words="nothing")).first == 0


def test_links_keep_what_they_do_not_change() -> None:
    selection = selected("q=a+b%26%22&sort=size&order=desc&page=3")
    assert selection.link() == "?q=a+b%26%22&sort=size&order=desc&page=3"
    assert selection.link(page=1) == "?q=a+b%26%22&sort=size&order=desc"
    assert Selection().link() == "?"
    assert Selection(words="\udcff").link()
