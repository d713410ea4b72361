"""Where the values of a JSON text begin and end.

Nothing here checks that a text is JSON.  A value is found by its first byte and ends by simple
rules, so that any bytes whatever have an answer, the same that SeaweedFS gives (by way of gjson).
Nothing is copied: a value is a stretch of its text.  Every step is iterative, and one call of ``re``
looks at a bounded number of bytes, because it holds the interpreter lock for so long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

STEP: Final = 1 << 16
"""Bytes, or repetitions of a pattern, looked at by one call of ``re``."""

_IN_STRING: Final = re.compile(rb'(?:[^"\\]|\\.){0,%d}+' % STEP, re.DOTALL)
_BETWEEN_BRACKETS: Final = re.compile(
    rb'(?:[^"(){}\[\]]{1,1024}+|"(?:[^"\\]|\\.){0,1024}+"){0,64}+', re.DOTALL
)
"""Short strings are passed over with what stands around them."""
_OPENING: Final = re.compile(rb"[({\[]{1,%d}+" % STEP)
_CLOSING: Final = re.compile(rb"[)}\]]{1,%d}+" % STEP)
_NUMBER: Final = re.compile(rb"[^\x00-\x20,\]}]{0,%d}+" % STEP)
_LETTERS: Final = re.compile(rb"[a-z]{0,%d}+" % STEP)
_NO_VALUE: Final = re.compile(rb'[^"{\[ntf+\-0-9iIN]{0,%d}+' % STEP)

_QUOTE: Final = ord('"')
_OPENERS: Final = frozenset(b"({[")
_CLOSERS: Final = frozenset(b")}]")


class Kind(Enum):
    """What a value is, by its first byte."""

    NULL = auto()
    """Also of what is not there at all."""
    FALSE = auto()
    TRUE = auto()
    NUMBER = auto()
    STRING = auto()
    BLOCK = auto()
    """An object or an array."""


@dataclass(slots=True)  # not frozen: there are millions of them, and that would cost twice as much
class Value:
    """``text[start:stop]``; nothing at all when that is empty."""

    kind: Kind
    text: bytes
    start: int
    stop: int
    is_cut: bool = False
    """The text ends in a string in it."""

    @property
    def exists(self) -> bool:
        """False for a missing value, true for a null."""
        return self.stop > self.start

    @property
    def raw(self) -> bytes:
        """As it stands in the text."""
        return self.text[self.start : self.stop]


_KINDS: Final = {
    **dict.fromkeys(b"{[", Kind.BLOCK),
    **dict.fromkeys(b"+-0123456789iIN", Kind.NUMBER),
    ord('"'): Kind.STRING,
    ord("t"): Kind.TRUE,
    ord("f"): Kind.FALSE,
    ord("n"): Kind.NULL,
}

MISSING: Final = Value(Kind.NULL, b"", 0, 0)


def skip(pattern: re.Pattern[bytes], text: bytes, at: int, stop: int) -> int:
    """Where the bytes end that ``pattern``, of up to ``STEP`` repetitions, matches from ``at`` on."""
    while True:
        found = pattern.match(text, at, stop)
        if found is None:  # behind the end
            return at
        end = found.end()
        if end - at < STEP:
            return end
        at = end


def string_end(text: bytes, at: int, stop: int) -> int | None:
    """Behind the closing quote of a string whose opening quote is before ``at``; None without."""
    at = skip(_IN_STRING, text, at, stop)
    return at + 1 if at < stop and text[at] == _QUOTE else None


def block_end(text: bytes, at: int, stop: int) -> int | None:
    """Behind the bracket that closes what ``text[at]`` opens, of whatever kind; or ``stop``.

    None when the text ends in a string.
    """
    depth = 1
    at += 1
    while True:
        found = _BETWEEN_BRACKETS.match(text, at, stop)
        assert found is not None
        at = found.end()
        if at >= stop:
            return stop
        byte = text[at]
        if byte == _QUOTE:
            end = string_end(text, at + 1, stop)
            if end is None:
                return None
            at = end
        elif byte in _OPENERS:
            found = _OPENING.match(text, at, stop)
            assert found is not None
            depth += found.end() - at
            at = found.end()
        elif byte in _CLOSERS:
            found = _CLOSING.match(text, at, min(stop, at + depth))
            assert found is not None
            depth -= found.end() - at
            at = found.end()
            if depth == 0:
                return at


def value_at(text: bytes, at: int, stop: int) -> Value | None:
    """The value that begins with ``text[at]``, which must begin one; None for half a string."""
    kind = _KINDS[text[at]]
    if kind is Kind.NUMBER:
        return Value(kind, text, at, skip(_NUMBER, text, at + 1, stop))
    if kind is Kind.STRING:
        end = string_end(text, at + 1, stop)
        return None if end is None else Value(kind, text, at, end)
    if kind is Kind.BLOCK:
        end = block_end(text, at, stop)
        return Value(kind, text, at, stop if end is None else end, end is None)
    if kind is Kind.NULL and at + 1 < stop and text[at + 1] != ord("u"):  # nan
        return Value(Kind.NUMBER, text, at, skip(_NUMBER, text, at + 1, stop))
    return Value(kind, text, at, skip(_LETTERS, text, at + 1, stop))


def next_value(text: bytes, at: int, stop: int) -> Value | None:
    """The first value from ``at`` on, whatever stands before it; None when there is none."""
    at = skip(_NO_VALUE, text, at, stop)
    return value_at(text, at, stop) if at < stop else None


def values(text: bytes) -> Iterator[Value]:
    """The values of a text one after another, whatever stands between them."""
    at = 0
    while True:
        value = next_value(text, at, len(text))
        if value is None:
            return
        yield value
        at = value.stop
