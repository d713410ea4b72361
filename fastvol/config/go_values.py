"""Values of flags, environment variables and TOML texts, parsed as Go parses them.

Integers that may carry a base prefix are here; plain decimal ones are
:func:`fastvol.formats.go_numbers.atoi`.

The errors are :class:`ValueError` with the texts of Go's ``strconv`` and ``time``, because they are
printed behind ``invalid value "x" for flag -y:``.
"""

import re
from typing import Final

from fastvol.formats.go_numbers import UINT64_MAX, quote

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT64_MAX: Final = (1 << 63) - 1

# Prefix, base and digits; underscores only between digits, or behind a prefix.
_LITERALS: Final = (
    (re.compile(r"0[xX](_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)"), 16),
    (re.compile(r"0[bB](_?[01]+(?:_[01]+)*)"), 2),
    (re.compile(r"0[oO]?(_?[0-7]+(?:_[0-7]+)*)"), 8),
    (re.compile(r"([0-9]+(?:_[0-9]+)*)"), 10),
)
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TERM: Final = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")
_UNIT_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_bool(text: str) -> bool:
    """``strconv.ParseBool``."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")


def parse_int(text: str) -> int:
    """``strconv.ParseInt(text, 0, 64)``: base prefixes and underscores are understood."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    magnitude = _literal(text[len(sign) :])
    if magnitude is None:
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    if magnitude > _INT64_MAX + (sign == "-"):
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return -magnitude if sign == "-" else magnitude


def parse_uint(text: str) -> int:
    """``strconv.ParseUint(text, 0, 64)``."""
    magnitude = _literal(text)
    if magnitude is None:
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    if magnitude > UINT64_MAX:
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: value out of range")
    return magnitude


def parse_float(text: str) -> float:
    """``strconv.ParseFloat`` of finite decimal numbers."""
    if not _FLOAT.fullmatch(text):
        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: value out of range")
    return value


def parse_duration(text: str) -> float:
    """``time.ParseDuration``: ``1h3m``, ``-1.5s``, ``0``; the result is in seconds."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    nanoseconds = 0
    if not rest:
        raise ValueError(f"time: invalid duration {quote(text)}")
    while rest:
        term = _TERM.match(rest)
        assert term is not None
        whole, fraction, unit = term[1], (term[2] or ".")[1:], term[3]
        if not whole and not fraction:
            raise ValueError(f"time: invalid duration {quote(text)}")
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        scale = _UNIT_NANOSECONDS.get(unit)
        if scale is None:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        nanoseconds += int(whole or "0") * scale
        nanoseconds += int(fraction or "0") * scale // 10 ** len(fraction)
        if nanoseconds > _INT64_MAX:
            raise ValueError(f"time: invalid duration {quote(text)}")
        rest = rest[term.end() :]
    return (-nanoseconds if text.startswith("-") else nanoseconds) / 1e9


def format_duration(seconds: float) -> str:
    """``time.Duration.String`` of whole seconds: ``1m0s``."""
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _literal(text: str) -> int | None:
    if len(text) > 1000:
        return None
    for pattern, base in _LITERALS:
        match = pattern.fullmatch(text)
        if match and not (base == 10 and len(text) > 1 and text[0] == "0"):
            return int(match[1].replace("_", ""), base)
    return None
