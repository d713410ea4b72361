"""Following a volume: what was appended since a moment, as records or as raw bytes.

Everything is read through descriptors of its own up to the size at the start, so that a writer adds
nothing half-made and a vacuum takes nothing away.  How the start is found, and what that guarantees,
is told in ``since``; how what was sent is applied, in ``received``.
"""

import os
from collections.abc import Generator, Iterator
from typing import NamedTuple

from fastvol.errors import DiskIOError, NeedleCorruptedError, StorageError, reason_of
from fastvol.formats.file_range import FileEndsError
from fastvol.formats.needle import HEADER_BYTES
from fastvol.limits import TAIL_CHUNK_BYTES
from fastvol.volume.block_reader import BlockReader
from fastvol.volume.facts import VolumeFacts
from fastvol.volume.live_files import live_files
from fastvol.volume.raw_files import RawFiles
from fastvol.volume.since import find_first_since
from fastvol.volume.tiered_files import nothing_since
from fastvol.volume.visitor import Record, VisitStop, visit_records


class TailChunk(NamedTuple):
    """A piece of a record: its header, repeated in each piece, and up to 2 MiB of what follows.

    The rest of a record includes checksum, append time and padding.
    """

    header: bytes
    body: bytes
    is_last: bool
    append_at_ns: int


def incremental_range(volume: VolumeFacts, since_ns: int) -> tuple[int, int] | None:
    """Byte offsets (start, stop) of the data file between which everything newer lies.

    None when there is nothing (weed/server/volume_grpc_copy_incremental.go).  Unlike there, ``stop``
    holds: nothing behind it is sent, so nothing half-written is.

    Raises:
        StorageError
    """
    if _is_through(volume, since_ns):
        return None
    with live_files(volume) as raw:
        start = find_first_since(raw, since_ns)
        return None if start is None else (start, raw.dat_size)


def _is_through(volume: VolumeFacts, since_ns: int) -> bool:
    """Whether a tiered volume need not be fetched, because it has nothing newer."""
    remote = volume.remote
    if remote is None:
        return False
    with live_files(volume, with_data=False) as raw:
        return nothing_since(raw, remote, since_ns, volume.modified_at_second)


def incremental_chunks(volume: VolumeFacts, since_ns: int) -> Generator[bytes, None, None]:
    """The raw bytes of :func:`incremental_range`, up to 2 MiB at a time.

    Raises:
        StorageError
    """
    if _is_through(volume, since_ns):
        return
    with live_files(volume) as raw:
        try:
            start = find_first_since(raw, since_ns)
        except StorageError as error:
            raise StorageError(f"fail to locate by appendAtNs {since_ns}: {error}") from error
        at = raw.dat_size if start is None else start
        while at < raw.dat_size:
            try:
                chunk = os.pread(raw.dat_fd, min(TAIL_CHUNK_BYTES, raw.dat_size - at), at)
            except OSError as error:
                raise DiskIOError(f"read {raw.dat_path}: {reason_of(error)}") from error
            if not chunk:
                raise DiskIOError(f"read {raw.dat_path}: it ends at {at}, not at {raw.dat_size}")
            yield chunk
            at += len(chunk)


def records_since(volume: VolumeFacts, since_ns: int) -> Iterator[TailChunk]:
    """All records from the first one that is newer on, in the order of the data file.

    Raises:
        StorageError
    """
    yield from TailCursor(volume, since_ns).next_chunks()


class TailCursor:
    """A place in a volume that is followed (weed/server/volume_grpc_tail.go: VolumeTailSender).

    As long as the data file is the same one, the next round goes on where the last one ended; nothing
    has to be searched.
    """

    def __init__(self, volume: VolumeFacts, since_ns: int) -> None:
        self.newest_ns = since_ns
        """Newest append time sent so far, at first what was asked for."""
        self._volume = volume
        self._file: tuple[int, int] | None = None
        self._position = 0

    def next_chunks(self) -> Iterator[TailChunk]:
        """What was appended since the last round; to be gone through to its end.

        Raises:
            StorageError: the round may be tried again.
        """
        if _is_through(self._volume, self.newest_ns):
            return
        with live_files(self._volume) as raw:
            status = os.fstat(raw.dat_fd)
            file = status.st_dev, status.st_ino
            if file != self._file or self._position > raw.dat_size:
                start = find_first_since(raw, self.newest_ns)
                self._position = raw.dat_size if start is None else start
                self._file = file
            yield from self._chunks(raw)

    def _chunks(self, raw: RawFiles) -> Iterator[TailChunk]:
        end = raw.dat_size
        visit = visit_records(raw.dat_fd, self._position, end, raw.version, pass_zeros=True)
        reader = BlockReader(raw.dat_fd, end)
        try:
            for record in visit:
                yield from _pieces(reader, record)
                self._position = record.end
                self.newest_ns = max(self.newest_ns, record.append_at_ns)
        except (OSError, FileEndsError) as error:
            raise DiskIOError(f"read {raw.dat_path}: {reason_of(error)}") from error
        if visit.stopped is VisitStop.TORN:
            raise NeedleCorruptedError(
                f"{raw.dat_path}: needle header at offset {visit.position} leads nowhere: "
                "needle data corrupted"
            )
        self._position = end


def _pieces(reader: BlockReader, record: Record) -> Iterator[TailChunk]:
    header = reader.read(record.offset, HEADER_BYTES)
    at = record.offset + HEADER_BYTES
    while at < record.end:
        body = reader.read(at, min(TAIL_CHUNK_BYTES, record.end - at))
        at += len(body)
        yield TailChunk(header, body, at == record.end, record.append_at_ns)
