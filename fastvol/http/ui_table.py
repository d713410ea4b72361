"""Which volumes of the status page's list are shown, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from fastvol.limits import STATUS_PAGE_VOLUMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastvol.http.query import Query
    from fastvol.http.ui_state import VolumeRow

SORT_KEYS: Final[dict[str, Callable[[VolumeRow], Any]]] = {
    "id": lambda row: row.id,
    "collection": lambda row: row.collection,
    "disk": lambda row: (row.disk_type, row.disk_id),
    "size": lambda row: row.size,
    "files": lambda row: row.files,
    "trash": lambda row: (row.trash, row.trash_files),
    "ttl": lambda row: row.ttl_minutes,
    "state": lambda row: row.state,
    "version": lambda row: row.version,
    "map": lambda row: row.map_kind,
    "modified": lambda row: row.modified,
}
_PAGE_DIGITS_MAX: Final = 9
_FILTER_CHARACTERS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """What a visitor asks for; anything that makes no sense is what he gets at first."""

    sort: str = "id"
    descending: bool = False
    page: int = 1
    words: str = ""

    @classmethod
    def of(cls, query: Query) -> Selection:
        """From the URL."""
        page = query.get("page", "")
        good = page.isascii() and page.isdigit() and len(page) <= _PAGE_DIGITS_MAX
        return cls(
            sort=query["sort"] if query.get("sort") in SORT_KEYS else "id",
            descending=query.get("order") == "desc",
            page=max(1, int(page)) if good else 1,
            words=query.get("q", "").strip()[:_FILTER_CHARACTERS_MAX],
        )

    def link(self, **changes: object) -> str:
        """The URL of another selection, relative to the page; empty values are left out."""
        order = "desc" if self.descending else ""
        values = {"q": self.words, "sort": self.sort, "order": order, "page": self.page, **changes}
        shown = {
            name: value
            for name, value in values.items()
            if value and (name, value) not in (("sort", "id"), ("page", 1))
        }
        return "?" + urlencode(shown, errors="replace")


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of the list; ``first`` counts from 1, 0 when there is nothing."""

    rows: tuple[VolumeRow, ...]
    found: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """Place of the first row among those found."""
        return (self.page - 1) * STATUS_PAGE_VOLUMES + 1 if self.rows else 0


def listed(rows: Sequence[VolumeRow], selection: Selection) -> Listed:
    """The rows that a selection shows."""
    found = [row for row in rows if _matches(row, selection.words.casefold())]
    key = SORT_KEYS[selection.sort]
    found.sort(key=lambda row: row.id)
    found.sort(key=key, reverse=selection.descending)
    pages = max(1, -(-len(found) // STATUS_PAGE_VOLUMES))
    page = min(selection.page, pages)
    start = (page - 1) * STATUS_PAGE_VOLUMES
    return Listed(tuple(found[start : start + STATUS_PAGE_VOLUMES]), len(found), page, pages)


def _matches(row: VolumeRow, words: str) -> bool:
    """Every word is the id, or in the collection, the state, the disk type or the map's name."""
    if not words:
        return True
    texts = (row.collection.casefold(), row.state, row.disk_type, row.map_kind.casefold(), row.ttl)
    return all(word == str(row.id) or any(word in text for text in texts) for word in words.split())
