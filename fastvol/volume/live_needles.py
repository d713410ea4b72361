"""Every needle of a volume, in the order of its data file.

Records that were overwritten or deleted are left out (weed/storage/volume_read_all.go; upstream gives
deleted ones until the volume is loaded again).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from typing import TYPE_CHECKING

from fastvol._cffi.fault import SHORT, NativeFaultError
from fastvol._cffi.messages import MessageBuilder
from fastvol.errors import DiskIOError, NeedleCorruptedError, VolumeDamagedError, reason_of
from fastvol.volume.facts import remote_of
from fastvol.volume.live_files import live_files
from fastvol.volume.visitor import VisitStop, visit_records

if TYPE_CHECKING:
    from pathlib import Path

    from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)


def live_needle_messages(volume: Volume) -> Generator[bytes, None, None]:
    """A ReadAllNeedlesResponse, encoded, for each needle as it is at the beginning.

    Changes made meanwhile may or may not show. Payloads are as stored, with their stored checksum,
    unchecked; a record whose fields leave it is passed over, with a warning in the log.

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
        builder = MessageBuilder(raw.dat_fd)
        path = raw.files.dat
        try:
            for batch in visit.batches():
                yield from builder.live(native, volume.id, batch)
        except OSError as error:
            raise DiskIOError(f"read {path}: {reason_of(error)}") from error
        except NativeFaultError as fault:
            raise message_error(fault, path) from None
        if builder.damaged:
            log.warning(
                "volume %d: %d damaged needles are left out, the last is %x",
                volume.id,
                builder.damaged,
                builder.damaged_id,
            )
        if visit.stopped is VisitStop.TORN:
            raise NeedleCorruptedError(
                f"cannot read needle header at offset {visit.position}: {path}"
            )


def message_error(fault: NativeFaultError, path: Path) -> DiskIOError:
    """Why a record could not be put into a message."""
    if fault.on_map:
        return DiskIOError(f"needle map: {fault.os_text}")
    reason = "EOF" if fault.code == SHORT else fault.os_text
    return DiskIOError(f"read {path}: {reason}")
