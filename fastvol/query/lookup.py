"""The value that a path leads to in a text.

Descending into objects and arrays is done on a stack of our own, for a path may be as deep as it
likes; only a path within a path (behind a sharp, in a query, in a selection) is a call within a
call, and those are counted (:mod:`fastvol.query.limits`).

Where several keys match a wildcard, or a step finds something that the rest of the path does not
lead on from, the search goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fastvol.query.comparison import compares
from fastvol.query.go_float import go_float
from fastvol.query.json_path import (
    ElementStep,
    KeyStep,
    Query,
    element_step,
    key_step,
    split_pipe,
)
from fastvol.query.json_string import unquoted
from fastvol.query.json_text import (
    MISSING,
    STEP,
    Kind,
    Value,
    next_value,
    skip,
    string_end,
    value_at,
)
from fastvol.query.limits import Limits, check_made
from fastvol.query.modifiers import modified, parsed
from fastvol.query.selectors import Selection, key_of, selections
from fastvol.query.wildcard import matches

_NO_BLOCK: Final = re.compile(rb"[^{\[]{0,%d}+" % STEP)
_NO_KEY: Final = re.compile(rb'[^"}]{0,%d}+' % STEP)
_NO_VALUE: Final = re.compile(rb'[^"{\[ntf+\-0-9iIN]{0,%d}+' % STEP)
_NO_ELEMENT: Final = re.compile(rb'[^"{\[ntf+\-0-9iIN\]]{0,%d}+' % STEP)
_JSON_BLANKS: Final = re.compile(rb"[ \t\r\n]{0,%d}+" % STEP)
_QUOTE, _END_OF_ARRAY = b'"]'


def look_up(value: Value, path: bytes, limits: Limits | None = None) -> Value:
    """What ``path`` leads to in ``value``; a value that does not exist when that is nothing.

    Raises:
        InvalidRequestError: the path asks for too much.
        UnsupportedError: it needs what is not built.
    """
    limits = limits or Limits()
    limits.enter()
    try:
        while True:
            made, path = _made(value, path, limits) if len(path) > 1 else (None, path)
            if made is None:
                search = _Search(value, path, limits)
                search.run()
                if search.pipe is None:
                    return search.found
                value, path = search.found, search.pipe
            elif path[:1] in {b".", b"|"}:
                value, path = made, path[1:]
            else:
                return parsed(made.raw)
    finally:
        limits.leave()


def _made(value: Value, path: bytes, limits: Limits) -> tuple[Value | None, bytes]:
    """What the modifier or the selections at the beginning of ``path`` make, and the rest of it.

    Selections that do not end, or go on with neither a dot nor a pipe, make nothing and are passed
    over, the former with all that follows.
    """
    if path[:1] in b"@!":
        done = modified(value.raw, path)
        if done is None:
            return None, path
        text, rest = done
        return Value(Kind.BLOCK, text, 0, len(text)), rest
    if path[:1] not in b"[{":
        return None, path
    split = selections(path)
    if split is None:
        return None, b""
    chosen, rest = split
    if rest[:1] not in {b"", b".", b"|"}:
        return None, rest
    text = _selected(value, chosen, limits, is_object=path[:1] == b"{")
    return Value(Kind.BLOCK, text, 0, len(text)), rest


def _selected(value: Value, chosen: list[Selection], limits: Limits, *, is_object: bool) -> bytes:
    made = bytearray(b"{" if is_object else b"[")
    for selection in chosen:
        found = look_up(value, selection.path, limits)
        if not found.exists:
            continue
        check_made(len(made) + found.stop - found.start)
        made += b"," if len(made) > 1 else b""
        made += key_of(selection) + b":" if is_object else b""
        made += found.raw
    return bytes(made + (b"}" if is_object else b"]"))


class _Search:
    """One path in one text, up to its first pipe."""

    def __init__(self, value: Value, path: bytes, limits: Limits) -> None:
        self.text, self.start, self.stop = value.text, value.start, value.stop
        self.path = path
        self.limits = limits
        self.found = MISSING
        self.pipe: bytes | None = None
        self.levels: list[_Object | _Array] = []
        self.at = self.start

    def run(self) -> None:
        """Sets ``found`` and ``pipe``."""
        if self.path.startswith(b".."):
            self.descend(ord("["), self.start, self.path[2:])
        else:
            at = skip(_NO_BLOCK, self.text, self.start, self.stop)
            if at == self.stop:
                return
            self.descend(self.text[at], at + 1, self.path)
        while self.levels:
            if self.levels[-1].advance(self):
                return

    def descend(self, opening: int, at: int, path: bytes) -> None:
        """Go on behind an opening bracket."""
        self.at = at
        if opening == ord("{"):
            self.levels.append(_Object(self, key_step(path)))
        else:
            self.levels.append(_Array(self, element_step(path)))

    def end(self, at: int) -> bool:
        """The innermost object or array ends, without what was looked for."""
        self.at = at
        self.levels.pop()
        return False

    def go_behind(self, value: Value) -> None:
        """Go on behind ``value``, where a cut one leaves nothing, not even the end of an array."""
        self.at = value.stop + value.is_cut

    def hit(self, value: Value) -> bool:
        """``value`` is what was looked for."""
        self.found = value
        return True


class _Object:
    def __init__(self, search: _Search, step: KeyStep) -> None:
        self._step = step
        if step.rest is None and step.pipe is not None:
            search.pipe = step.pipe

    def advance(self, search: _Search) -> bool:
        """One member; True when the search is over."""
        text, stop = search.text, search.stop
        if search.at > stop:
            return search.end(search.at)
        at = skip(_NO_KEY, text, search.at, stop)
        if at >= stop:
            return search.end(stop)
        if text[at] != _QUOTE:
            return search.end(at + 1)
        end = string_end(text, at + 1, stop)
        if end is None:
            return search.end(stop)
        meant = self._is_meant(unquoted(text[at:end]))
        at = skip(_NO_VALUE, text, end, stop)
        if at >= stop:
            return search.end(stop)
        if meant and self._step.rest is not None and text[at] in b"{[":
            search.descend(text[at], at + 1, self._step.rest)
            return False
        value = value_at(text, at, stop)
        if value is None:
            return search.end(stop)
        search.go_behind(value)
        return meant and self._step.rest is None and search.hit(value)

    def _is_meant(self, key: bytes) -> bool:
        return matches(key, self._step.part) if self._step.wild else key == self._step.part


class _Array:
    def __init__(self, search: _Search, step: ElementStep) -> None:
        self._step = step
        self._count = 0
        self._collected = bytearray(b"[")
        self._each, self._each_pipe = _split(step.each)
        self._rest, self._rest_pipe = _split(step.rest) if step.query else (step.rest, None)
        if step.rest is None and step.pipe is not None:
            search.pipe = step.pipe

    def advance(self, search: _Search) -> bool:
        """One element; True when the search is over."""
        text, stop, step = search.text, search.stop, self._step
        begun = search.at
        if begun > stop:
            return search.end(begun)
        at = skip(_NO_ELEMENT, text, begun, stop)
        if at >= stop or text[at] == _END_OF_ARRAY:
            return self._end(search, begun, min(at + 1, stop))
        meant = step.index is not None and step.index == self._count
        self._count += 1
        if meant and self._rest is not None and text[at] in b"{[":
            search.descend(text[at], at + 1, self._rest)
            return False
        value = value_at(text, at, stop)
        if value is None:
            return search.end(stop)
        search.go_behind(value)
        if self._each is not None:
            self._collect(look_up(value, self._each, search.limits))
            return False
        if step.query is not None:
            return self._ask(search, step.query, value)
        return meant and self._rest is None and search.hit(value)

    def _ask(self, search: _Search, query: Query, value: Value) -> bool:
        if value.kind is Kind.BLOCK:
            asked = look_up(value, query.path, search.limits)
        elif query.path:
            return False
        else:
            asked = value
        if not _holds(query, asked):
            return False
        if self._rest is not None:
            if self._rest_pipe is not None:
                search.pipe = self._rest_pipe
            value = look_up(value, self._rest, search.limits)
        if not self._step.all:
            return search.hit(value)
        self._collect(value)
        return False

    def _collect(self, value: Value) -> None:
        if not value.exists:
            return
        check_made(len(self._collected) + value.stop - value.start)
        if len(self._collected) > 1:
            self._collected += b","
        self._collected += value.raw

    def _end(self, search: _Search, begun: int, at: int) -> bool:
        if self._each is not None:
            self._collect_behind(search, begun)
            if self._each_pipe is not None:
                search.pipe = self._each_pipe
            return search.hit(self._collection())
        if self._step.counts:
            digits = b"%d" % self._count
            return search.hit(Value(Kind.NUMBER, digits, 0, len(digits)))
        if self._step.query is not None and self._step.all and not search.found.exists:
            search.found = self._collection()
        return search.end(at)

    def _collect_behind(self, search: _Search, begun: int) -> None:
        """A comma before the end promises one more element, which is taken from behind the array."""
        at = skip(_JSON_BLANKS, search.text, begun, search.stop)
        if at < search.stop and search.text[at] != _END_OF_ARRAY:
            value = next_value(search.text, at, search.stop)
            if value is not None and self._each is not None:
                self._collect(look_up(value, self._each, search.limits))

    def _collection(self) -> Value:
        text = bytes(self._collected + b"]")
        return Value(Kind.BLOCK, text, 0, len(text))


def _split(path: bytes | None) -> tuple[bytes | None, bytes | None]:
    return (None, None) if path is None else split_pipe(path)


def _holds(query: Query, value: Value) -> bool:
    operand = query.value
    if operand.startswith(b"~"):
        truth = _TRUTHS.get(operand[1:])
        if truth is None:
            return False
        kind = Kind.TRUE if truth(value) else Kind.FALSE
        word = b"true" if kind is Kind.TRUE else b"false"
        value, operand = Value(kind, word, 0, len(word)), b"true"
    if not value.exists:
        return False
    return not query.relation or compares(value, query.relation, operand)


def _is_null(value: Value) -> bool:
    return value.kind is Kind.NULL


def _is_true(value: Value) -> bool:
    if value.kind is Kind.NUMBER:
        return go_float(value.raw) != 0
    return value.kind is Kind.TRUE or _lowered(value) in _TRUE_WORDS


def _is_false(value: Value) -> bool:
    if value.kind is Kind.NUMBER:
        return go_float(value.raw) == 0
    return value.kind in {Kind.NULL, Kind.FALSE} or _lowered(value) in _FALSE_WORDS


def _lowered(value: Value) -> bytes:
    return unquoted(value.raw).lower() if value.kind is Kind.STRING else b""


_TRUE_WORDS: Final = frozenset({b"1", b"t", b"true"})
_FALSE_WORDS: Final = frozenset({b"0", b"f", b"false"})
_TRUTHS: Final[dict[bytes, Callable[[Value], bool]]] = {
    b"*": lambda value: value.exists,
    b"null": _is_null,
    b"true": _is_true,
    b"false": _is_false,
}
