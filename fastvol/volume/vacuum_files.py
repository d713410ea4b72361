"""The files of a vacuum: built aside, swapped in, and settled after a crash.

Theory of operation
-------------------
A vacuum builds ``.cpd`` and ``.cpx``. To commit, both are made durable, then the marker ``.cpc`` is;
``.cpd`` is renamed to ``.dat`` and ``.cpx`` to ``.idx``, the maps derived from the old index are
removed, and last the marker. What lies there after a crash tells how far it came:

| found | done |
| --- | --- |
| no ``.cpc``, but ``.cpd`` or ``.cpx`` | roll back: remove both |
| ``.cpc`` | roll forward: make the renames that are still due, remove the marker |

A marker without both new files beside it must never be written, and a stray one must not meet a new
``.cpd`` that is still being filled: it would be rolled forward over good data. So one is removed,
durably, before a vacuum begins. Source of the protocol: ``weed/storage/volume_vacuum.go``:
makeupDiff, CommitCompact, reconcileCompactState.
"""

import logging
import os
from pathlib import Path
from typing import Final

from fastvol.formats.durable_file import FILE_MODE, sync_directory
from fastvol.volume.files import DERIVED_MAPS, VolumeFiles, remove_files

log = logging.getLogger(__name__)

_BUILDING: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def clear_way(files: VolumeFiles) -> None:
    """Removes what an earlier vacuum of a volume in use left.

    Raises:
        OSError: a marker cannot be removed; it must not meet a new ``.cpd``.
    """
    marker = files.data(".cpc")
    if marker.exists():
        log.warning("volume %d: removing a stray vacuum marker", files.volume_id)
        marker.unlink()
        sync_directory(files.directory)
    remove_built(files)


def remove_built(files: VolumeFiles) -> None:
    """Removes what a vacuum built and did not commit; failures are logged."""
    remove_files(files.everywhere((".cpd", ".cpx", ".cpldb")))


def create_built(path: Path, like: Path) -> int:
    """A descriptor of a new, empty file with the owner and mode of the one that it will replace.

    Raises:
        OSError
    """
    fd = os.open(path, _BUILDING, FILE_MODE)
    try:
        status = like.stat()
        os.fchmod(fd, status.st_mode & 0o7777)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(fd, status.st_uid, status.st_gid)
    except PermissionError:
        pass  # not ours to give away; the file works all the same
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_marker(files: VolumeFiles) -> None:
    """Declares both new files complete: from here on the vacuum can only go forward.

    Raises:
        OSError: there is no marker.
    """
    marker = files.data(".cpc")
    try:
        fd = os.open(marker, _BUILDING, FILE_MODE)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(files.directory)
    except BaseException:
        marker.unlink(missing_ok=True)
        raise


def swap_in(files: VolumeFiles, *, with_map: bool = False) -> None:
    """Makes the renames that are still due, and removes the marker when they are durable.

    ``with_map``: ``.cpldb`` is the map of the new index, and nobody has the old map open. After a
    crash nobody knows that.

    Raises:
        OSError: the marker is still there; calling this again goes on where it failed.
    """
    new_data = files.data(".cpd")
    if new_data.exists():
        new_data.replace(files.dat)
    # An index beside the data outranks the index directory, for the new index too.
    for new_index in files.everywhere((".cpx",)):
        if new_index.exists():
            new_index.replace(new_index.with_suffix(".idx"))
    _sync_directories(files)
    remove_files(files.everywhere(DERIVED_MAPS))
    if with_map:
        _adopt_map(files)
    remove_files(files.everywhere((".cpldb",)))
    _remove_marker(files)


def _adopt_map(files: VolumeFiles) -> None:
    try:
        files.index(".cpldb").rename(files.index(".ldb"))
    except OSError as error:
        log.warning("volume %d: its map will be made anew: %s", files.volume_id, error)


def settle(files: VolumeFiles) -> None:
    """Brings a volume that is not in use to the state before or after its vacuum.

    Raises:
        OSError: what is there is still good for another try.
    """
    if files.data(".cpc").exists():
        log.warning("volume %d: rolling forward interrupted compaction commit", files.volume_id)
        swap_in(files)
        return
    leftovers = [path for path in files.everywhere((".cpd", ".cpx")) if path.exists()]
    for leftover in leftovers:
        log.warning(
            "volume %d: rolling back orphan compaction file %s", files.volume_id, leftover.suffix
        )
        leftover.unlink()
    if leftovers:
        _sync_directories(files)
        remove_files(files.everywhere((*DERIVED_MAPS, ".cpldb")))


def _sync_directories(files: VolumeFiles) -> None:
    for directory in {path.parent for path in files.everywhere(("",))}:
        if directory.is_dir():
            sync_directory(directory)


def _remove_marker(files: VolumeFiles) -> None:
    # Last: until the renames are on the disk the marker is what makes them happen again.
    files.data(".cpc").unlink(missing_ok=True)
    sync_directory(files.directory)
