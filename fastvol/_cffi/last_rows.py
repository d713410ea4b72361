"""Typed face of dropping the rows of overwritten records."""

import errno
import os

from fastvol._cffi._core import ffi, lib


def keep_last_rows(idx_fd: int, *, offset_width: int, include_deleted: bool) -> int:
    """Drops the rows of overwritten records from rows that are in the order of their records.

    What is kept is what upstream's ``fix`` writes (weed/command/fix.go).

    Returns:
        How many rows are left.

    Raises:
        OSError, MemoryError
    """
    rows = ffi.new("uint64_t *")
    code = lib.fv_index_keep_last(idx_fd, offset_width, include_deleted, rows)
    if code == -errno.ENOMEM:
        raise MemoryError("no memory for the maps of an index")
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return int(rows[0])
