"""``[a,b.c]`` and ``{"name":a,b.c}`` in a path: several paths into one made array or object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastvol.query.json_string import quoted

_NOT_SIMPLE: Final = frozenset(b"[]{}()#|!")
_BACKSLASH, _QUOTE, _COLON, _COMMA, _AT = b'\\":,@'


@dataclass(frozen=True, slots=True)
class Selection:
    """``key`` is as written, None when nothing was."""

    key: bytes | None
    path: bytes


def selections(path: bytes) -> tuple[list[Selection], bytes] | None:
    """The selections that ``path`` begins with and what follows them; None when they do not end."""
    found: list[Selection] = []
    colon: int | None = None
    in_modifier = False
    start, depth, at = 1, 1, 1

    def select() -> Selection:
        if colon is None:
            return Selection(None, path[start:at])
        return Selection(path[start:colon], path[colon + 1 : at])

    while at < len(path):
        byte = path[at]
        if byte == _BACKSLASH:
            at += 1
        elif byte == _AT:
            in_modifier = in_modifier or path[at - 1] in b".|"
        elif byte == _COLON:
            if not in_modifier:
                colon = at
        elif byte == _COMMA:
            if depth == 1:
                found.append(select())
                colon, in_modifier, start = None, False, at + 1
        elif byte == _QUOTE:
            at += 1
            while at < len(path) and path[at] != _QUOTE:
                at += 2 if path[at] == _BACKSLASH else 1
        elif byte in b"[({":
            depth += 1
        elif byte in b"])}":
            depth -= 1
            if depth == 0:
                found.append(select())
                return found, path[at + 1 :]
        at += 1
    return None


def key_of(selection: Selection) -> bytes:
    """The key of a made object: the one given, or the last part of the path."""
    if selection.key:
        return selection.key if selection.key[:1] == b'"' else quoted(selection.key)
    last = _last_part(selection.path)
    simple = not any(byte < 0x20 or byte in _NOT_SIMPLE for byte in last)
    return quoted(last) if simple else b'"_"'


def _last_part(path: bytes) -> bytes:
    for at in range(len(path) - 1, -1, -1):
        if path[at] in b".|" and not (at > 0 and path[at - 1] == _BACKSLASH):
            return path[at + 1 :]
    return path
