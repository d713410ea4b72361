"""The data of a tiered volume for those who go through all of it: scrubs, tails, incremental copies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastvol._cffi.visit import rows_ascend
from fastvol.errors import NoSpaceError
from fastvol.formats.index_entry import OFFSET_UNIT, decode_row, row_size
from fastvol.formats.needle import TIMED_VERSION, TIMESTAMP_BYTES, append_time_at
from fastvol.remote.block_cache import nameless_file
from fastvol.remote.transfer import TransferControl, download

if TYPE_CHECKING:
    from pathlib import Path

    from fastvol.remote.tier import RemoteData
    from fastvol.volume.raw_files import RawFiles

_NS = 1_000_000_000
_BLOCK_ROWS = 1024


def fetched(remote: RemoteData, directory: Path) -> int:
    """A descriptor of a file without a name that has all of the data; it goes with the descriptor.

    Raises:
        NoSpaceError, RemoteStorageError
    """
    figures = os.statvfs(directory)
    free = figures.f_bavail * figures.f_frsize
    if remote.size > free:
        raise NoSpaceError(
            f"fetching {remote.size} bytes from remote storage: {directory} has only {free} bytes free"
        )
    fd = nameless_file(directory)
    try:
        backend = remote.backend
        control = TransferControl(backend.download_concurrency)
        download(backend.bucket, remote.key, fd, remote.size, control)
    except BaseException:
        os.close(fd)
        raise
    return fd


def nothing_since(raw: RawFiles, remote: RemoteData, since_ns: int, modified_second: int) -> bool:
    """Whether it is certain, without the data, that no record is newer.

    Nothing was appended after the data was moved, so its last time bounds all others.  Rows in the
    order of their records end with the newest one, of which only the time is read.
    """
    # Whoever copied the volume asks from the whole second on that it was told: it has everything.
    if since_ns >= (modified_second + 1) * _NS or since_ns == modified_second * _NS:
        return True
    if raw.version != TIMED_VERSION or raw.super_block.compaction_revision:
        return False
    size = row_size(raw.offset_width)
    count = raw.idx_size // size
    if raw.idx_size % size or not rows_ascend(raw.idx_fd, count, offset_width=raw.offset_width):
        return False
    for stop in range(count, 0, -_BLOCK_ROWS):
        first = max(0, stop - _BLOCK_ROWS)
        block = os.pread(raw.idx_fd, (stop - first) * size, first * size)
        for at in range(len(block) - size, -1, -size):
            row = decode_row(block[at : at + size], raw.offset_width)
            if row.offset:
                position = row.offset * OFFSET_UNIT + append_time_at(max(row.size, 0))
                time = remote.read(position, TIMESTAMP_BYTES)
                return len(time) == TIMESTAMP_BYTES and int.from_bytes(time) <= since_ns
    return True  # no row has a position
