"""Messages in the words of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastvol.formats.go_numbers import quote

if TYPE_CHECKING:
    from google.protobuf.message import Message


def go_text(message: Message) -> str:
    """A message of plain fields as Go prints it; between fields Go puts one blank or two."""
    parts = [
        f"{field.name}:{quote(value) if isinstance(value, str) else value}"
        for field, value in message.ListFields()
    ]
    return "  ".join(parts)
