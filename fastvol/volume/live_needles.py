"""Every needle of a volume, in the order of its data file.

Records that were overwritten or deleted are left out (weed/storage/volume_read_all.go; upstream gives
deleted ones until the volume is loaded again).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from fastvol._cffi.fault import NativeFaultError
from fastvol.errors import DiskIOError, NeedleCorruptedError, VolumeDamagedError, reason_of
from fastvol.formats.file_range import FileEndsError
from fastvol.formats.index_entry import OFFSET_UNIT
from fastvol.volume.block_reader import BlockReader
from fastvol.volume.facts import remote_of
from fastvol.volume.live_files import live_files
from fastvol.volume.visitor import VisitStop, visit_records

if TYPE_CHECKING:
    from fastvol._cffi.visit import Record
    from fastvol._cffi.volume import NativeVolume
    from fastvol.volume.raw_files import RawFiles
    from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)


class LiveNeedle(NamedTuple):
    """A needle as stored: ``record`` describes it, the checksum is the stored one, unchecked."""

    record: Record
    data: bytes
    name: bytes
    mime: bytes


def live_needles(volume: Volume) -> Generator[LiveNeedle, None, None]:
    """The needles as they are at the beginning; changes made meanwhile may or may not show.

    A record whose fields leave it is passed over, with a warning in the log.

    Raises:
        StorageError: the volume is closed, its files cannot be read, or a header leads nowhere.
    """
    with live_files(volume) as raw:
        # The map that belongs to these files: after a vacuum the volume has another one.
        native = volume.native
        ours, theirs = os.fstat(raw.dat_fd), os.fstat(native.dat_fd())
        is_local = remote_of(native) is None
        if is_local and (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
            raise VolumeDamagedError(f"volume {volume.id} is compacted")
        visit = visit_records(raw.dat_fd, raw.first, raw.dat_size, raw.version, pass_zeros=True)
        reader = BlockReader(raw.dat_fd, raw.dat_size)
        try:
            for record in visit:
                if _is_live(native, record):
                    if record.fault:
                        log.warning(
                            "volume %d: needle %x at offset %d is damaged, and left out",
                            volume.id,
                            record.id,
                            record.offset,
                        )
                        continue
                    yield _needle(reader, record)
        except (OSError, FileEndsError) as error:
            raise DiskIOError(f"read {raw.dat_path}: {reason_of(error)}") from error
        _check_end(raw, visit.stopped, visit.position)


def _is_live(native: NativeVolume, record: Record) -> bool:
    try:
        entry = native.find(record.id)
    except NativeFaultError as fault:
        raise DiskIOError(f"needle map: {fault.os_text}") from None
    return entry is not None and entry.offset * OFFSET_UNIT == record.offset and entry.size >= 0


def _needle(reader: BlockReader, record: Record) -> LiveNeedle:
    if not record.size:
        return LiveNeedle(record, b"", b"", b"")
    whole = reader.read(record.offset, record.length)
    return LiveNeedle(
        record,
        whole[record.data_at : record.data_at + record.data_size],
        whole[record.name_at : record.name_at + record.name_size],
        whole[record.mime_at : record.mime_at + record.mime_size],
    )


def _check_end(raw: RawFiles, stopped: VisitStop, position: int) -> None:
    if stopped is VisitStop.TORN:
        raise NeedleCorruptedError(
            f"cannot read needle header at offset {position}: {raw.dat_path}"
        )
