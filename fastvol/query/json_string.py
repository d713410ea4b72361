"""The characters that a JSON string stands for, and back."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(rb"[\x00-\x1f\\]")
_SIMPLE: Final = {
    ord("\\"): b"\\",
    ord("/"): b"/",
    ord('"'): b'"',
    ord("b"): b"\b",
    ord("f"): b"\f",
    ord("n"): b"\n",
    ord("r"): b"\r",
    ord("t"): b"\t",
}
_HEX: Final = re.compile(rb"[0-9a-fA-F]{4}")
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)
_UNKNOWN: Final = "\ufffd"


def unquoted(raw: bytes) -> bytes:
    """What stands between the quotes of ``raw``, with its escapes resolved."""
    inner = raw[1:-1]
    return unescaped(inner) if b"\\" in inner else inner


def unescaped(inner: bytes) -> bytes:
    """``inner`` with its escapes resolved; it ends at a control character or a bad escape."""
    made = bytearray()
    at = 0
    while True:
        found = _SPECIAL.search(inner, at)
        if found is None:
            return bytes(made + inner[at:])
        made += inner[at : found.start()]
        at = found.start() + 1
        if inner[found.start()] != ord("\\") or at >= len(inner):
            return bytes(made)
        simple = _SIMPLE.get(inner[at])
        if simple is not None:
            made += simple
            at += 1
        elif inner[at : at + 1] == b"u" and at + 5 <= len(inner):
            character, at = _code_point(inner, at + 1)
            made += character.encode()
        else:
            return bytes(made)


def _code_point(inner: bytes, at: int) -> tuple[str, int]:
    """The character of the digits at ``at``, and where it ends."""
    unit, at = _unit(inner, at), at + 4
    if unit not in _HIGH and unit not in _LOW:
        return chr(unit), at
    if inner[at : at + 2] != b"\\u" or at + 6 > len(inner):
        return _UNKNOWN, at
    second = _unit(inner, at + 2)
    at += 6  # whatever it is, it is taken for the other half
    if unit in _HIGH and second in _LOW:
        return chr(0x10000 + (unit - 0xD800 << 10) + second - 0xDC00), at
    return _UNKNOWN, at


def _unit(inner: bytes, at: int) -> int:
    digits = inner[at : at + 4]
    return int(digits, 16) if _HEX.fullmatch(digits) else 0


# --- the way back -------------------------------------------------------------------------------

_ESCAPED: Final = {
    **{code: f"\\u{code:04x}" for code in (*range(0x20), *b"<>&", 0x2028, 0x2029)},
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    **dict.fromkeys(range(0xDC80, 0xDD00), "\\ufffd"),
}


def quoted(content: bytes) -> bytes:
    """``content`` as a JSON string; each byte that is no UTF-8 becomes an escape."""
    characters = content.decode("utf-8", "surrogateescape")
    return b'"' + characters.translate(_ESCAPED).encode() + b'"'
