"""Where exported files go: a tar, or a directory."""

import io
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from fastvol.errors import StorageError, UsageError
from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import Needle

_FILE_MODE: Final = 0o644
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Target(Protocol):
    """Takes the files of one volume."""

    def add(self, path: PurePosixPath, needle: Needle) -> None:
        """Adds a file.

        Raises:
            OSError, StorageError
        """


class TarTarget:
    """An open archive; modes and times as upstream writes them."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, path: PurePosixPath, needle: Needle) -> None:
        """Adds a member; two of the same name are both there, as upstream."""
        member = tarfile.TarInfo(str(path))
        member.size = len(needle.data)
        member.mode = _FILE_MODE
        member.mtime = needle.last_modified
        member.uid, member.gid = os.getuid(), os.getgid()
        self._tar.addfile(member, io.BytesIO(needle.data))


class DirectoryTarget:
    """Files below a directory; nothing is written elsewhere, and nothing over what is there."""

    def __init__(self, directory: Path, volume_id: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._root = directory.resolve()
        self._volume_id = volume_id

    def add(self, path: PurePosixPath, needle: Needle) -> None:
        """Writes a file with its time; its file id tells it from another one that has its path."""
        fid = format_file_id(self._volume_id, needle.id, needle.cookie)
        beside = path.with_name(f"{path.name[:200]}.{fid}")
        for name in (path, beside, PurePosixPath(beside.name)):
            try:
                fd = os.open(self._within(name), _NEW_FILE, _FILE_MODE)
                break
            except (FileExistsError, NotADirectoryError):
                continue  # the name of another file, or of a directory
        else:
            raise StorageError(f"{self._root / path} exists already")
        with os.fdopen(fd, "wb") as file:
            file.write(needle.data)
            file.flush()
            os.utime(file.fileno(), (needle.last_modified, needle.last_modified))

    def _within(self, name: PurePosixPath) -> Path:
        """The place of a file, its directories made; no link is followed."""
        at = self._root
        for part in name.parts[:-1]:
            at /= part
            if at.is_symlink():
                raise StorageError(f"{at} is a link: it leads out of {self._root}")
            at.mkdir(exist_ok=True)
        return at / name.name


@contextmanager
def opened_target(output: str, volume_id: int) -> Iterator[Target]:
    """The target that ``-o`` names: ``-``, ``x.tar``, or a directory with a slash behind it.

    An archive gets its end at the end of ``with``, but not behind a failure.

    Raises:
        UsageError: it is none of these.
        OSError: it cannot be opened.
    """
    if output == "-" or output.endswith(".tar"):
        with _tar(output) as tar:
            yield TarTarget(tar)
    elif output.endswith("/") or Path(output).is_dir():
        yield DirectoryTarget(Path(output), volume_id)
    else:
        raise UsageError(
            f"the output file {output} should be '-' or end with .tar, or with / for a directory"
        )


def _tar(output: str) -> tarfile.TarFile:
    if output == "-":
        return tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT)
    return tarfile.open(output, mode="w", format=tarfile.PAX_FORMAT)
