"""``@name:argument`` and ``!literal`` in a path: texts made of the one at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from fastvol.errors import UnsupportedError
from fastvol.query.json_path import selector_end
from fastvol.query.json_string import quoted, unquoted
from fastvol.query.json_text import MISSING, Kind, Value, next_value, string_end, value_at
from fastvol.query.limits import check_made, check_members
from fastvol.query.modifier_names import BUILT, NOT_BUILT

_BEFORE_VALUE: Final = re.compile(rb"[\x00-\x20]*+")
_BETWEEN: Final = re.compile(rb"[\x00-\x20,:]*+")
_STATIC_VALUE: Final = frozenset(b'{["+-0123456789')
_STATIC_NAMES: Final = frozenset({b"true", b"false", b"null", b"nan", b"inf"})
_BLANKS: Final = bytes(range(33))
_WHITE: Final = b"\t\n\v\f\r \xc2\x85\xc2\xa0"


def parsed(text: bytes) -> Value:
    """``text`` as one value: its beginning, and all of it when that opens a bracket."""
    found = _BEFORE_VALUE.match(text)
    start = found.end() if found else 0
    if start == len(text) or text[start] not in b'{["tfn+-0123456789iIN':
        return MISSING
    if text[start] in b"{[":
        return Value(Kind.BLOCK, text, start, len(text))
    value = value_at(text, start, len(text))
    if value is None:
        return Value(Kind.STRING, text, start, len(text))
    return value


def modified(text: bytes, path: bytes) -> tuple[bytes, bytes] | None:
    """What the modifier that ``path`` begins with makes of ``text``, and the rest of ``path``.

    None when there is no such modifier: then it is a key.
    """
    if path.startswith(b"!"):
        return _static(path)
    end = next((at for at, byte in enumerate(path) if byte in b":|."), len(path))
    name, rest = path[1:end], path[end:]
    if name not in BUILT and name not in NOT_BUILT:
        return None
    argument = b""
    if rest.startswith(b":"):
        argument, rest = _argument(rest[1:])
    if name not in BUILT:
        raise UnsupportedError(f"query modifier @{name.decode()} is not built yet in fastvol")
    made = _MAKERS[name](text, argument)
    check_made(len(made))
    return made, rest


def _argument(text: bytes) -> tuple[bytes, bytes]:
    if text[:1] in {b"{", b"[", b'"'} and parsed(text).exists:
        end = selector_end(text)
        return text[:end], text[end:]
    at = 0
    while at < len(text) and text[at] != ord("|"):
        if text[at] in b'{["(':
            at += selector_end(text[at:]) - 1
        at += 1
    return text[:at], text[at:]


def _static(path: bytes) -> tuple[bytes, bytes] | None:
    name = path[1:]
    if name[:1] and name[0] in _STATIC_VALUE:
        end = 1 + selector_end(b"[" + name[1:]) - 1
        return name[:end], name[end:]
    end = next((at for at, byte in enumerate(path) if byte in b"|." and at), len(path))
    if path[1:end].lower() not in _STATIC_NAMES:
        return None
    return path[1:end], path[end:]


# --- what the modifiers make --------------------------------------------------------------------


def _members(block: Value) -> Iterator[tuple[bytes, Value]]:
    """Keys as written (empty in an array) and values."""
    text, stop = block.text, block.stop
    if block.kind is not Kind.BLOCK:
        yield b"", block
        return
    is_object = _is_object(block)
    at = block.start + 1
    while at < stop:
        key = b""
        if is_object:
            start = text.find(b'"', at, stop)
            end = None if start < 0 else string_end(text, start + 1, stop)
            if end is None:
                return
            key, at = text[start:end], end
        found = _BETWEEN.match(text, at, stop)
        value = next_value(text, found.end() if found else at, stop)
        if value is None:
            return
        yield key, value
        at = value.stop + 1


def _is_object(value: Value) -> bool:
    return value.kind is Kind.BLOCK and value.text[value.start] == ord("{")


def _is_array(value: Value) -> bool:
    return value.kind is Kind.BLOCK and value.text[value.start] == ord("[")


def _joined(opening: bytes, items: Iterator[bytes], closing: bytes) -> bytes:
    made = bytearray(opening)
    for number, item in enumerate(items):
        check_made(len(made) + len(item))
        if number:
            made += b","
        made += item
    return bytes(made + closing)


def _this(text: bytes, _: bytes) -> bytes:
    return text


def _reverse(text: bytes, _: bytes) -> bytes:
    value = parsed(text)
    if value.kind is not Kind.BLOCK:
        return text
    members: list[tuple[bytes, Value]] = []
    for member in _members(value):
        check_members(len(members))
        members.append(member)
    members.reverse()
    if _is_array(value):
        return _joined(b"[", (v.raw for _, v in members), b"]")
    return _joined(b"{", (key + b":" + v.raw for key, v in members), b"}")


def _keys(text: bytes, _: bytes) -> bytes:
    value = parsed(text)
    if not value.exists:
        return b"[]"
    is_object = _is_object(value)
    return _joined(b"[", (key if is_object else b"null" for key, _ in _members(value)), b"]")


def _values(text: bytes, _: bytes) -> bytes:
    value = parsed(text)
    if not value.exists:
        return b"[]"
    if _is_array(value):
        return text
    return _joined(b"[", (v.raw for _, v in _members(value)), b"]")


def _flatten(text: bytes, argument: bytes) -> bytes:
    value = parsed(text)
    if not _is_array(value):
        return text
    if any(unquoted(key) == b"deep" for key, _ in _members(parsed(argument))):
        raise UnsupportedError("query modifier @flatten with deep is not built yet in fastvol")
    raws = ((v.raw[1:-1] if _is_array(v) else v.raw).strip(_WHITE) for _, v in _members(value))
    return _joined(b"[", (raw for raw in raws if raw), b"]")


def _tostr(text: bytes, _: bytes) -> bytes:
    return quoted(text)


def _ugly(text: bytes, _: bytes) -> bytes:
    made = bytearray()
    at = 0
    while True:
        quote = text.find(b'"', at)
        if quote < 0:
            return bytes(made + text[at:].translate(None, _BLANKS))
        end = string_end(text, quote + 1, len(text)) or len(text)
        made += text[at:quote].translate(None, _BLANKS) + text[quote:end]
        at = end


_MAKERS: Final[dict[bytes, Callable[[bytes, bytes], bytes]]] = {
    b"this": _this,
    b"reverse": _reverse,
    b"keys": _keys,
    b"values": _values,
    b"flatten": _flatten,
    b"tostr": _tostr,
    b"ugly": _ugly,
}
