"""The part of protobuf's JSON mapping that on-disk files need, tolerant to what is broken.

A message is described by its fields in the order of their numbers: snake_case name -> type, where a
type is the name of a scalar, a nested description, or a list of one description (repeated).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeAlias

Fields: TypeAlias = "dict[str, str | Fields | list[Fields]]"

_RANGES: Final = {
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_STRINGS_ON_THE_WIRE: Final = ("int64", "uint64")
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_NUMBER_TEXT: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?")


@lru_cache(64)
def camel_case(name: str) -> str:
    """``dat_file_size`` -> ``datFileSize``."""
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


# ---- reading ------------------------------------------------------------------------------------


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def parse_members(text: bytes) -> tuple[dict[str, Any], str]:
    """The members of a JSON object up to the first fault, and what that fault is ("" if none)."""
    members: dict[str, Any] = {}
    try:
        source = _valid_utf8(text)
        at = _expect(source, 0, "{")
        if source[at : at + 1] == "}":
            return members, _end_fault(source, at + 1)
        while True:
            name, at = _DECODER.raw_decode(source, at)
            if not isinstance(name, str):
                return members, "a member's name is no string"
            at = _expect(source, _skip(source, at), ":")
            value, at = _DECODER.raw_decode(source, at)
            if name in members:
                return members, f'duplicate member "{name}"'
            members[name] = value
            at = _skip(source, at)
            if source[at : at + 1] == "}":
                return members, _end_fault(source, at + 1)
            at = _expect(source, at, ",")
    except (ValueError, RecursionError) as error:
        return members, f"syntax error: {error}"


def _valid_utf8(text: bytes) -> str:
    """Up to the first byte that is not; what breaks off there is a syntax error later."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        return text[: error.start].decode()


def _skip(source: str, at: int) -> int:
    match = _BLANK.match(source, at)
    assert match is not None
    return match.end()


def _expect(source: str, at: int, mark: str) -> int:
    at = _skip(source, at)
    if source[at : at + 1] != mark:
        raise ValueError(f"expected {mark!r} at character {at}")
    return _skip(source, at + 1)


def _end_fault(source: str, at: int) -> str:
    at = _skip(source, at)
    return "" if at == len(source) else f"syntax error: unexpected text at character {at}"


class _WrongValueError(Exception):
    """A member's value is not of its type; the text continues ``member "x"``."""


class MessageReader:
    """Reads parsed members into typed values; ``problem`` is the first fault met ("" if none)."""

    __slots__ = ("problem",)

    def __init__(self) -> None:
        self.problem = ""

    def read(
        self, members: dict[str, Any], fields: Fields
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Values by snake_case name, and the unknown members.

        A member with a wrong value is left out; ``null`` and missing members are too, so that the
        caller's defaults hold.
        """
        names = {camel_case(name): name for name in fields} | {name: name for name in fields}
        values: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for member, value in members.items():
            name = names.get(member)
            if name is None:
                unknown[member] = value
            elif name in values:
                self._note(f'duplicate member "{member}"')
            elif value is not None:
                try:
                    values[name] = self._value(value, fields[name])
                except _WrongValueError as error:
                    self._note(f'member "{member}" {error}')
        return values, unknown

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _value(self, value: Any, kind: str | Fields | list[Fields]) -> Any:
        if isinstance(kind, list):
            if not isinstance(value, list):
                raise _WrongValueError("is no array")
            return [self._nested(entry, kind[0]) for entry in value]
        if isinstance(kind, dict):
            return self._nested(value, kind)
        if kind in _RANGES:
            return _integer(value, kind)
        if type(value) is not (bool if kind == "bool" else str):
            raise _WrongValueError(f"is no {kind}")
        return value

    def _nested(self, value: Any, fields: Fields) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _WrongValueError("is no object")
        values, unknown = self.read(value, fields)
        if unknown:
            self._note(f'unknown member "{next(iter(unknown))}"')
        return values


def _integer(value: Any, kind: str) -> int:
    """The mapping takes numbers and numbers in strings, with a fraction if it is zero."""
    low, high = _RANGES[kind]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _WrongValueError(f"is no {kind}")
    if isinstance(value, str) and not _NUMBER_TEXT.fullmatch(value):
        raise _WrongValueError(f"is no {kind}")
    number = Decimal(value)
    if not low <= number <= high or number != number.to_integral_value():
        raise _WrongValueError(f"is out of range of {kind}")
    return int(number)


# ---- writing ------------------------------------------------------------------------------------


def write_message(values: dict[str, Any], fields: Fields, unknown: Mapping[str, Any]) -> str:
    """All members in field order, defaults included, as upstream lays them out."""
    return _write_message(values, fields, unknown, "")


def _write_message(
    values: dict[str, Any], fields: Fields, unknown: Mapping[str, Any], indent: str
) -> str:
    inner = indent + "  "
    lines = [
        f'{inner}"{camel_case(name)}":  {_write_value(values[name], kind, inner)}'
        for name, kind in fields.items()
    ]
    lines += [f"{inner}{_dump(member)}:  {_dump(value)}" for member, value in unknown.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _write_value(value: Any, kind: str | Fields | list[Fields], indent: str) -> str:
    if isinstance(kind, list):
        if not value:
            return "[]"
        inner = indent + "  "
        entries = [inner + _write_message(entry, kind[0], {}, inner) for entry in value]
        return "[\n" + ",\n".join(entries) + f"\n{indent}]"
    if isinstance(kind, dict):
        return "null" if value is None else _write_message(value, kind, {}, indent)
    return _dump(str(value) if kind in _STRINGS_ON_THE_WIRE else value)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
