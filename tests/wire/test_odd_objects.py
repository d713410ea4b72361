"""Objects whose own words about themselves make little sense."""

from __future__ import annotations

import json

from fastvol.http.go_text import to_bytes
from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import SMALL, get, post

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


def test_a_manifest_of_less_than_nothing_is_an_error(plane: LivePlane) -> None:
    """A negative length would be no HTTP; what follows on the connection is answered."""
    manifest = {"size": 1, "chunks": [{"fid": "1,100001234", "size": -5}]}
    data = to_bytes(json.dumps(manifest))
    target = b"/1,5300001234"
    upload = b"PUT %b?cm=true HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b"
    plane.exchange(upload % (target, len(data), data))
    for method, status in ((b"GET", b"500"), (b"HEAD", b"200")):
        with plane.connect() as sock:
            sock.sendall(method + b" " + target + b" HTTP/1.1\r\nHost: t\r\n\r\n" + get())
            reader = Reader(sock)
            first, second = reader.response(head_only=method == b"HEAD"), reader.response()
        assert first is not None and first.startswith(b"HTTP/1.1 " + status)
        assert b"Content-Length: -" not in first
        assert second is not None and second.endswith(SMALL)


def test_an_empty_encoding_is_none(plane: LivePlane) -> None:
    """Several ranges then have a length of their own, among the other headers."""
    request = (
        b"GET /1,100001234?response-content-encoding= HTTP/1.1\r\nHost: t\r\n"
        b"Range: bytes=0-1,4-5\r\n\r\n"
    )
    head = head_of(plane, request)
    assert b" 206 " in head and b"\r\nContent-Encoding: \r\n" in head
    assert head.index(b"\r\nContent-Length: ") < head.index(b"\r\nContent-Type: ")
