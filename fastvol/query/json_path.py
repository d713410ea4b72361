"""The steps of a path such as ``a.b\\.c.3.#(x>"1")#.y|@reverse``, one at a time.

What a step means depends on what it is taken in: an object looks for a key, an array for a number or
a sharp.  So a path is not split beforehand; each step says what is left for the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fastvol.query.json_string import unescaped
from fastvol.query.modifier_names import is_modifier

_OPENING: Final = frozenset(b"[({")
_CLOSING: Final = frozenset(b"])}")
_RELATION_STARTS: Final = frozenset(b"!=<>%")
_RELATIONS: Final = (b"!=", b"!%", b"<=", b">=", b"<", b">", b"=", b"%")
_BLANKS: Final = bytes(range(33))
_UINT64: Final = 1 << 64

_REMEMBERED: Final = 256
"""Steps that are not read anew for each record."""

_BACKSLASH, _QUOTE, _DOT, _PIPE, _SHARP = b'\\".|#'
_WILD: Final = frozenset(b"*?")


@dataclass(frozen=True, slots=True)
class Query:
    """``#(path relation value)``: the elements for which it holds; without a relation, that have it."""

    path: bytes = b""
    relation: bytes = b""
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Step:
    """``rest`` is the path below what it finds, ``pipe`` a path of its own for the result."""

    part: bytes
    rest: bytes | None = None
    pipe: bytes | None = None


@dataclass(frozen=True, slots=True)
class KeyStep(Step):
    """In an object: the key is ``part``, or matches it when it is ``wild``."""

    wild: bool = False


@dataclass(frozen=True, slots=True)
class ElementStep(Step):
    """In an array."""

    index: int | None = None
    counts: bool = False
    each: bytes | None = None
    """A path taken in every element, whose results are collected."""
    query: Query | None = None
    all: bool = False
    """Every element that the query holds for, not the first only."""


@lru_cache(maxsize=_REMEMBERED)
def key_step(path: bytes) -> KeyStep:
    """The first step of ``path``, taken in an object."""
    part = bytearray()
    wild = False
    at = 0
    while at < len(path):
        byte = path[at]
        if byte == _PIPE:
            return KeyStep(bytes(part), None, path[at + 1 :], wild)
        if byte == _DOT:
            rest = path[at + 1 :]
            if _begins_anew(rest):
                return KeyStep(bytes(part), None, rest, wild)
            return KeyStep(bytes(part), rest, None, wild)
        if byte == _BACKSLASH:
            part += path[at + 1 : at + 2]
            at += 2
            continue
        wild = wild or byte in _WILD
        part.append(byte)
        at += 1
    return KeyStep(bytes(part), wild=wild)


@lru_cache(maxsize=_REMEMBERED)
def element_step(path: bytes) -> ElementStep:
    """The first step of ``path``, taken in an array."""
    if path.startswith(b"#."):
        return ElementStep(b"#", each=path[2:])
    query: Query | None = None
    takes_all = False
    at = 0
    if path[:2] in {b"#(", b"#["}:
        parsed = _query(path)
        if parsed is None:
            return ElementStep(path, query=Query())
        query, at = parsed
        takes_all = path[at : at + 1] == b"#"
    sharp = query is not None
    while at < len(path):
        byte = path[at]
        if byte == _SHARP:
            sharp = True
        elif byte == _PIPE:
            return _element(path[:at], sharp, query, pipe=path[at + 1 :], takes_all=takes_all)
        elif byte == _DOT:
            rest = path[at + 1 :]
            if not sharp and _begins_anew(rest):
                return _element(path[:at], sharp, query, pipe=rest, takes_all=takes_all)
            return _element(path[:at], sharp, query, rest=rest, takes_all=takes_all)
        at += 1
    return _element(path, sharp, query, takes_all=takes_all)


def _element(
    part: bytes,
    sharp: bool,
    query: Query | None,
    *,
    rest: bytes | None = None,
    pipe: bytes | None = None,
    takes_all: bool,
) -> ElementStep:
    index = None if sharp else _index(part)
    counts = query is None and part == b"#"
    return ElementStep(part, rest, pipe, index, counts, None, query, takes_all)


def _index(part: bytes) -> int | None:
    """A number of any length, of which Go keeps 64 bits."""
    if not part.isdigit():
        return None
    number = 0
    for start in range(0, len(part), 1000):  # Python refuses to read very long numbers
        digits = part[start : start + 1000]
        number = (number * pow(10, len(digits), _UINT64) + int(digits)) % _UINT64
    return number


def _begins_anew(rest: bytes) -> bool:
    """Whether what follows a dot is a path for the result, not a key in it."""
    if not rest:
        return False
    if rest[:1] == b"@":
        end = next((at for at, byte in enumerate(rest) if byte in b".|:"), len(rest))
        return is_modifier(rest[1:end])
    return rest[:1] in b"[{"


# --- queries ------------------------------------------------------------------------------------


def _query(path: bytes) -> tuple[Query, int] | None:
    """The query that ``path`` begins with and where it ends; None when it does not."""
    depth, relation_at, has_escapes = 1, 0, False
    at = 2
    while at < len(path):
        byte = path[at]
        if depth == 1 and not relation_at and byte in _RELATION_STARTS:
            relation_at = at
        elif byte == _BACKSLASH:
            at += 1
        elif byte in b"[(":
            depth += 1
        elif byte in b"])":
            depth -= 1
            if depth == 0:
                break
        elif byte == _QUOTE:
            at, escapes = _quote_end(path, at)
            has_escapes = has_escapes or escapes
        at += 1
    if depth:
        return None
    if not relation_at:
        return Query(path[2:at].strip(_BLANKS)), at + 1
    condition = path[relation_at:at].strip(_BLANKS)
    if condition.startswith(b"=="):
        condition = condition[1:]
    if len(condition) == 1:
        relation = condition
    else:
        relation = next((r for r in _RELATIONS if condition.startswith(r)), b"")
    value = condition[len(relation) :].strip(_BLANKS)
    if len(value) >= 2 and value[:1] == value[-1:] == b'"':
        value = unescaped(value[1:-1]) if has_escapes else value[1:-1]
    return Query(path[2:relation_at].strip(_BLANKS), relation, value), at + 1


def _quote_end(path: bytes, at: int) -> tuple[int, bool]:
    """The closing quote of the one at ``at``, or the end; and whether an escape is between them."""
    has_escapes = False
    at += 1
    while at < len(path) and path[at] != _QUOTE:
        if path[at] == _BACKSLASH:
            has_escapes = True
            at += 1
        at += 1
    return at, has_escapes


# --- pipes behind elements ----------------------------------------------------------------------


def split_pipe(path: bytes) -> tuple[bytes, bytes | None]:
    """``path`` up to its first pipe outside of queries, and what is behind it."""
    if b"|" not in path:
        return path, None
    if path.startswith(b"{"):
        end = 1 + selector_end(path[1:] if path[1:2] == b'"' else b"[" + path[2:])
        return (path[:end], path[end + 1 :]) if path[end : end + 1] == b"|" else (path, None)
    at = 0
    while at < len(path):
        byte = path[at]
        if byte == _BACKSLASH:
            at += 1
        elif byte == _PIPE:
            return path[:at], path[at + 1 :]
        elif byte == _DOT and path[at + 1 : at + 3] in {b"#(", b"#["}:
            at = _brackets_end(path, at + 2)
        at += 1
    return path, None


def _brackets_end(path: bytes, at: int) -> int:
    """The bracket that closes the one at ``at``; only its own kind counts."""
    opening = path[at]
    closing = ord("]") if opening == ord("[") else ord(")")
    depth = 1
    at += 1
    while at < len(path):
        byte = path[at]
        if byte == _BACKSLASH:
            at += 1
        elif byte == opening:
            depth += 1
        elif byte == closing:
            depth -= 1
            if depth == 0:
                return at
        elif byte == _QUOTE:
            at, _ = _quote_end(path, at)
        at += 1
    return at


def selector_end(path: bytes) -> int:
    """Behind what closes the bracket or quote that ``path`` begins with; its length without."""
    depth = 0
    at = 0
    while at < len(path):
        byte = path[at]
        if byte == _QUOTE:
            at, _ = _quote_end(path, at)
            if depth == 0:
                return min(at + 1, len(path))
        elif byte in _OPENING:
            depth += 1
        elif byte in _CLOSING:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return len(path)
