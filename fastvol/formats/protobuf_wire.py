"""Messages of bulk streams, put together by hand.

A stream of records makes a message for each, and one of file content copies megabytes into it: the
fields are few, so they are written as bytes at once, and read where they lie (protobuf's encoding: a key of
field number and wire type, then a varint, or a length and that many bytes).
"""

from collections.abc import Iterator
from typing import Final

_VARINT: Final = 0
_LENGTH: Final = 2
_FIXED: Final = {1: 8, 5: 4}
_MORE: Final = 0x80
_VARINT_BYTES_MAX: Final = 10
_FIELDS_END: Final = 1 << 29
_UINT64_MASK: Final = (1 << 64) - 1


def varint(number: int) -> bytes:
    """A number from 0 to 2**64 - 1."""
    if number < _MORE:
        return bytes((number,))
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field: int, number: int) -> bytes:
    """A numeric field below 16; nothing for 0, as proto3 leaves it out."""
    return bytes((field << 3 | _VARINT,)) + varint(number) if number else b""


def bytes_head(field: int, length: int) -> bytes:
    """What precedes ``length`` bytes of a bytes field below 16."""
    return bytes((field << 3 | _LENGTH,)) + varint(length)


def bytes_field(field: int, content: bytes) -> bytes:
    """A bytes field below 16; nothing for an empty one."""
    return bytes_head(field, len(content)) + content if content else b""


def signed(number: int) -> int:
    """An int64 as it was meant: the wire has it without its sign."""
    return number - (1 << 64) if number >> 63 else number


def read_fields(message: bytes) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a message: a number, or a view of the bytes.

    Raises:
        ValueError: it is no message.
    """
    view = memoryview(message)
    at = 0
    while at < len(view):
        key, at = _read_varint(view, at)
        field, kind = key >> 3, key & 7
        if not 0 < field < _FIELDS_END:
            raise ValueError(f"{field} is no number of a field")
        if kind == _VARINT:
            number, at = _read_varint(view, at)
            yield field, number
            continue
        length, at = _read_varint(view, at) if kind == _LENGTH else (_FIXED.get(kind, -1), at)
        if not 0 <= length <= len(view) - at:
            raise ValueError("a field leaves its message")
        yield field, view[at : at + length]
        at += length


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for index in range(min(_VARINT_BYTES_MAX, len(view) - at)):
        byte = view[at + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < _MORE:
            return number & _UINT64_MASK, at + index + 1
    raise ValueError("a number does not end")
