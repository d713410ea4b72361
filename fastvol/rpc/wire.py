"""Messages of bulk streams, put together by hand.

A stream of records makes a message for each, and one of file content copies megabytes into it: the
fields are few, so they are written as bytes at once (protobuf's encoding: a key of field number and
wire type, then a varint, or a length and that many bytes).
"""

from typing import Final

_VARINT: Final = 0
_LENGTH: Final = 2
_MORE: Final = 0x80


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
