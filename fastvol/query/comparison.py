"""Whether a value stands in a relation to a text: ``=``, ``<``, ``%`` and so on."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from fastvol.query.go_float import go_float
from fastvol.query.json_string import unquoted
from fastvol.query.json_text import Kind, Value
from fastvol.query.wildcard import matches

_ORDER: Final[dict[bytes, Callable[[Any, Any], bool]]] = {
    b"=": operator.eq,
    b"!=": operator.ne,
    b"<": operator.lt,
    b"<=": operator.le,
    b">": operator.gt,
    b">=": operator.ge,
}


def compares(value: Value, relation: bytes, operand: bytes) -> bool:
    """Whether ``value`` is in ``relation`` to ``operand``; never in one that its kind does not know.

    Strings are compared by their bytes, numbers as doubles; of two truths the false one is less.
    """
    if value.kind is Kind.STRING:
        return _string_compares(unquoted(value.raw), relation, operand)
    if value.kind is Kind.NUMBER:
        order = _ORDER.get(relation)
        return order is not None and order(go_float(value.raw), go_float(operand))
    if value.kind is Kind.TRUE:
        return _TRUE.get(relation, _never)(operand)
    if value.kind is Kind.FALSE:
        return _FALSE.get(relation, _never)(operand)
    return False


def _string_compares(content: bytes, relation: bytes, operand: bytes) -> bool:
    if relation == b"%":
        return matches(content, operand)
    if relation == b"!%":
        return not matches(content, operand)
    order = _ORDER.get(relation)
    return order is not None and order(content, operand)


def _never(_: bytes) -> bool:
    return False


def _always(_: bytes) -> bool:
    return True


_TRUE: Final[dict[bytes, Callable[[bytes], bool]]] = {
    b"=": lambda operand: operand == b"true",
    b"!=": lambda operand: operand != b"true",
    b">": lambda operand: operand == b"false",
    b">=": _always,
}
_FALSE: Final[dict[bytes, Callable[[bytes], bool]]] = {
    b"=": lambda operand: operand == b"false",
    b"!=": lambda operand: operand != b"false",
    b"<": lambda operand: operand == b"true",
    b"<=": _always,
}
