"""Finding out whether a volume's index rows carry 4-byte or 5-byte offsets.

A row is 12 bytes plus the offset's width. The ``.vif`` says which; when it does not, or says it
wrongly, the rows themselves do: only with the right width does a row's position lead to a record
with the row's key. A wrong width must not be believed: rows would be cut in the middle.
"""

import os
from typing import Final

from fastvol.formats.index_entry import OFFSET_UNIT, OFFSET_WIDTHS, decode_row, row_size
from fastvol.formats.needle import HEADER_BYTES, decode_header

_SAMPLES: Final = 16


class _Rows:
    """The rows of an index under one assumption about their width."""

    def __init__(self, dat_fd: int, idx_fd: int, width: int) -> None:
        self._dat_fd = dat_fd
        self._idx_fd = idx_fd
        self._width = width
        self._row_size = row_size(width)
        self._dat_size = os.fstat(dat_fd).st_size
        self.count = os.fstat(idx_fd).st_size // self._row_size

    def leads_to_its_record(self, at: int) -> bool:
        row = os.pread(self._idx_fd, self._row_size, at * self._row_size)
        if len(row) < self._row_size:
            return False
        key, offset_units, size = decode_row(row, self._width)
        position = offset_units * OFFSET_UNIT
        if size == 0:
            return False  # the row of an empty file reads the same with both widths
        if position == 0 or position + HEADER_BYTES > self._dat_size:
            return False
        header = decode_header(os.pread(self._dat_fd, HEADER_BYTES, position))
        return header is not None and (header.key, header.size) == (key, max(size, 0))

    def matching_samples(self) -> int:
        step = max(1, self.count // _SAMPLES)
        return sum(self.leads_to_its_record(at) for at in range(0, self.count, step))


def find_offset_width(dat_fd: int, idx_fd: int, *, stated: int, default: int) -> tuple[int, str]:
    """The width of the offsets, 4 or 5 bytes, and what is wrong with the stated one.

    Args:
        stated: what the ``.vif`` says, 0 if it says nothing.
        default: for an index that does not tell (an empty volume).

    Returns:
        The width, and a problem: empty unless the rows contradict ``stated``.

    Raises:
        OSError: a file cannot be read.
    """
    assumed = stated or default
    rows = _Rows(dat_fd, idx_fd, assumed)
    # One row is proof enough, and the last one is read anyway.
    if rows.count and rows.leads_to_its_record(rows.count - 1):
        return assumed, ""
    found = {width: _Rows(dat_fd, idx_fd, width).matching_samples() for width in OFFSET_WIDTHS}
    other = sum(OFFSET_WIDTHS) - assumed
    if found[other] <= found[assumed]:
        return assumed, ""
    if not stated:
        return other, ""
    return other, f"its .vif says bytesOffset {stated}, but its index has {other}-byte offsets"
