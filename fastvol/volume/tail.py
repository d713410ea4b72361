"""Following a volume: what was appended since a moment, as records or as raw bytes.

Everything is read through descriptors of its own up to the size at the start, so that a writer adds
nothing half-made and a vacuum takes nothing away.  How the start is found, and what that guarantees,
is told in ``since``; how what was sent is applied, in ``received``.
"""

import os
from collections.abc import Generator, Iterator

from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.messages import MessageBuilder, newest_append_ns
from fastvol.errors import DiskIOError, NeedleCorruptedError, StorageError, reason_of
from fastvol.formats.file_range import FileEndsError
from fastvol.formats.needle import HEADER_BYTES
from fastvol.formats.protobuf_wire import bytes_field, number_field
from fastvol.limits import TAIL_CHUNK_BYTES
from fastvol.volume.block_reader import BlockReader
from fastvol.volume.facts import VolumeFacts
from fastvol.volume.live_files import live_files
from fastvol.volume.live_needles import message_error
from fastvol.volume.raw_files import RawFiles
from fastvol.volume.since import find_first_since
from fastvol.volume.tiered_files import nothing_since
from fastvol.volume.visitor import Record, RecordBatch, RecordVisit, VisitStop, visit_records

_HEADER, _BODY, _IS_LAST, _VERSION = range(1, 5)
"""Fields of VolumeTailSenderResponse."""


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
                raise DiskIOError(f"read {raw.files.dat}: {reason_of(error)}") from error
            if not chunk:
                raise DiskIOError(f"read {raw.files.dat}: it ends at {at}, not at {raw.dat_size}")
            yield chunk
            at += len(chunk)


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

    def next_messages(self) -> Generator[bytes, None, None]:
        """What was appended since the last round, as VolumeTailSenderResponses, encoded.

        To be gone through to its end: a round that is broken off is begun again, at most some records
        before where it was.

        Raises:
            StorageError: the round may be tried again.
        """
        if _is_through(self._volume, self.newest_ns):
            return
        with live_files(self._volume) as raw:
            self._find_place(raw)
            yield from self._messages(raw)

    def _find_place(self, raw: RawFiles) -> None:
        status = os.fstat(raw.dat_fd)
        file = status.st_dev, status.st_ino
        if file != self._file or self._position > raw.dat_size:
            start = find_first_since(raw, self.newest_ns)
            self._position = raw.dat_size if start is None else start
            self._file = file

    def _messages(self, raw: RawFiles) -> Iterator[bytes]:
        end = raw.dat_size
        visit = visit_records(raw.dat_fd, self._position, end, raw.version, pass_zeros=True)
        builder = MessageBuilder(raw.dat_fd)
        try:
            for batch in visit.batches():
                if batch.longest() - HEADER_BYTES > TAIL_CHUNK_BYTES:
                    yield from self._pieces_of(raw, batch)
                else:
                    yield from builder.tail(raw.version, batch)
                self._position = visit.position
                self.newest_ns = max(self.newest_ns, newest_append_ns(batch))
        except OSError as error:
            raise DiskIOError(f"read {raw.files.dat}: {reason_of(error)}") from error
        except NativeFaultError as fault:
            raise message_error(fault, raw.files.dat) from None
        self._check_end(raw, visit)

    def _pieces_of(self, raw: RawFiles, batch: RecordBatch) -> Iterator[bytes]:
        """Records among which are some that take several messages."""
        reader = BlockReader(raw.dat_fd, raw.dat_size)
        try:
            for record in batch:
                yield from _pieces(reader, record, raw.version)
        except FileEndsError as error:
            raise DiskIOError(f"read {raw.files.dat}: {reason_of(error)}") from error

    def _check_end(self, raw: RawFiles, visit: RecordVisit) -> None:
        if visit.stopped is VisitStop.TORN:
            raise NeedleCorruptedError(
                f"{raw.files.dat}: needle header at offset {visit.position} leads nowhere: "
                "needle data corrupted"
            )
        self._position = raw.dat_size


def _pieces(reader: BlockReader, record: Record, version: int) -> Iterator[bytes]:
    """The messages of one record: its header in each, and up to 2 MiB of what follows."""
    header = bytes_field(_HEADER, reader.read(record.offset, HEADER_BYTES))
    at = record.offset + HEADER_BYTES
    while at < record.end:
        body = reader.read(at, min(TAIL_CHUNK_BYTES, record.end - at))
        at += len(body)
        is_last = number_field(_IS_LAST, at == record.end)
        yield b"".join((header, bytes_field(_BODY, body), is_last, number_field(_VERSION, version)))
