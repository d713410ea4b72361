"""Applying what another server sent: single records to a live volume, raw bytes to a volume's files.

Records (weed/operation/tail_volume.go).  One with a payload is written; it gets an append time of this
server.  One without may be a tombstone or an empty file, they look alike.  Upstream stores both as empty
files, so that a deleted needle answers again, without content.  Here the receiver decides by what it
knows: a needle that has content here was deleted; a record that has a cookie and no checksum is an empty
upload, because a deletion carries the checksum of what it deleted; everything else is a deletion, and
so is what upstream's vacuum notes of a needle that was deleted while it ran, by a cookie of its own.  A
tombstone is appended whether there was something to delete or not: so both files have the sender's
sizes, by which a move is checked, and whoever follows this server learns of the deletion, too.

Raw bytes (weed/storage/volume_backup.go: IncrementalBackup).  Order: bring the ends of both files
together; append the bytes; sync the data; append rows for the whole records among them; sync the index.
Whatever the moment of a crash, the next run finds at most bytes without rows behind the last record,
and begins with making rows for them and cutting off a torn one.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fastvol._cffi.scan import ScanResult, ScanStop, find_record, scan_to_index
from fastvol.errors import DiskIOError, NeedleCorruptedError, StorageError, reason_of
from fastvol.formats.needle import (
    SIZE_MAX,
    TIMED_VERSION,
    Needle,
    actual_size,
    decode,
    decode_header,
)
from fastvol.formats.super_block import SUPER_BLOCK_BYTES
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.volume.files import VolumeFiles, open_file
from fastvol.volume.index_repair import EndRepair
from fastvol.volume.raw_files import RawFiles
from fastvol.volume.unrepaired import unrepaired
from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)

_DEFAULT_VERSION: Final = 3
_VACUUM_COOKIE: Final = 0x12345678
"""Of the tombstones that upstream's vacuum makes (weed/storage/volume_vacuum.go: makeupDiff)."""


class Applied(Enum):
    """What a received record did."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    EMPTIED = "emptied"
    DELETED = "deleted"


class RecordAssembler:
    """Puts the pieces of records together."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._bytes_left = 0

    def add(self, header: bytes, body: bytes, *, is_last: bool) -> bytes | None:
        """The whole record when this was its last piece; None before, and for a heartbeat.

        Raises:
            NeedleCorruptedError: there are more bytes than the header says.
        """
        if not header:
            return None
        if not self._pieces:
            self._pieces.append(header)
            self._bytes_left = _bytes_behind(header)
        self._pieces.append(body)
        self._bytes_left -= len(body)
        if self._bytes_left < 0:
            raise NeedleCorruptedError(
                f"a record does not end where its header says: {header.hex()}"
            )
        return self.rest() if is_last else None

    def rest(self) -> bytes | None:
        """What was not told to be whole, if there is anything."""
        record = b"".join(self._pieces)
        self._pieces.clear()
        return record or None


def _bytes_behind(header: bytes) -> int:
    """The most that a record of any version has behind its header."""
    decoded = decode_header(header)
    if decoded is None or decoded.size > SIZE_MAX:
        raise NeedleCorruptedError(f"{header.hex()} is no header of a record")
    return actual_size(decoded.size, TIMED_VERSION) - len(header)


def apply_record(volume: Volume, record: bytes, version: int = 0) -> Applied:
    """Applies one record of a tail.

    A stored needle with another cookie is not overwritten, as upstream does not: only a record without
    a cookie takes over the stored one.

    Args:
        record: header, body, checksum, append time and padding.
        version: of the sender's needles; 0 means 3.

    Raises:
        NeedleCorruptedError: it is not a whole record, or fails its checksum; nothing was changed.
        CookieMismatchError, StorageError: the volume does not take it.
    """
    header = decode_header(record)
    if header is None:
        raise NeedleCorruptedError(f"a record of {len(record)} bytes has no header")
    version = version or _DEFAULT_VERSION
    if not 1 <= version <= TIMED_VERSION:
        raise NeedleCorruptedError(f"records of version {version} are not supported")
    needle = decode(record, header.size, version)
    if len(needle.data):
        done = volume.write(needle, check_cookie=False)
        return Applied.UNCHANGED if done.unchanged else Applied.WRITTEN
    if _is_empty_file(volume, needle):
        volume.write(needle, check_cookie=False)
        return Applied.EMPTIED
    volume.delete(needle.id, needle.cookie, needle.checksum, always=True)
    return Applied.DELETED


def _is_empty_file(volume: Volume, needle: Needle) -> bool:
    known = volume.entry(needle.id)
    if known is not None and known.size > 0:
        return False
    return needle.checksum == 0 and needle.cookie not in (0, _VACUUM_COOKIE)


@dataclass(frozen=True, slots=True)
class IncrementalResult:
    """What raw bytes added: ``records`` rows, ``dat_size`` is the new size of the data file in bytes.

    ``received`` bytes came in; ``dropped`` of them were behind the last whole record.
    """

    received: int
    records: int
    dropped: int
    dat_size: int


def write_chunks(fd: int, at: int, chunks: Iterable[bytes | memoryview]) -> int:
    """Writes every byte from offset ``at`` on; returns the offset behind the last one."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(fd, view, at)
            view = view[written:]
            at += written
    return at


def apply_incremental(
    files: VolumeFiles,
    chunks: Iterable[bytes],
    *,
    default_offset_width: int = OFFSET_WIDTH_DEFAULT,
) -> IncrementalResult:
    """Appends raw bytes of another server's data file to a volume that nobody has open.

    Args:
        chunks: from the beginning of a record on; may end within one.

    Raises:
        VolumeDamagedError: the files cannot be opened.
        StorageError: their ends do not fit, what came is no sequence of records, or the operating
            system refused. Data and index are as they were then, at most longer by whole records.
    """
    with unrepaired(files, default_offset_width=default_offset_width, needs_index=True) as raw:
        append = _IncrementalAppend(raw)
        try:
            return append.run(chunks)
        except OSError as error:
            raise DiskIOError(f"volume {raw.files.data('')}: {reason_of(error)}") from error
        finally:
            append.close()


class _IncrementalAppend:
    def __init__(self, raw: RawFiles) -> None:
        self._raw = raw
        self._dat_fd = self._idx_fd = -1

    def close(self) -> None:
        for fd in (self._dat_fd, self._idx_fd):
            if fd >= 0:
                os.close(fd)

    def run(self, chunks: Iterable[bytes]) -> IncrementalResult:
        raw = self._raw
        self._dat_fd = open_file(raw.files.dat, os.O_RDWR)
        self._idx_fd = open_file(raw.files.idx, os.O_RDWR)
        self._bring_ends_together()
        start = os.fstat(self._dat_fd).st_size
        rows_end = os.fstat(self._idx_fd).st_size
        assert start % 8 == 0 and start >= SUPER_BLOCK_BYTES
        received = self._append(chunks, start)
        os.fsync(self._dat_fd)
        try:
            result = self._index(start, start + received, rows_end)
        except BaseException:
            self._undo(start, rows_end)
            raise
        return IncrementalResult(
            received, result.records, start + received - result.position, result.position
        )

    def _bring_ends_together(self) -> None:
        raw = self._raw
        end = EndRepair(
            raw.files,
            dat_fd=self._dat_fd,
            idx_fd=self._idx_fd,
            first=raw.first,
            version=raw.version,
            width=raw.offset_width,
        ).run(may_write=True)
        if end.problem:
            raise StorageError(f"volume {raw.files.data('')}: {end.problem}")

    def _append(self, chunks: Iterable[bytes], start: int) -> int:
        try:
            return write_chunks(self._dat_fd, start, chunks) - start
        except BaseException:  # the sender's errors, too
            os.ftruncate(self._dat_fd, start)
            raise

    def _index(self, start: int, end: int, rows_end: int) -> ScanResult:
        raw = self._raw
        result = scan_to_index(
            self._dat_fd,
            start,
            end,
            version=raw.version,
            verify=True,
            idx_fd=self._idx_fd,
            idx_offset=rows_end,
            offset_width=raw.offset_width,
        )
        os.fsync(self._idx_fd)
        if result.damaged:
            log.error(
                "volume %d: %d of the records received are damaged, the last at offset %d",
                raw.files.volume_id,
                result.damaged,
                result.damaged_offset,
            )
        if result.stopped is not ScanStop.END:
            self._cut(result, end)
        return result

    def _cut(self, result: ScanResult, end: int) -> None:
        """Drops a record that was cut short; anything else is nothing that can be appended."""
        raw = self._raw
        where = f"the bytes received have {result.stopped.words} at offset {result.position}"
        survivor = find_record(self._dat_fd, result.position + 8, end, version=raw.version)
        if survivor is not None or result.stopped is ScanStop.TOO_FAR:
            raise NeedleCorruptedError(f"volume {raw.files.data('')}: {where}")
        os.ftruncate(self._dat_fd, result.position)
        os.fsync(self._dat_fd)

    def _undo(self, start: int, rows_end: int) -> None:
        """Rows first: without their records they would be the worse of the two."""
        try:
            os.ftruncate(self._idx_fd, rows_end)
            os.ftruncate(self._dat_fd, start)
        except OSError as error:
            log.warning(
                "volume %d: cannot cut off what was received: %s", self._raw.files.volume_id, error
            )
