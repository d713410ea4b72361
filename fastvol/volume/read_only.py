"""Opening a volume for reading only: no byte of it is changed, whatever state it is in.

Other than ``opening``, nothing is repaired and no ``.vif`` is written; a missing index is made in
memory. What is wrong with the volume is among its read-only reasons.
"""

import os
from dataclasses import replace

from fastvol._cffi.volume import NativeVolume
from fastvol.errors import StorageError, VolumeDamagedError, reason_of
from fastvol.formats.needle import TIMED_VERSION
from fastvol.formats.volume_info import VolumeInfo
from fastvol.volume.files import VolumeFiles
from fastvol.volume.index_rebuild import index_in_memory
from fastvol.volume.last_write import last_write_second
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.reasons import ReadOnlyReason
from fastvol.volume.unrepaired import UnrepairedVolume, unrepaired

OPENED_FOR_READING = "it was opened for reading only"


def open_read_only(files: VolumeFiles) -> OpenedVolume:
    """Opens a volume that may be in use by a server at the same time.

    Raises:
        VolumeDamagedError: with the reason.
    """
    if files.data(".note").exists():
        raise VolumeDamagedError(f"volume {files.data('')}: it is an incomplete copy")
    try:
        with unrepaired(files) as looked:
            return _open(looked)
    except VolumeDamagedError:
        raise
    except (OSError, StorageError, MemoryError) as error:
        words = reason_of(error) or type(error).__name__
        raise VolumeDamagedError(f"volume {files.data('')}: {words}") from error


def _open(looked: UnrepairedVolume) -> OpenedVolume:
    files, block = looked.files, looked.super_block
    info = looked.info or VolumeInfo()
    if info.files:
        raise VolumeDamagedError(f"volume {files.base}: its data is on remote storage")
    problems = list(looked.problems)
    made_fd = -1
    dat_fd = os.dup(looked.dat_fd)
    try:
        if not looked.has_index:
            made_fd = index_in_memory(
                dat_fd,
                dat_size=looked.dat_size,
                first=looked.first,
                version=looked.version,
                width=looked.offset_width,
                name=files.base,
            )
            looked = replace(looked, idx_fd=made_fd)
        if problem := looked.ends_problem():
            problems.append(problem)
        needle_map, counters = looked.load_map()
        modified = int(os.fstat(dat_fd).st_mtime)
        youngest = modified
        if block.ttl.minutes and block.version == TIMED_VERSION:
            youngest = last_write_second(
                dat_fd,
                looked.idx_fd,
                width=looked.offset_width,
                revision=block.compaction_revision,
                fallback=modified,
                volume_id=files.volume_id,
            )
    except BaseException:
        os.close(dat_fd)
        raise
    finally:
        if made_fd >= 0:
            os.close(made_fd)
    native = NativeVolume(
        volume_id=files.volume_id,
        version=block.version,
        offset_width=looked.offset_width,
        dat_fd=dat_fd,
        idx_fd=-1,
        dat_size=looked.dat_size,
        idx_size=looked.idx_size,
        last_append_ns=0,
        modified_second=modified,
        last_modified_second=max(0, youngest),
        ttl=block.ttl.to_bytes(),
        needle_map=needle_map,
        counters=counters,
    )
    return OpenedVolume(
        files=files,
        info=info,
        super_block=block,
        offset_width=looked.offset_width,
        native=native,
        no_write_or_delete=True,
        damage=[ReadOnlyReason(words) for words in (OPENED_FOR_READING, *problems)],
    )
