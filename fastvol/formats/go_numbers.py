"""Integers parsed as Go's ``strconv`` parses them, errors included.

The texts reach clients (a bad volume id in a URL, a bad TTL in a query), so they are Go's to the
letter.  Python's ``int`` alone will not do: it accepts blanks, underscores and foreign digits.
"""

from typing import Final, NoReturn

UINT64_MAX: Final = 2**64 - 1
_DIGITS: Final = "0123456789abcdef"
_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quote(text: str) -> str:
    """``strconv.Quote``: double quotes, Go escapes; undecodable bytes (surrogates) as ``\\xNN``."""
    return '"' + "".join(_quote_rune(rune) for rune in text) + '"'


def _quote_rune(rune: str) -> str:
    if rune in _ESCAPES:
        return _ESCAPES[rune]
    if rune.isprintable():
        return rune
    code = ord(rune)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_uint(text: str, base: int = 10, *, function: str = "ParseUint") -> int:
    """``strconv.ParseUint(text, base, 64)``; :exc:`ValueError` with Go's text."""
    value = 0
    if not text:
        _syntax_error(text, function)
    for rune in text.lstrip("0"):  # a megabyte of zeros in a URL must not hold up the event loop
        digit = _DIGITS.find(rune.lower() if rune.isascii() else "?")
        if not 0 <= digit < base:
            _syntax_error(text, function)
        value = value * base + digit
        # As Go: the overflow is reported even when a later character is no digit.
        if value > UINT64_MAX:
            _range_error(text, function)
    return value


def parse_int(text: str, *, function: str = "ParseInt") -> int:
    """``strconv.ParseInt(text, 10, 64)``: an optional sign and decimal digits."""
    negative = text.startswith("-")
    digits = text[1:] if text[:1] in ("-", "+") else text
    try:
        magnitude = parse_uint(digits)
    except ValueError as error:
        if str(error).endswith("out of range"):
            _range_error(text, function)
        _syntax_error(text, function)
    if magnitude > (2**63 if negative else 2**63 - 1):
        _range_error(text, function)
    return -magnitude if negative else magnitude


def atoi(text: str) -> int:
    """``strconv.Atoi`` on a 64-bit machine."""
    return parse_int(text, function="Atoi")


def _syntax_error(text: str, function: str) -> NoReturn:
    raise ValueError(f"strconv.{function}: parsing {quote(text)}: invalid syntax")


def _range_error(text: str, function: str) -> NoReturn:
    raise ValueError(f"strconv.{function}: parsing {quote(text)}: value out of range")
