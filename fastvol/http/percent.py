"""Percent escapes, as URLs and RFC 2231 parameters have them."""

import re
from typing import Final

_PAIR: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD: Final = re.compile(rb"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)


def bad_escape(raw: bytes) -> bytes:
    """The first percent sign that starts no escape, with up to two bytes behind it; else empty."""
    bad = _BAD.search(raw)
    return bad[0] if bad else b""


def decode_escapes(raw: bytes) -> bytes:
    """``raw`` with its escapes decoded; what is no escape stays as it is."""
    return _PAIR.sub(lambda pair: bytes((int(pair[1], 16),)), raw)
