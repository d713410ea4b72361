"""What a query selects of the content of a needle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastvol.query.comparison import compares
from fastvol.query.json_text import Kind, Value, values
from fastvol.query.limits import check_path, check_reply
from fastvol.query.lookup import look_up


@dataclass(frozen=True, slots=True)
class Filter:
    """Of the records those whose ``field`` is in ``relation`` to ``operand``; without, that have it."""

    field: bytes
    relation: bytes
    operand: bytes

    def takes(self, record: Value) -> bool:
        """Whether ``record`` is selected."""
        value = look_up(record, self.field)
        if not value.exists:
            return False
        return not self.relation or compares(value, self.relation, self.operand)


def selected(content: bytes, paths: Sequence[bytes], condition: Filter) -> bytes:
    """The selected records of ``content``: ``{path:value,path:value}`` one behind another.

    Values are as they stand in the record, those missing or null are empty; paths are not quoted.

    Raises:
        InvalidRequestError: more is asked for than one reply may be.
        UnsupportedError: a path needs what is not built.
    """
    for text in (*paths, condition.field, condition.operand):
        check_path(text)
    made = bytearray()
    for record in values(content):
        if condition.takes(record):
            made += b"{"
            for number, path in enumerate(paths):
                value = look_up(record, path)
                check_reply(len(made) + len(path) + value.stop - value.start)
                made += (b"," if number else b"") + path + b":"
                if value.kind is not Kind.NULL:
                    made += value.raw
            made += b"}"
            check_reply(len(made))
    return bytes(made)
