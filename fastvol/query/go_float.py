"""Numbers as Go's ``strconv.ParseFloat`` reads them."""

from __future__ import annotations

import re
from typing import Final

_DECIMAL: Final = re.compile(
    rb"[+-]?(?:\d++(?:_\d++)*+\.?(?:\d++(?:_\d++)*+)?|\.\d++(?:_\d++)*+)(?:[eE][+-]?\d++(?:_\d++)*+)?"
)
_HEXADECIMAL: Final = re.compile(
    rb"[+-]?0[xX](?:_?[0-9a-fA-F])*+\.?(?:_?[0-9a-fA-F])*+[pP][+-]?\d++(?:_\d++)*+"
)
_NAMES: Final = re.compile(rb"[+-]?inf(?:inity)?|nan", re.IGNORECASE)


def go_float(text: bytes) -> float:
    """The double nearest to ``text``, which may be infinite; 0 when it is no number."""
    if _NAMES.fullmatch(text):
        return float(text)
    if _DECIMAL.fullmatch(text):
        return float(text.replace(b"_", b""))
    if _HEXADECIMAL.fullmatch(text):
        return _hexadecimal(text.replace(b"_", b"").decode())
    return 0.0


def _hexadecimal(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return float("-inf" if text.startswith("-") else "inf")
    except ValueError:  # without a digit
        return 0.0
