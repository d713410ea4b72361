"""One HTTP request at a time, and the whole answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

HOST: Final = "127.0.0.1"
CALL_SECONDS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; header names are lower case here."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    port: int,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request on a connection of its own; nothing is added but Host and Content-Length."""
    connection = http.client.HTTPConnection(HOST, port, timeout=CALL_SECONDS_MAX)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        connection.close()


def get(port: int, target: str, **headers: str) -> Reply:
    """GET; header names are given with underscores."""
    return request(
        port, "GET", target, None, {name.replace("_", "-"): v for name, v in headers.items()}
    )


def put(port: int, fid: str, data: bytes, **headers: str) -> Reply:
    """PUT of an object, of no particular type unless a header says so."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Content-Type", "application/octet-stream")
    return request(port, "PUT", f"/{fid}", data, given)
