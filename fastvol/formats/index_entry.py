"""Rows of the ``.idx`` log: key, offset, size; 16 or 17 bytes, big endian.

Offsets are in units of 8 bytes.  The five-byte form is the low 32 bits big endian followed by the
*highest* byte.  Source of the rules: ``weed/storage/needle_map/needle_value.go`` and
``weed/storage/types/offset_5bytes.go``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

OFFSET_UNIT: Final = 8
TOMBSTONE_SIZE: Final = -1
OFFSET_WIDTHS: Final = (4, 5)


class IndexEntry(NamedTuple):
    """One row: needle id, offset in units of 8 bytes, body size in bytes (-1: a deletion)."""

    key: int
    offset: int
    size: int


def row_size(width: int) -> int:
    """Bytes of a row with 4- or 5-byte offsets: 16 or 17."""
    _check_width(width)
    return 12 + width


def volume_size_max(width: int) -> int:
    """Bytes that offsets of this width can address: 32 GiB or 8 TiB."""
    _check_width(width)
    return OFFSET_UNIT << (8 * width)


def is_deleted(size: int) -> bool:
    """A deletion in the log, or a deleted entry of a map (negated size)."""
    return size < 0


def raw_size(size: int) -> int:
    """The body size that a record had before its entry was marked deleted."""
    return 0 if size == TOMBSTONE_SIZE else abs(size)


def encode_row(key: int, offset_units: int, size: int, width: int) -> bytes:
    """The stored row; :exc:`OverflowError` when the offset does not fit the width."""
    _check_width(width)
    if offset_units >> (8 * width):
        raise OverflowError(f"offset {offset_units} does not fit {width} bytes")
    row = key.to_bytes(8, "big") + (offset_units & 0xFFFFFFFF).to_bytes(4, "big")
    if width == 5:
        row += bytes((offset_units >> 32,))
    return row + size.to_bytes(4, "big", signed=True)


def decode_row(row: "ReadableBuffer", width: int) -> IndexEntry:
    """Reads one row; :exc:`ValueError` when it is not exactly one row long."""
    stored = bytes(row)
    if len(stored) != row_size(width):
        raise ValueError(f"an index row has {row_size(width)} bytes, not {len(stored)}")
    units = int.from_bytes(stored[8:12], "big")
    if width == 5:
        units |= stored[12] << 32
    size = int.from_bytes(stored[8 + width :], "big", signed=True)
    return IndexEntry(int.from_bytes(stored[:8], "big"), units, size)


def iter_rows(data: "ReadableBuffer", width: int) -> Iterator[IndexEntry]:
    """All whole rows in order; a partial row at the end is ignored."""
    step = row_size(width)
    view = memoryview(data).cast("B")
    for at in range(0, len(view) - step + 1, step):
        yield decode_row(view[at : at + step], width)


def _check_width(width: int) -> None:
    if width not in OFFSET_WIDTHS:
        raise ValueError(f"offset width {width} is neither 4 nor 5")
