"""The files of a volume that is open and goes on taking writes, as they are at one moment."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastvol.errors import VolumeDamagedError
from fastvol.formats.index_entry import row_size
from fastvol.volume.facts import VolumeFacts
from fastvol.volume.raw_files import RawFiles, open_data, open_index, read_super_block

_SAMPLE_TRIES: Final = 100
_SAMPLE_SECONDS: Final = 0.001


@contextmanager
def live_files(volume: VolumeFacts) -> Iterator[RawFiles]:
    """The files of an open volume as they are at this moment, and their sizes.

    Raises:
        VolumeClosedError
        VolumeDamagedError: they cannot be opened, or are not those that the volume has open.
    """
    owned: list[int] = []
    try:
        for _ in range(_SAMPLE_TRIES):
            raw = _open_live(volume, owned)
            if raw is not None:
                break
            # A vacuum has put others in their place.
            while owned:
                os.close(owned.pop())
            time.sleep(_SAMPLE_SECONDS)
        else:
            path = volume.files.dat
            raise VolumeDamagedError(f"{path} is not the file that volume {volume.id} has open")
        yield raw
    finally:
        for fd in owned:
            os.close(fd)


def _open_live(volume: VolumeFacts, owned: list[int]) -> RawFiles | None:
    """None when the volume has other files open by now; ``owned`` are the descriptors."""
    files = volume.files
    # Opened while it is known that the volume lives, so that a closed one is told as such.
    native = volume.native
    owned.append(open_data(files))
    owned.append(open_index(files))
    dat_fd, idx_fd = owned
    super_block = read_super_block(files, dat_fd)
    dat_size, idx_size = _sizes(volume, idx_fd)
    ours, theirs = os.fstat(dat_fd), os.fstat(native.dat_fd())
    if volume.native is not native or (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        return None
    return RawFiles(
        files=files,
        super_block=super_block,
        dat_fd=dat_fd,
        idx_fd=idx_fd,
        dat_size=dat_size,
        idx_size=idx_size,
        offset_width=volume.offset_width,
    )


def _sizes(volume: VolumeFacts, idx_fd: int) -> tuple[int, int]:
    """Data and index size that belong together.

    The sizes that the volume knows do, but an index that was damaged behind its back must be seen as
    it is on the disk; while a writer is at work, the two differ by the row that is on its way.
    """
    for _ in range(_SAMPLE_TRIES):
        stat = volume.stat()
        idx_size = os.fstat(idx_fd).st_size
        if stat.idx_size == idx_size:
            return stat.dat_size, idx_size
        if volume.stat() == stat:
            time.sleep(_SAMPLE_SECONDS)
    width = row_size(volume.offset_width)
    if idx_size % width == 0 and idx_size > stat.idx_size:
        idx_size = stat.idx_size  # a writer that never rests
    return stat.dat_size, idx_size
