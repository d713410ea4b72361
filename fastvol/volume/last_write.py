"""When a TTL volume was last written, for the age that its expiry counts from.

Source of the rules: ``weed/storage/volume_loading.go`` as of 4.48.
"""

import logging
import os
from collections.abc import Iterator
from typing import Final

from fastvol.formats.index_entry import OFFSET_UNIT, decode_row, row_size
from fastvol.formats.needle import HEADER_BYTES, TIMESTAMP_BYTES, append_time_at, decode_header
from fastvol.limits import LAST_WRITE_ROWS_MAX

log = logging.getLogger(__name__)

_BLOCK_ROWS: Final = 1024
_NS_PER_SECOND: Final = 1_000_000_000


def last_write_second(
    dat_fd: int, idx_fd: int, *, width: int, revision: int, fallback: int, volume_id: int
) -> int:
    """Unix time of the newest write; tombstones do not count.  Only for version 3.

    Rows are in the order of their writes until a vacuum (``revision`` above 0) sorts them by key;
    then all of them are looked at, unless there are too many.

    Args:
        fallback: the data file's modification time, for when the records do not tell.
    """
    newest = 0
    try:
        for count, (key, position, size) in enumerate(_rows_backwards(idx_fd, width)):
            if count >= LAST_WRITE_ROWS_MAX and revision:
                log.info(
                    "volume %d: more than %d needles to scan for its last write, keeping the "
                    "data file's time",
                    volume_id,
                    LAST_WRITE_ROWS_MAX,
                )
                return fallback
            newest = max(newest, _append_time(dat_fd, key, position, size))
            if newest and not revision:
                break
    except OSError as error:
        log.warning("volume %d: recover last write: %s", volume_id, error)
        return fallback
    return newest // _NS_PER_SECOND if newest else fallback


def _rows_backwards(idx_fd: int, width: int) -> Iterator[tuple[int, int, int]]:
    """(key, byte offset, size) of rows that are writes, newest first."""
    step = row_size(width)
    end = os.fstat(idx_fd).st_size // step * step
    while end > 0:
        start = max(0, end - _BLOCK_ROWS * step)
        block = os.pread(idx_fd, end - start, start)
        for at in range(len(block) // step * step - step, -1, -step):
            key, offset_units, size = decode_row(block[at : at + step], width)
            if offset_units and size >= 0:
                yield key, offset_units * OFFSET_UNIT, size
        end = start


def _append_time(dat_fd: int, key: int, position: int, size: int) -> int:
    """AppendAtNs of the record, 0 when it is not the row's."""
    header = decode_header(os.pread(dat_fd, HEADER_BYTES, position))
    if header is None or (header.key, header.size) != (key, size):
        return 0
    return int.from_bytes(os.pread(dat_fd, TIMESTAMP_BYTES, position + append_time_at(size)))
