"""A record without its payload, of which only what stands around it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from fastvol.errors import NeedleCorruptedError, SizeMismatchError
from fastvol.formats.file_id import hex_of_hex
from fastvol.formats.needle import HEADER_BYTES, actual_size, decode, decode_header

if TYPE_CHECKING:
    from fastvol.formats.needle import Needle

ReadData: TypeAlias = Callable[[int, int], bytes]
"""Bytes of a data file from an offset on, so many, or fewer where it ends."""

_DATA_SIZE_BYTES: Final = 4
DATA_AT: Final = HEADER_BYTES + _DATA_SIZE_BYTES
"""Where the payload begins in a record of version 2 or 3."""
_META_BYTES_MAX: Final = 128 * 1024
_PADDING_MAX: Final = 8


def meta_at(read: ReadData, offset: int, size: int, version: int) -> tuple[Needle, int]:
    """The needle of a record, and how long its payload is (volume_read.go: readNeedleMetaAt).

    Args:
        offset: of the record, in bytes.
        size: its body size, not negative.

    Raises:
        NeedleCorruptedError: the record is another one, or damaged; ``EOF``, the file ends before.
    """
    prefix = _all_of(read, offset, DATA_AT)
    header = decode_header(prefix)
    assert header is not None
    if header.signed_size != size:
        key = hex_of_hex(header.key)
        raise SizeMismatchError(
            f"size mismatch for entry at offset {offset}: found id {key} size {header.signed_size}, "
            f"expected size {size}"
        )
    data_size = int.from_bytes(prefix[HEADER_BYTES:]) if size and version > 1 else 0
    if version == 1:
        record = _all_of(read, offset, actual_size(size, version))
        return decode(record, size, version, False), data_size
    length = actual_size(size, version) - DATA_AT - data_size
    if not 0 <= length <= _META_BYTES_MAX:
        raise NeedleCorruptedError(
            f"invalid needle meta size {length}: DataSize={data_size}, size={size}, offset={offset}"
        )
    suffix = _all_of(read, offset + DATA_AT + data_size, length)
    if not size:
        return decode(prefix + suffix, 0, version, verify=False), data_size
    # The same record with an empty payload; its padding may be longer.
    rest = size - data_size
    head = prefix[: HEADER_BYTES - 4] + rest.to_bytes(4) + bytes(_DATA_SIZE_BYTES)
    needle = decode(head + suffix + bytes(_PADDING_MAX), rest, version, verify=False)
    needle.size = size
    return needle, data_size


def _all_of(read: ReadData, offset: int, length: int) -> bytes:
    found = read(offset, length)
    if len(found) < length:
        raise NeedleCorruptedError("EOF")
    return found
