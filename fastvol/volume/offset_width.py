"""Finding out whether a volume's index rows carry 4-byte or 5-byte offsets.

A row is 12 bytes plus the offset's width. The ``.vif`` says which; when it does not, the rows
themselves do: only with the right width does a row's position lead to a record with the row's key.
"""

import os
from typing import Final

from fastvol.formats.index_entry import decode_row, row_size

WIDTHS: Final = (5, 4)
_SAMPLES: Final = 16
_HEADER: Final = 16


def _row_leads_to_its_record(dat_fd: int, row: bytes, width: int, dat_size: int) -> bool:
    key, offset_units, size = decode_row(row, width)
    position = offset_units * 8
    if position == 0 or position + _HEADER > dat_size:
        return False
    header = os.pread(dat_fd, _HEADER, position)
    if len(header) < _HEADER:
        return False
    found_key = int.from_bytes(header[4:12])
    found_size = int.from_bytes(header[12:16])
    return found_key == key and found_size == max(size, 0)


def _matching_rows(dat_fd: int, idx_fd: int, width: int) -> int:
    size = row_size(width)
    rows = os.fstat(idx_fd).st_size // size
    dat_size = os.fstat(dat_fd).st_size
    step = max(1, rows // _SAMPLES)
    return sum(
        _row_leads_to_its_record(dat_fd, os.pread(idx_fd, size, at * size), width, dat_size)
        for at in range(0, rows, step)
    )


def find_offset_width(dat_fd: int, idx_fd: int, default: int) -> int:
    """4 or 5, by sampling rows; ``default`` when no row leads anywhere (an empty volume)."""
    found = {width: _matching_rows(dat_fd, idx_fd, width) for width in WIDTHS}
    best = max(WIDTHS, key=lambda width: found[width])
    return best if found[best] else default
