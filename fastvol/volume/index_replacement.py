"""Putting a new index in the place of an old one, so that a crash leaves one or the other."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fastvol.formats.durable_file import FILE_MODE, sync_directory
from fastvol.volume.files import DERIVED_MAPS, VolumeFiles, remove_files, storage_errors


@contextmanager
def replaced_index(files: VolumeFiles, stale: Iterable[Path] | None = None) -> Iterator[int]:
    """Yields the descriptor of the new index, written aside; it replaces the old one at the end.

    Args:
        stale: maps that are not of the new index; None: those in every directory.

    Raises:
        OSError: the old index is still there, as after any error within.
    """
    path, temporary = files.idx, files.index(".idx.tmp")
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        # Other servers would take their maps of the old index for maps of this one.
        remove_files(files.everywhere(DERIVED_MAPS) if stale is None else stale)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def copy_index(files: VolumeFiles, to: VolumeFiles) -> None:
    """Copies the index, durably, to the directory of the other names.

    Raises:
        StorageError: nothing is changed.
    """
    # The maps beside the old index are its own, and open until it goes.
    stale = [to.index(extension) for extension in DERIVED_MAPS]
    with (
        storage_errors(files),
        replaced_index(to, stale) as fd,
        files.index(".idx").open("rb") as source,
    ):
        with os.fdopen(fd, "wb", closefd=False) as target:
            shutil.copyfileobj(source, target)
        shutil.copystat(source.name, to.index(".idx.tmp"))


def remove_index(files: VolumeFiles) -> None:
    """Removes an index, of which there is a copy elsewhere, with the maps made from it.

    Raises:
        StorageError
    """
    with storage_errors(files):
        files.index(".idx").unlink()
        remove_files([files.index(extension) for extension in DERIVED_MAPS])
        sync_directory(files.index_directory)
