"""Making an index anew from the record headers of a data file.

An empty file and a tombstone look alike in the data; both become deletions.  Source of the rules:
``weed/storage/volume_idx_repair.go``.
"""

import logging
import os

from fastvol._cffi.scan import ScanResult, scan_to_index
from fastvol.volume.files import VolumeFiles
from fastvol.volume.index_replacement import replaced_index

log = logging.getLogger(__name__)


def rebuild_index(
    files: VolumeFiles, dat_fd: int, *, dat_size: int, first: int, version: int, width: int
) -> None:
    """Writes a volume's index, atomically.

    Args:
        dat_fd: the data file, ``dat_size`` bytes long.
        first: byte offset of the first record.
        width: of the offsets, 4 or 5 bytes.

    Raises:
        OSError: nothing was changed.
    """
    path = files.idx
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_index(files) as fd:
        result = _scan(dat_fd, dat_size, first, version=version, width=width, idx_fd=fd)
    if dat_size > first:
        log.warning(
            "volume %d: rebuilt %s from its data file: %d records up to offset %d, stopped at %s",
            files.volume_id,
            path,
            result.records,
            result.position,
            result.stopped.words,
        )


def index_in_memory(
    dat_fd: int, *, dat_size: int, first: int, version: int, width: int, name: str
) -> int:
    """The same index in a file without a name, for a volume that nothing may be written to.

    Returns:
        Its descriptor.

    Raises:
        OSError
    """
    fd = os.memfd_create(name)
    try:
        _scan(dat_fd, dat_size, first, version=version, width=width, idx_fd=fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _scan(
    dat_fd: int, dat_size: int, first: int, *, version: int, width: int, idx_fd: int
) -> ScanResult:
    return scan_to_index(
        dat_fd,
        first,
        dat_size,
        version=version,
        verify=False,
        idx_fd=idx_fd,
        idx_offset=0,
        offset_width=width,
    )
