"""The status page as HTML: a template, and the parts that go into it.

Everything that comes from outside (paths, collections, reasons, the URL) is escaped where it is put
in. Nothing is styled by attributes: the page's security policy allows its one style sheet and its one
script by their hashes, and nothing else.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from string import Template
from typing import TYPE_CHECKING, Final

from fastvol.http.static_files import read_asset
from fastvol.http.ui_format import (
    ago,
    bar,
    chart,
    clock_text,
    count_text,
    duration_text,
    rate_text,
    size_text,
)
from fastvol.http.ui_state import WRITABLE
from fastvol.limits import ACTIVITY_NOTES, STATUS_PAGE_DAMAGED_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastvol.http.ui_state import DiskRow, ServerState, ShardsRow, VolumeRow
    from fastvol.http.ui_table import Listed, Selection
    from fastvol.observability.activity import ActivityReport, Rates
    from fastvol.store.loading import DamagedVolume

_COLUMNS: Final = (
    ("id", "Id", "number"),
    ("collection", "Collection", ""),
    ("disk", "Disk", ""),
    ("size", "Data Size", "number"),
    ("files", "Files", "number"),
    ("trash", "Trash", "number"),
    ("ttl", "TTL", ""),
    ("state", "State", ""),
    ("version", "Version", "number"),
    ("map", "Map", ""),
    ("modified", "Changed", ""),
)
_FULL_SHARE: Final = 0.9
_DISK_FULL_PERCENT: Final = 90


class PageRenderer:
    """Puts states into the template; the assets are read once."""

    def __init__(self) -> None:
        self._template = Template(read_asset("status.html").decode())
        self._style = read_asset("status.css").decode()
        self._script = read_asset("status.js").decode()
        self.policy = (
            f"default-src 'none'; img-src 'self'; connect-src 'self'; form-action 'self'; "
            f"base-uri 'none'; frame-ancestors 'none'; "
            f"style-src {_hash_source(self._style)}; script-src {_hash_source(self._script)}"
        )
        """Value of the Content-Security-Policy header."""

    def page(self, state: ServerState, selection: Selection, listing: Listed) -> bytes:
        """The whole page."""
        text = self._template.substitute(
            title=escape(f"SeaweedFS {state.version} · volume server {state.address}"),
            style=self._style,
            script=self._script,
            address=escape(state.address),
            version=escape(state.version),
            state=_state_pill(state),
            notices=_notices(state),
            tiles=_tiles(state),
            activity=_activity(state.activity),
            disks="".join(_disk(disk) for disk in state.disks),
            words=escape(selection.words),
            sort=escape(selection.sort),
            order="desc" if selection.descending else "",
            heads="".join(_head(selection, *column) for column in _COLUMNS),
            volumes=_volumes(state, listing),
            listing=_listing_text(selection, listing),
            pager=_pager(selection, listing),
            remote=_remote(state.volumes),
            shards=_shards(state),
            damaged=_damaged(state),
            taken=f'<time datetime="{int(state.taken)}">{clock_text(state.taken)}</time>',
        )
        return text.encode("utf-8", "replace")


def _hash_source(content: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


# --- the server ---------------------------------------------------------------------------------


def _state_pill(state: ServerState) -> str:
    if state.healthy:
        return _pill("good", "Healthy")
    return _pill("bad", "Not healthy")


def _pill(kind: str, words: str) -> str:
    return f'<span class="pill {kind}">{escape(words)}</span>'


def _notices(state: ServerState) -> str:
    found = [("note", escape(words)) for words in state.notices]
    if state.damaged:
        count = len(state.damaged)
        words = "1 volume is" if count == 1 else f"{count_text(count)} volumes are"
        found.append(("bad", f'{words} damaged and not served: <a href="#damaged">see why</a>.'))
    for disk in state.disks:
        where = f"<code>{escape(disk.directory)}</code>"
        if disk.failed:
            found.append(("bad", f"{where}: its file system does not answer."))
        elif disk.low:
            found.append(("warn", f"{where} is low on space: its volumes take no writes."))
    return "".join(f'<p class="notice {kind}">{words}</p>' for kind, words in found)


def _tiles(state: ServerState) -> str:
    volumes = state.volumes
    room = sum(disk.volumes_max for disk in state.disks)
    trash = sum(row.trash for row in volumes)
    size = sum(row.size for row in volumes)
    share = f"{100 * trash / size:.1f} % of what was written" if size else "nothing written yet"
    closed = sum(row.state != WRITABLE for row in volumes)
    detail = f"room for {count_text(room)}" + (f", {count_text(closed)} closed" if closed else "")
    masters = ", ".join(escape(master) for master in state.masters) or "none: a single node"
    return "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{small}</small></dd></div>"
        for name, value, small in (
            ("Volumes", count_text(len(volumes)), detail),
            ("Files", count_text(sum(row.files for row in volumes)), "deleted ones included"),
            ("Data Size", size_text(size), "deleted data included"),
            ("Trash", size_text(trash), share),
            ("Up Time", duration_text(state.uptime), f"since {clock_text(state.started)}"),
            ("Masters", f'<span class="masters">{masters}</span>', ""),
        )
    )


# --- activity -----------------------------------------------------------------------------------

_SERIES: Final[tuple[tuple[str, Callable[[Rates], float], Callable[[float], str]], ...]] = (
    ("Reads", lambda rates: rates.reads, rate_text),
    ("Writes and Deletes", lambda rates: rates.writes + rates.deletes, rate_text),
    ("Sent", lambda rates: rates.bytes_sent, size_text),
    ("Received", lambda rates: rates.bytes_received, size_text),
)


def _activity(report: ActivityReport | None) -> str:
    if report is None:
        return ""
    totals = report.totals
    since = (
        count_text(totals.reads),
        count_text(totals.writes + totals.deletes),
        size_text(totals.bytes_sent),
        size_text(totals.bytes_received),
    )
    cards = []
    for (name, value_of, text_of), total in zip(_SERIES, since, strict=True):
        minute = [value_of(rates) for rates in report.minute]
        hour = [value_of(rates) for rates in report.hour]
        now = text_of(minute[-1] if minute else 0)
        cards.append(
            f'<div class="card"><h3>{name}</h3><p class="figure">{now}<small>/s</small></p>'
            f"{_charted('Last minute', minute, name, text_of)}"
            f"{_charted('Last hour', hour, name, text_of)}"
            f'<p class="total">{total} since the start</p></div>'
        )
    return f'<h2>Activity</h2><div class="cards">{"".join(cards)}</div>'


def _charted(period: str, values: list[float], name: str, text_of: Callable[[float], str]) -> str:
    peak = f"{text_of(max(values, default=0.0))}/s"
    picture = chart(values, ACTIVITY_NOTES, f"{name}, {period.lower()}: at most {peak}")
    return (
        f"<figure>{picture}<figcaption><span>{period}</span><span>max {peak}</span>"
        f"</figcaption></figure>"
    )


# --- disks --------------------------------------------------------------------------------------


def _disk(disk: DiskRow) -> str:
    percent = f"{disk.percent_used:.2f}%"
    kind = "bad" if disk.failed or disk.percent_used >= _DISK_FULL_PERCENT else ""
    kind = "warn" if disk.low and not disk.failed else kind
    usage = bar(disk.percent_used / 100, f"{percent} used", kind)
    state = _pill("quiet", "In use")
    if disk.failed:
        state = _pill("bad", "No answer")
    elif disk.low:
        state = _pill("warn", "Low space")
    return (
        f'<tr><th scope="row"><code>{escape(disk.directory)}</code></th><td>{escape(disk.type)}</td>'
        f'<td class="number">{size_text(disk.total)}</td>'
        f'<td class="number">{size_text(disk.free)}</td>'
        f'<td class="usage"><span class="number">{percent}</span>{usage}</td>'
        f'<td class="number">{count_text(disk.volumes)} / {count_text(disk.volumes_max)}</td>'
        f"<td>{state}</td></tr>"
    )


# --- volumes ------------------------------------------------------------------------------------


def _head(selection: Selection, key: str, name: str, kind: str) -> str:
    sorted_by = selection.sort == key
    descends = sorted_by and not selection.descending
    link = escape(selection.link(sort=key, order="desc" if descends else "", page=1))
    now = "descending" if selection.descending else "ascending"
    aria = f' aria-sort="{now}"' if sorted_by else ""
    return (
        f'<th scope="col" class="{kind}"{aria}>'
        f'<a id="sort-{key}" href="{link}" data-go>{name}</a></th>'
    )


def _volumes(state: ServerState, listing: Listed) -> str:
    if not listing.rows:
        words = "No volume fits." if state.volumes else "There are no volumes yet."
        return f'<tr><td class="nothing" colspan="{len(_COLUMNS)}">{words}</td></tr>'
    several = len(state.disks) > 1
    return "".join(_volume(row, state, several_disks=several) for row in listing.rows)


def _volume(row: VolumeRow, state: ServerState, *, several_disks: bool) -> str:
    limit, fill = state.volume_size_limit, ""
    if limit:
        share = row.file_size / limit
        words = f"{100 * share:.0f} % of the limit of {size_text(limit)}"
        fill = bar(share, words, "full" if share >= _FULL_SHARE else "")
    disk = f"{escape(row.disk_type)} #{row.disk_id}" if several_disks else escape(row.disk_type)
    return (
        f'<tr><th scope="row" class="number">{row.id}</th>'
        f"<td>{escape(row.collection)}</td>"
        f'<td class="kind">{disk}</td>'
        f'<td class="number size">{size_text(row.size)}{fill}</td>'
        f'<td class="number">{count_text(row.files)}</td>'
        f'<td class="number">{count_text(row.trash_files)} / {size_text(row.trash)}</td>'
        f"<td>{escape(row.ttl)}</td>"
        f"<td>{_volume_state(row, state.taken)}</td>"
        f'<td class="number">{row.version}</td>'
        f'<td title="{size_text(row.map_memory)}">{escape(row.map_kind)}</td>'
        f"<td>{ago(row.modified, state.taken)}</td></tr>"
    )


def _volume_state(row: VolumeRow, now: float) -> str:
    kinds = {WRITABLE: "quiet", "quarantined": "bad", "unavailable": "bad"}
    pills = _pill(kinds.get(row.state, "warn"), row.state.capitalize())
    if row.compacting:
        pills += _pill("note", "Vacuuming")
    reasons = "".join(
        f"<li>{escape(reason.words)}, {ago(reason.since, now)}</li>" for reason in row.reasons
    )
    return pills + (f'<ul class="reasons">{reasons}</ul>' if reasons else "")


def _listing_text(selection: Selection, listing: Listed) -> str:
    if not listing.rows:
        return "none"
    last = listing.first + len(listing.rows) - 1
    fitting = " that fit" if selection.words else ""
    if listing.pages == 1:
        return f"{count_text(listing.found)}{fitting}"
    shown = f"{count_text(listing.first)}&ndash;{count_text(last)}"
    return f"{shown} of {count_text(listing.found)}{fitting}"


def _pager(selection: Selection, listing: Listed) -> str:
    if listing.pages == 1:
        return ""

    def step(name: str, words: str, page: int) -> str:
        if page == listing.page or not 1 <= page <= listing.pages:
            return f"<span>{words}</span>"
        link = escape(selection.link(page=page))
        return f'<a id="page-{name}" href="{link}" data-go>{words}</a>'

    return (
        step("first", "First", 1)
        + step("previous", "Previous", listing.page - 1)
        + f"<span>Page {count_text(listing.page)} of {count_text(listing.pages)}</span>"
        + step("next", "Next", listing.page + 1)
        + step("last", "Last", listing.pages)
    )


# --- sections that are there only when there is something in them -------------------------------


def _table(title: str, heads: tuple[tuple[str, str], ...], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in heads)
    return (
        f'<h2>{title}</h2><div class="scroll" role="region" aria-label="{title}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _remote(volumes: Iterable[VolumeRow]) -> str:
    rows = [
        f'<tr><th scope="row" class="number">{row.id}</th><td>{escape(row.collection)}</td>'
        f'<td class="number">{size_text(row.size)}</td>'
        f'<td class="number">{count_text(row.files)}</td>'
        f'<td class="number">{count_text(row.trash_files)} / {size_text(row.trash)}</td>'
        f"<td>{escape(row.remote[0])}</td><td><code>{escape(row.remote[1])}</code></td></tr>"
        for row in volumes
        if row.remote[0]
    ]
    heads = (
        *(("Id", "number"), ("Collection", ""), ("Size", "number"), ("Files", "number")),
        *(("Trash", "number"), ("Remote", ""), ("Key", "")),
    )
    return _table("Remote Volumes", heads, rows) if rows else ""


def _shards(state: ServerState) -> str:
    rows = [_shards_row(row, state.taken) for row in state.shards]
    heads = (
        *(("Id", "number"), ("Collection", ""), ("Total Size", "number"), ("Shards", "")),
        ("Created", ""),
    )
    return _table("Erasure Coding Shards", heads, rows) if rows else ""


def _shards_row(row: ShardsRow, now: float) -> str:
    shards = "".join(
        f'<span class="shard">{number}: {size_text(size)}</span>' for number, size in row.shards
    )
    return (
        f'<tr><th scope="row" class="number">{row.id}</th><td>{escape(row.collection)}</td>'
        f'<td class="number">{size_text(row.size)}</td><td>{shards}</td>'
        f"<td>{ago(row.created, now)}</td></tr>"
    )


def _damaged(state: ServerState) -> str:
    rows = [_damaged_row(volume, state.taken) for volume in state.damaged[:STATUS_PAGE_DAMAGED_MAX]]
    missing = len(state.damaged) - len(rows)
    if missing:
        rows.append(f'<tr><td colspan="3">and {count_text(missing)} more</td></tr>')
    return (
        _table("Damaged Volumes", (("Files", ""), ("Why", ""), ("Since", "")), rows) if rows else ""
    )


def _damaged_row(volume: DamagedVolume, now: float) -> str:
    return (
        f'<tr><th scope="row"><code>{escape(volume.path)}</code></th>'
        f"<td>{escape(volume.reason)}</td><td>{ago(volume.since, now)}</td></tr>"
    )
