"""JSON as Go's ``encoding/json`` writes it, so that replies are byte for byte upstream's.

Members stand in the order of the dict, which is how a struct is written; a Go map is written with
:func:`sorted_map`. Text may hold lone surrogates (see :mod:`fastvol.http.go_text`).
"""

import json
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Final

from fastvol.http.go_text import to_bytes

_SPECIAL: Final = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_ESCAPES: Final = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


class Float32(float):
    """A float that Go holds in 32 bits: written with the digits that are enough for 32 bits."""


def loads(data: bytes, *, parse_constant: Callable[[str], object] | None = None) -> Any:
    """What ``data`` say; bytes that are not UTF-8 are replaced.

    Raises:
        ValueError: they are no JSON, or nested too deep to be looked into.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"), parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def go_string(text: str) -> str:
    """A text out of :func:`loads` as Go has it: halves of surrogate pairs are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def dumps(value: object, *, pretty: bool = False) -> bytes:
    """``json.Marshal``, or ``MarshalIndent`` with two spaces when ``pretty``.

    Raises:
        TypeError: a value that JSON has no form for, NaN and infinities included.
    """
    return _encode(value, "\n" if pretty else "").encode("utf-8")


def sorted_map(mapping: Mapping[str, object]) -> dict[str, object]:
    """``mapping`` in the order in which Go writes a map: by the bytes of its keys."""
    return {key: mapping[key] for key in sorted(mapping, key=to_bytes)}


def quote(text: str) -> str:
    """One JSON string, with Go's HTML-safe escapes."""
    quoted = encode_basestring(text)
    if _SPECIAL.search(quoted):
        return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\ufffd"), quoted)
    return quoted


def _encode(value: object, newline: str) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        inner = newline and newline + "  "
        colon = ": " if newline else ":"
        members = [f"{quote(key)}{colon}{_encode(item, inner)}" for key, item in value.items()]
        return _bracket("{", members, "}", newline)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        inner = newline and newline + "  "
        return _bracket("[", [_encode(item, inner) for item in value], "]", newline)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _bracket(left: str, items: list[str], right: str, newline: str) -> str:
    if not items or not newline:
        return left + ",".join(items) + right
    inner = newline + "  "
    return left + inner + ("," + inner).join(items) + newline + right


def _float(value: float) -> str:
    """Shortest digits that read back; exponent form below 1e-6 and from 1e21."""
    if not math.isfinite(value):
        raise TypeError(f"no JSON form for {value}")
    shortest = Decimal(_shortest_32(value) if isinstance(value, Float32) else repr(float(value)))
    if value != 0 and not 1e-6 <= abs(value) < 1e21:
        sign, digits, exponent = shortest.normalize().as_tuple()
        assert isinstance(exponent, int)
        fraction = "".join(map(str, digits[1:]))
        power = exponent + len(digits) - 1
        return (
            f"{'-' * sign}{digits[0]}{'.' if fraction else ''}{fraction}"
            f"e{'-' if power < 0 else '+'}{abs(power)}"
        )
    text = format(shortest, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shortest_32(value: float) -> str:
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    for precision in range(1, 9):
        text = f"{rounded:.{precision}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", rounded):
            return text
    return f"{rounded:.9g}"
