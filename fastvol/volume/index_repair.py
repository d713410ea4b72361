"""Making a volume's index agree with its data file at open.

Theory of operation
-------------------
A write hands its record to the kernel before its index row, so after a crash of the process the data
file may be ahead of the index, never behind. After a power loss anything that was not synced may be
missing from either. At open the two ends are compared:

* *index missing*: rebuilt from the record headers (upstream 4.48 does the same).
* *index row cut short*: the partial row is dropped; its record, if whole, is indexed again below.
* *data file longer than the index knows*: each record behind the last indexed one is read and
  checked; whole ones get their row. What the walk cannot pass is cut off if it is a torn tail, that is,
  if no whole record is found anywhere behind it; otherwise it stays, and the volume is read-only.
* *last indexed record cut short*: the record and its row are dropped; an earlier version of the needle,
  if there is one, is valid again.
* *more rows than that point behind the end*: data is missing that was there. Nothing is touched; the
  volume is served read-only with its reason.

Nothing is written to a volume that is read-only by its ``.vif`` or its file modes, and nothing is cut
because of a read *error*: those raise. Every change is logged.

Upstream leaves all of these read-only or unloaded (weed/storage/volume_checking.go:
CheckVolumeDataIntegrity); a directory healed here loads writable there.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from fastvol._cffi.scan import IndexTail, ScanStop, find_record, index_tail, scan_to_index
from fastvol.formats.index_entry import row_size
from fastvol.formats.needle import actual_size

log = logging.getLogger(__name__)

_HEADER = 16
_CHECKSUM = 4


@dataclass(frozen=True, slots=True)
class EndState:
    """What was found at the end of the files; ``problem`` is empty when all is well."""

    last_append_ns: int
    problem: str


def rebuild_index(
    *,
    dat_fd: int,
    dat_size: int,
    first: int,
    version: int,
    width: int,
    idx_path: Path,
    volume_id: int,
) -> None:
    """Writes a new index from the record headers, atomically.

    Args:
        dat_fd: the data file, ``dat_size`` bytes long.
        first: byte offset of the first record.

    Raises:
        OSError
    """
    idx_path.parent.mkdir(parents=True, exist_ok=True)
    temporary = idx_path.with_name(idx_path.name + ".tmp")
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        result = scan_to_index(
            dat_fd,
            first,
            dat_size,
            version=version,
            verify=False,
            idx_fd=fd,
            idx_offset=0,
            offset_width=width,
        )
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(idx_path)
    sync_directory(idx_path.parent)
    log.warning(
        "volume %d: rebuilt %s from its data file: %d records up to offset %d, stopped at %s",
        volume_id,
        idx_path,
        result.records,
        result.position,
        result.stopped.words,
    )


def sync_directory(directory: Path) -> None:
    """Makes renames and creations in ``directory`` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def cut_partial_row(idx_fd: int, width: int, volume_id: int) -> None:
    """Drops the bytes behind the last whole row, which would make upstream refuse the volume."""
    size = os.fstat(idx_fd).st_size
    extra = size % row_size(width)
    if extra:
        os.ftruncate(idx_fd, size - extra)
        log.warning("volume %d: cut %d bytes of a partial index row", volume_id, extra)


def _record_end(tail: IndexTail, version: int) -> int:
    return tail.last_offset + actual_size(max(tail.last_size, 0), version)


def _append_time(dat_fd: int, offset: int, size: int, version: int) -> int:
    """AppendAtNs of a version 3 record, else 0."""
    if version != 3:
        return 0
    raw = os.pread(dat_fd, 8, offset + _HEADER + max(size, 0) + _CHECKSUM)
    return int.from_bytes(raw) if len(raw) == 8 else 0


def _header_agrees(dat_fd: int, tail: IndexTail) -> bool:
    header = os.pread(dat_fd, _HEADER, tail.last_offset)
    return (
        len(header) == _HEADER
        and int.from_bytes(header[4:12]) == tail.last_id
        and int.from_bytes(header[12:16]) == max(tail.last_size, 0)
    )


class EndRepair:
    """Compares and, when allowed, repairs the ends of one volume's two files."""

    def __init__(
        self, *, dat_fd: int, idx_fd: int, first: int, version: int, width: int, volume_id: int
    ) -> None:
        self._dat_fd = dat_fd
        self._idx_fd = idx_fd
        self._first = first
        self._version = version
        self._width = width
        self._volume_id = volume_id

    def run(self, *, may_write: bool) -> EndState:
        """Brings both ends together.

        Raises:
            OSError: a file cannot be read, or a repair not written.
        """
        if may_write:
            cut_partial_row(self._idx_fd, self._width, self._volume_id)
        dat_size = os.fstat(self._dat_fd).st_size
        tail = self._tail(dat_size)
        if tail.beyond:
            return self._data_is_shorter(tail, dat_size, may_write)
        if tail.last_offset and not _header_agrees(self._dat_fd, tail):
            return EndState(
                0, f"the last index row (offset {tail.last_offset}) does not match its record"
            )
        end = _record_end(tail, self._version) if tail.last_offset else self._first
        if dat_size > end:
            return self._data_is_longer(tail, end, dat_size, may_write)
        return EndState(self._last_append_time(tail), "")

    def _tail(self, dat_size: int) -> IndexTail:
        return index_tail(
            self._idx_fd, offset_width=self._width, version=self._version, dat_size=dat_size
        )

    def _last_append_time(self, tail: IndexTail) -> int:
        if not tail.last_offset:
            return 0
        return _append_time(self._dat_fd, tail.last_offset, tail.last_size, self._version)

    def _data_is_shorter(self, tail: IndexTail, dat_size: int, may_write: bool) -> EndState:
        end = _record_end(tail, self._version)
        torn_last = (
            tail.beyond == 1
            and tail.last_row == tail.rows - 1
            and tail.last_offset < dat_size < end
            and tail.last_offset >= self._first
        )
        if not (torn_last and may_write):
            return EndState(0, f"idx references end={end} but .dat is {dat_size} bytes")
        # Row first: a crash between the two leaves an un-indexed tail, which the next open cuts.
        os.ftruncate(self._idx_fd, tail.last_row * row_size(self._width))
        os.fsync(self._idx_fd)
        os.ftruncate(self._dat_fd, tail.last_offset)
        os.fsync(self._dat_fd)
        log.warning(
            "volume %d: dropped its last record (needle %x at offset %d): only %d of %d bytes",
            self._volume_id,
            tail.last_id,
            tail.last_offset,
            dat_size - tail.last_offset,
            end - tail.last_offset,
        )
        return EndState(self._last_append_time(self._tail(tail.last_offset)), "")

    def _data_is_longer(
        self, tail: IndexTail, end: int, dat_size: int, may_write: bool
    ) -> EndState:
        if not may_write:
            return EndState(
                self._last_append_time(tail),
                f"data file actual {dat_size} bytes expected {end} bytes",
            )
        result = scan_to_index(
            self._dat_fd,
            end,
            dat_size,
            version=self._version,
            verify=True,
            idx_fd=self._idx_fd,
            idx_offset=tail.rows * row_size(self._width),
            offset_width=self._width,
        )
        os.fsync(self._idx_fd)
        last_append_ns = result.last_append_ns or self._last_append_time(tail)
        if result.records:
            log.warning(
                "volume %d: indexed %d records at offsets %d to %d that had no row (%d damaged)",
                self._volume_id,
                result.records,
                end,
                result.position,
                result.damaged,
            )
        if result.stopped is not ScanStop.END:
            survivor = find_record(
                self._dat_fd, result.position + 8, dat_size, version=self._version
            )
            if survivor is not None:
                return EndState(
                    last_append_ns,
                    f"the data file has {result.stopped.words} at offset {result.position}, "
                    f"and a whole record behind it at offset {survivor}",
                )
            os.ftruncate(self._dat_fd, result.position)
            os.fsync(self._dat_fd)
            log.warning(
                "volume %d: cut %d bytes behind offset %d: the walk met %s",
                self._volume_id,
                dat_size - result.position,
                result.position,
                result.stopped.words,
            )
        return EndState(last_append_ns, "")
