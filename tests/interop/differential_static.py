"""Requests of the differential test for the icons. Their bytes differ: the artwork is our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from differential_request import BINARY, Case, message

ICONS: Final = ("/favicon.ico", "/seaweedfsstatic/seaweed50x50.png")


def static_files() -> Iterator[Case]:
    """Files, what is missing, and the directory's name, on both ports."""
    for public in (False, True):
        for target in (*ICONS, "/favicon%2Eico?a=b"):
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
                body = BINARY if method in ("POST", "PUT") else None
                raw = message(method, target, [("Origin", "o")], body)
                yield Case("static", raw, "artwork", public=public)
        for wanted in ("0-9", "-5", "99999-", "x"):
            for method in ("GET", "HEAD"):
                raw = message(method, ICONS[0], [("Range", f"bytes={wanted}")])
                yield Case("static", raw, "artwork", public=public)
        for target in (
            *(
                "/seaweedfsstatic/nothing",
                "/seaweedfsstatic",
                "/seaweedfsstatic?a=b",
                "/favicon.ico/",
            ),
            *(
                "/seaweedfsstatic/../x",
                "/seaweedfsstatic//x",
                "/seaweedfsstati",
            ),
        ):
            for method in ("GET", "HEAD", "POST"):
                yield Case("static", message(method, target), public=public)
