"""Reads of volumes that other servers hold (weed/server/volume_server_handlers_read.go:
proxyReqToTargetServer).

A proxy asks the other server in the client's words and passes on what it answers; a redirect sends
the client there.  Whoever sent a read here may be wrong about where the volume is, and so may this
server be.  A read that was sent on is therefore sent further only by what the master says now, never
by what it said before, no read is sent to this server itself, and one that came through several
servers goes no further.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus

from fastvol.errors import MasterError, PeerError
from fastvol.http.go_text import to_bytes, to_text
from fastvol.http.headers import canonical_name
from fastvol.http.hops import hops_so_far
from fastvol.http.query import parse_query, parse_query_all, redirect_body
from fastvol.http.response import Response
from fastvol.limits import PROXY_HOPS_MAX
from fastvol.observability.counts import Event, Total

if TYPE_CHECKING:
    from fastvol.cluster.locations import VolumeLocations
    from fastvol.cluster.peer_http import PeerHttp, PeerResponse
    from fastvol.http.file_path import UrlPath
    from fastvol.http.request import Request
    from fastvol.observability.counts import Counts

log = logging.getLogger(__name__)

_HOPS_HEADER: Final = "X-Fastvol-Hops"
_NOT_SENT_ON: Final = frozenset(
    (
        *(b"host", b"content-length", b"transfer-encoding", b"trailer", b"expect"),
        _HOPS_HEADER.lower().encode(),
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"),
    )
)
"""Of the client's head: what speaks of its own connection, and of a body that is not sent."""
_NOT_PASSED_BACK: Final = frozenset(
    (b"server", b"connection", b"keep-alive", b"transfer-encoding", b"trailer", b"upgrade")
)
_HTML: Final = "text/html; charset=utf-8"


class ProxiedBody:
    """The body of another server's answer on its way through."""

    def __init__(self, answer: PeerResponse, first: bytes) -> None:
        self.length = answer.length
        self.first = first
        self._waiting = first
        self._answer = answer

    async def read(self) -> bytes:
        """See :class:`fastvol.http.response.StreamBody`."""
        waiting, self._waiting = self._waiting, b""
        return waiting or await self._answer.read()

    def close(self) -> None:
        """See :class:`fastvol.http.response.StreamBody`."""
        self._answer.close()


class Elsewhere:
    """Answers reads through other servers; belongs to the data plane's loop."""

    def __init__(
        self, own_address: str, locations: VolumeLocations, peers: PeerHttp, counts: Counts
    ) -> None:
        """``own_address`` is ``ip:port``, by which the master knows this server."""
        self._own_address = own_address
        self._locations = locations
        self._peers = peers
        self._counts = counts

    async def answer(
        self, request: Request, path: UrlPath, volume_id: int, *, proxy: bool
    ) -> Response:
        """What another server has to say, or where it is; 404 when there is none."""
        was_sent_on = parse_query(request.target.raw_query).get("proxied") == "true"
        hops = hops_so_far(request.headers, _HOPS_HEADER, PROXY_HOPS_MAX)
        if hops >= PROXY_HOPS_MAX:
            log.error("%s came through %d servers, and is not here", request.path, hops)
            return self._nowhere()
        address = await self._choose(volume_id, afresh=was_sent_on)
        if address is None:
            return Response(404)
        if proxy:
            return await self._proxied(request, address, hops)
        return self._redirected(request, path, address)

    async def _choose(self, volume_id: int, *, afresh: bool) -> str | None:
        ask = self._locations.fresh if afresh else self._locations.recent
        try:
            known = list(await ask(volume_id))
        except MasterError as error:
            log.debug("locations of volume %d: %s", volume_id, error)
            known = []
        if not known:
            self._counts.add(Total.INVALID_NEEDLES, Total.READ_FAILURES, Event.GET_NOT_FOUND)
            return None
        random.shuffle(known)
        for location in known:
            if self._own_address not in location.url:
                return location.url
        self._nowhere()
        return None

    def _nowhere(self) -> Response:
        self._counts.add(Event.EMPTY_READ_PROXY, Event.GET_NOT_FOUND, Total.READ_FAILURES)
        return Response(404)

    # --- proxy ----------------------------------------------------------------------------------

    async def _proxied(self, request: Request, address: str, hops: int) -> Response:
        self._counts.add(Event.READ_PROXY)
        headers = [
            (to_text(name), to_text(value))
            for name, value in request.headers.raw
            if name.lower() not in _NOT_SENT_ON
        ]
        headers.append((_HOPS_HEADER, str(hops + 1)))
        try:
            answer = await self._peers.request(
                "GET", address, _proxied_target(request), headers=headers, follow=True
            )
        except PeerError as error:
            self._counts.add(Event.FAILED_READ_PROXY, Event.GET_INTERNAL, Total.READ_FAILURES)
            log.error("failed to proxy %s to %s: %s", request.path, address, error)
            return Response(500)
        response = _headed(answer)
        first = b""
        if request.method != "HEAD" and "Content-Type" not in response.headers:
            try:
                first = await answer.read()
            except PeerError as error:
                log.error("failed to proxy %s to %s: %s", request.path, address, error)
                answer.close()
                return Response(500)
        response.body = ProxiedBody(answer, first)
        return response

    # --- redirect -------------------------------------------------------------------------------

    def _redirected(self, request: Request, path: UrlPath, address: str) -> Response:
        self._counts.add(Event.READ_REDIRECT)
        collection = parse_query(request.target.raw_query).get("collection", "")
        kept = {"collection": collection} if collection else {}
        query = _form_encoded({**kept, "proxied": "true"})
        location = f"{self._peers.scheme}://{address}/{path.vid},{path.fid}?{query}"
        response = Response(301, {"Location": location, "Content-Type": _HTML})
        if request.method == "GET":
            response.body = redirect_body(location, "Moved Permanently")
        return response


def _proxied_target(request: Request) -> bytes:
    """The request's own path; its query in Go's spelling, marked as one that was handed on."""
    values = parse_query_all(request.target.raw_query)
    values["proxied"] = ["true"]
    pairs = [f"{_quoted(key)}={_quoted(value)}" for key in sorted(values) for value in values[key]]
    return request.target.escaped_path + b"?" + "&".join(pairs).encode()


def _form_encoded(values: dict[str, str]) -> str:
    return "&".join(f"{_quoted(key)}={_quoted(values[key])}" for key in sorted(values))


def _quoted(text: str) -> str:
    """net/url: QueryEscape."""
    return quote_plus(to_bytes(text), safe="~")


def _headed(answer: PeerResponse) -> Response:
    """A response with the fields of another server's.

    Those that this server gives by itself come twice, as with upstream's proxy.
    """
    response = Response(answer.status)
    more = []
    for raw_name, raw_value in answer.raw_headers:
        if raw_name.lower() in _NOT_PASSED_BACK:
            continue
        name, value = to_text(canonical_name(raw_name)), to_text(raw_value)
        if name in response.headers or name in _OURS_TOO:
            more.append((name, value))
        else:
            response.headers[name] = value
    response.more_headers = more
    return response


_OURS_TOO: Final = frozenset(
    (
        "X-Amz-Request-Id",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
    )
)
