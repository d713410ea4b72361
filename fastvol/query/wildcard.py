"""Texts that match a pattern: ``*`` is any run, ``?`` one character, ``\\`` takes the next as it is."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_TOKEN: Final = re.compile(r"\\.|.|\\", re.DOTALL)
_INVALID: Final = re.compile("[\udc80-\udcff]")
_WINDOW: Final = 4096
"""Places at which one call of ``re`` looks for a part, for it holds the interpreter lock so long."""


class _Part:
    """What stands between two stars: a text in which some characters may be any."""

    def __init__(self, units: list[str]) -> None:
        self.length = len(units)
        self._text = "".join(unit[-1] for unit in units)
        self._pattern = None
        if "?" in units:
            source = "".join("." if unit == "?" else re.escape(unit[-1]) for unit in units)
            self._pattern = re.compile(source, re.DOTALL)

    def is_at(self, text: str, at: int) -> bool:
        if self._pattern is None:
            return text.startswith(self._text, at)
        return self._pattern.match(text, at) is not None

    def find(self, text: str, at: int) -> int:
        """Where it is first from ``at`` on; -1 when it is not there."""
        if self._pattern is None:
            return text.find(self._text, at)
        last = len(text) - self.length
        while at <= last:
            found = self._pattern.search(text, at, min(len(text), at + _WINDOW + self.length))
            if found is not None:
                return found.start()
            at += _WINDOW
        return -1


def matches(text: bytes, pattern: bytes) -> bool:
    """Whether ``pattern`` matches all of ``text``.

    Each part between stars is taken where it is first from left to right: a later place for one
    could not help the next.
    """
    first, *others = _parts(pattern)
    characters = _characters(text)
    if not first.is_at(characters, 0):
        return False
    if not others:
        return len(characters) == first.length
    at = first.length
    *middle, last = others
    for part in middle:
        found = part.find(characters, at)
        if found < 0:
            return False
        at = found + part.length
    start = len(characters) - last.length
    return start >= at and last.is_at(characters, start)


@lru_cache(maxsize=64)
def _parts(pattern: bytes) -> tuple[_Part, ...]:
    parts: list[list[str]] = [[]]
    for unit in _TOKEN.findall(_characters(pattern)):
        if unit != "*":
            parts[-1].append(unit)
        elif len(parts) == 1 or parts[-1]:  # several stars are one
            parts.append([])
    return tuple(map(_Part, parts))


def _characters(text: bytes) -> str:
    """One character for each of the text's, and one for each byte that is none."""
    return _INVALID.sub("\ufffd", text.decode("utf-8", "surrogateescape"))
