"""Objects whose own words about themselves make little sense."""

from __future__ import annotations

from tests.wire.live_plane import LivePlane
from tests.wire.wire_requests import get, post

NAMED = b'Content-Disposition: inline; filename="1,'


def head_of(plane: LivePlane, request: bytes) -> bytes:
    return plane.exchange(request).partition(b"\r\n\r\n")[0]


def test_an_empty_disposition_does_not_hide_the_name(plane: LivePlane) -> None:
    """Asked for or stored: upstream says the name where the header is empty."""
    plane.exchange(post(0x51, "Content-Length: 5") + b"\x00hell")
    for query in (b"response-content-disposition=", b"dl=0&Response-Content-Disposition"):
        request = b"GET /1,5100001234?" + query + b" HTTP/1.1\r\nHost: t\r\n\r\n"
        assert NAMED in head_of(plane, request)
    own = post(0x52, "Content-Length: 5", "Seaweed-Content-Disposition:") + b"\x00hell"
    plane.exchange(own)
    assert NAMED in head_of(plane, get(0x52))
