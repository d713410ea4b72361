"""``/ui/index.html``: what an operator looks at (weed/server/volume_server_handlers_ui.go).

``?format=json`` gives the same as data. Going through thousands of volumes takes its time, so all of
it happens in a thread.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Final

from fastvol.http.query import parse_query
from fastvol.http.response import Response
from fastvol.http.ui_render import PageRenderer
from fastvol.http.ui_table import Selection, listed

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fastvol.http.blocking import RunBlocking
    from fastvol.http.request import Request
    from fastvol.http.ui_state import ServerState, StateTaker
    from fastvol.http.ui_table import Listed

PATH: Final = "/ui/index.html"


class StatusPage:
    """Answers requests for the page, whatever their method."""

    def __init__(self, taker: StateTaker, run_blocking: RunBlocking) -> None:
        self._taker = taker
        self._run_blocking = run_blocking
        self._renderer = PageRenderer()

    def answer(self, request: Request) -> Awaitable[Response]:
        """The page, or its data."""
        query = parse_query(request.target.raw_query)
        selection, as_json = Selection.of(query), query.get("format") == "json"
        return self._run_blocking(lambda: self._make(selection, as_json=as_json))

    def _make(self, selection: Selection, *, as_json: bool) -> Response:
        state = self._taker.take()
        listing = listed(state.volumes, selection)
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": self._renderer.policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        if as_json:
            headers["Content-Type"] = "application/json"
            body = json.dumps(_as_data(state, listing)).encode()
        else:
            headers["Content-Type"] = "text/html; charset=utf-8"
            body = self._renderer.page(state, selection, listing)
        headers["Content-Length"] = str(len(body))
        return Response(200, headers, body)


def _as_data(state: ServerState, listing: Listed) -> dict[str, object]:
    data = dataclasses.asdict(dataclasses.replace(state, volumes=listing.rows))
    activity = state.activity
    if activity is not None:
        data["activity"] = {
            "totals": activity.totals._asdict(),
            "minute": [rates._asdict() for rates in activity.minute],
            "hour": [rates._asdict() for rates in activity.hour],
        }
    data |= {
        "volumes_all": len(state.volumes),
        "volumes_found": listing.found,
        "page": listing.page,
        "pages": listing.pages,
    }
    return data
