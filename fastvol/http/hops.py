"""How far a request has come from server to server, in headers of ours, so that none goes in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastvol.http.headers import Headers

_DIGITS_MAX = 2


def hops_so_far(headers: Headers, name: str, hops_max: int) -> int:
    """What the header says, 0 when it is not there; one that says it oddly has come too far."""
    text = headers.get(name.lower().encode(), b"0")
    return int(text) if len(text) <= _DIGITS_MAX and text.isdigit() else hops_max
