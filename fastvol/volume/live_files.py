"""The files of a volume that is open and goes on taking writes, as they are at one moment."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastvol._cffi.volume import NativeVolume
from fastvol.errors import VolumeDamagedError
from fastvol.formats.index_entry import row_size
from fastvol.remote.tier import RemoteData
from fastvol.volume.facts import VolumeFacts, remote_of
from fastvol.volume.raw_files import RawFiles, open_data, open_index, read_super_block
from fastvol.volume.tiered_files import fetched

_SAMPLE_TRIES: Final = 100
_SAMPLE_SECONDS: Final = 0.001


@contextmanager
def live_files(volume: VolumeFacts, *, with_data: bool = True) -> Iterator[RawFiles]:
    """The files of an open volume as they are at this moment, and their sizes.

    All of a tiered volume's data is fetched first, into a file that goes with the descriptor, unless
    the caller does without it (``with_data``): then there may be no data to be read.

    Raises:
        VolumeClosedError
        VolumeDamagedError: they cannot be opened, or are not those that the volume has open.
        NoSpaceError, RemoteStorageError: only for a tiered volume.
    """
    owned: list[int] = []
    try:
        native = volume.native
        remote = remote_of(native)
        if remote is not None:
            yield _open_tiered(volume, native, remote, owned, with_data=with_data)
            return
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


def _open_tiered(
    volume: VolumeFacts,
    native: NativeVolume,
    remote: RemoteData,
    owned: list[int],
    *,
    with_data: bool,
) -> RawFiles:
    files = volume.files
    owned.append(open_index(files))
    if with_data:
        owned.append(fetched(remote, files.index_directory))
        dat_fd = owned[1]
    else:
        dat_fd = native.dat_fd()  # an empty file
    return RawFiles(
        files=files,
        super_block=volume.super_block,
        dat_fd=dat_fd,
        idx_fd=owned[0],
        dat_size=remote.size,
        idx_size=_sizes(volume, owned[0])[1],
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
