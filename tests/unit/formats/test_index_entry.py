"""Index rows: bytes that weed wrote, both widths, ragged tails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol._cffi._core import ffi, lib
from fastvol.formats import index_entry
from fastvol.formats.index_entry import IndexEntry

WIDTHS = st.sampled_from([4, 5])


@pytest.mark.parametrize(
    ("entry", "width", "stored"),
    [
        (IndexEntry(7, 528 // 8, 32), 5, "0000000000000007 00000042 00 00000020"),
        (IndexEntry(3, 624 // 8, -1), 5, "0000000000000003 0000004e 00 ffffffff"),
        (IndexEntry(1, 0x100000001, 1), 5, "0000000000000001 00000001 01 00000001"),
        (IndexEntry(1, 1, 32), 4, "0000000000000001 00000001 00000020"),
    ],
)
def test_rows(entry: IndexEntry, width: int, stored: str) -> None:
    assert index_entry.encode_row(*entry, width) == bytes.fromhex(stored)
    assert index_entry.decode_row(bytes.fromhex(stored), width) == entry


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), WIDTHS
)
def test_the_c_core_writes_the_same_rows(key: int, offset: int, size: int, width: int) -> None:
    row = index_entry.encode_row(key, offset, size, width)
    cells = ffi.new("uint8_t[]", 17)
    assert lib.fv_row_encode(cells, width, key, offset, size) == len(row)
    assert bytes(ffi.buffer(cells, len(row))) == row
    entry = ffi.new("fv_entry *")
    lib.fv_row_decode(cells, width, entry)
    assert index_entry.decode_row(row, width) == (entry.id, entry.offset, entry.size)


@given(st.binary(max_size=100), WIDTHS)
def test_a_partial_row_is_ignored(image: bytes, width: int) -> None:
    rows = list(index_entry.iter_rows(image, width))
    step = index_entry.row_size(width)
    assert len(rows) == len(image) // step
    again = b"".join(index_entry.encode_row(*row, width) for row in rows)
    assert again == image[: len(rows) * step]


def test_limits() -> None:
    assert index_entry.volume_size_max(4) == 34_359_738_368
    assert index_entry.volume_size_max(5) == 8_796_093_022_208
    with pytest.raises(OverflowError, match="does not fit 4 bytes"):
        index_entry.encode_row(1, 2**32, 1, 4)
    with pytest.raises(ValueError, match="offset width 6"):
        index_entry.row_size(6)
    with pytest.raises(ValueError, match="17 bytes, not 16"):
        index_entry.decode_row(bytes(16), 5)


def test_sizes_of_deleted_entries() -> None:
    assert [index_entry.raw_size(size) for size in (70, -70, 0, -1)] == [70, 70, 0, 0]
    assert [index_entry.is_deleted(size) for size in (70, 0, -1)] == [False, False, True]
