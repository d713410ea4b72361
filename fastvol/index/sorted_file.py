"""The sorted file (``.sdx``) of a volume that takes no writes, made from the index when it is stale.

Fresh is one that is younger than the index (weed/storage/needle_map_sorted_file.go: isSortedFileFresh)
and holds exactly what the index says; the whole index is read for the counters anyway.
"""

import logging
import os
from pathlib import Path
from typing import Final

from fastvol._cffi.sorted_map import (
    IndexFigures,
    SortedMap,
    StaleSortedFileError,
    write_sorted,
)
from fastvol.formats.durable_file import FILE_MODE, sync_directory

log = logging.getLogger(__name__)

TEMPORARY: Final = ".sdx.tmp"


def open_sorted_map(
    path: Path, idx_fd: int, width: int, figures: IndexFigures, *, can_delete: bool
) -> SortedMap:
    """Opens the map, making its file anew if need be.

    Args:
        path: ``<base>.sdx``.
        idx_fd: of the index, which nobody appends to meanwhile; not taken over.
        width: bytes of its offsets.
        figures: of the same index.

    Raises:
        OSError, MemoryError
    """
    flags = (os.O_RDWR if can_delete else os.O_RDONLY) | os.O_CLOEXEC
    if _is_younger(path, idx_fd):
        try:
            return SortedMap(os.open(path, flags), width, figures)
        except (StaleSortedFileError, OSError) as error:
            log.warning("making %s anew: %s", path, error)
    _write(path, idx_fd, width)
    return SortedMap(os.open(path, flags), width, figures)


def _is_younger(path: Path, idx_fd: int) -> bool:
    try:
        return path.stat().st_mtime_ns > os.fstat(idx_fd).st_mtime_ns
    except FileNotFoundError:
        return False


def _write(path: Path, idx_fd: int, width: int) -> None:
    temporary = path.with_suffix(TEMPORARY)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            write_sorted(idx_fd, fd, width)
        finally:
            os.close(fd)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
