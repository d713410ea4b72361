"""Recovering index rows that deletes on a tiered volume wrote over.

A bug of old servers put the tombstones of such deletes, which name no offset, over the *first* rows
of the index instead of behind the last. Each of them stands where the row of one of the first
records was, so the headers of as many records give the rows back. Source of the rules:
``weed/storage/volume_idx_repair.go``.
"""

import logging
import os
from collections.abc import Iterator

from fastvol.formats.index_entry import (
    OFFSET_UNIT,
    TOMBSTONE_SIZE,
    IndexEntry,
    decode_row,
    encode_row,
    iter_rows,
    row_size,
)
from fastvol.formats.needle import HEADER_BYTES, SIZE_MAX, actual_size, decode_header
from fastvol.volume.files import VolumeFiles
from fastvol.volume.index_replacement import replaced_index

log = logging.getLogger(__name__)

_BLOCK_ROWS = 4096


def recover_head_rows(
    files: VolumeFiles, dat_fd: int, idx_fd: int, *, first: int, version: int, width: int
) -> bool:
    """Puts the rows that leading tombstones overwrote in front of the index.

    Args:
        first: byte offset of the first record.

    Returns:
        Whether the index file is another one now.

    Raises:
        OSError: the index is as it was.
    """
    overwritten = _leading_tombstones(idx_fd, width)
    if not overwritten:
        return False
    path = files.idx
    log.warning(
        "volume %d: %s starts with %d offset-0 tombstones, recovering the .idx rows they overwrote",
        files.volume_id,
        path,
        overwritten,
    )
    found = _first_records(dat_fd, first, version, overwritten)
    for key, _, _ in _rows(idx_fd, width):
        found.pop(key, None)
    if not found:
        return False
    head = b"".join(
        encode_row(key, at // OFFSET_UNIT, size, width) for key, (at, size) in found.items()
    )
    _put_in_front(files, idx_fd, head)
    log.warning("volume %d: recovered %d overwritten rows of %s", files.volume_id, len(found), path)
    return True


def _rows(idx_fd: int, width: int) -> Iterator[IndexEntry]:
    step = row_size(width)
    at = 0
    while len(block := os.pread(idx_fd, _BLOCK_ROWS * step, at)) >= step:
        yield from iter_rows(block, width)
        at += len(block) // step * step


def _is_positionless(row: IndexEntry) -> bool:
    return not row.offset and row.size == TOMBSTONE_SIZE


def _leading_tombstones(idx_fd: int, width: int) -> int:
    first = os.pread(idx_fd, row_size(width), 0)
    if len(first) < row_size(width) or not _is_positionless(decode_row(first, width)):
        return 0  # as in nearly every index: not worth a block
    count = 0
    for row in _rows(idx_fd, width):
        if not _is_positionless(row):
            break
        count += 1
    return count


def _first_records(dat_fd: int, first: int, version: int, count: int) -> dict[int, tuple[int, int]]:
    """Byte offset and size of the needles that are live after the first records."""
    found: dict[int, tuple[int, int]] = {}
    at = first
    for _ in range(count):
        header = decode_header(os.pread(dat_fd, HEADER_BYTES, at))
        if header is None:
            break
        size = header.size if header.size <= SIZE_MAX else 0
        if size:
            found[header.key] = (at, size)
        else:
            found.pop(header.key, None)
        at += actual_size(size, version)
    return found


def _put_in_front(files: VolumeFiles, idx_fd: int, head: bytes) -> None:
    status = os.fstat(idx_fd)
    with replaced_index(files) as fd:
        os.fchmod(fd, status.st_mode & 0o7777)
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(head)
            for at in range(0, status.st_size, 1 << 20):
                file.write(os.pread(idx_fd, min(1 << 20, status.st_size - at), at))
