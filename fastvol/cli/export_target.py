"""Where exported files go: a tar, or a directory."""

import io
import os
import sys
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final

from fastvol.errors import StorageError, UsageError
from fastvol.formats.needle import Needle

_FILE_MODE: Final = 0o644
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Target(ABC):
    """Takes files until it is closed by the end of ``with``."""

    @abstractmethod
    def add(self, path: PurePosixPath, needle: Needle, fid: str) -> None:
        """Adds a file; ``fid`` tells it from another one that has its path.

        Raises:
            OSError
        """

    def close(self, *, complete: bool) -> None:  # noqa: B027 - most have nothing to close
        """Ends it; ``complete`` is False after a failure."""

    def __enter__(self) -> "Target":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(complete=error is None)


class TarTarget(Target):
    """A tar file, or a tar on standard output; modes and times as upstream writes them."""

    def __init__(self, output: str) -> None:
        self._path = None if output == "-" else Path(output)
        if self._path is None:
            self._tar = tarfile.open(  # noqa: SIM115 - closed by close()
                fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT
            )
        else:
            self._tar = tarfile.open(self._path, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by close()

    def add(self, path: PurePosixPath, needle: Needle, fid: str) -> None:  # noqa: ARG002
        """Adds a member; two of the same name are both there, as upstream."""
        member = tarfile.TarInfo(str(path))
        member.size = len(needle.data)
        member.mode = _FILE_MODE
        member.mtime = needle.last_modified
        member.uid, member.gid = os.getuid(), os.getgid()
        self._tar.addfile(member, io.BytesIO(needle.data))

    def close(self, *, complete: bool) -> None:
        """Writes the end of the archive, but not behind a failure."""
        if complete:
            self._tar.close()
        elif self._path is not None and self._tar.fileobj is not None:
            self._tar.fileobj.close()


class DirectoryTarget(Target):
    """Files below a directory; nothing is written elsewhere, and nothing over what is there."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._root = directory.resolve()

    def add(self, path: PurePosixPath, needle: Needle, fid: str) -> None:
        """Writes a file with its time."""
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


def open_target(output: str) -> Target:
    """The target that ``-o`` names: ``-``, ``x.tar``, or a directory with a slash behind it.

    Raises:
        UsageError: it is none of these.
        OSError: it cannot be opened.
    """
    if output == "-" or output.endswith(".tar"):
        return TarTarget(output)
    if output.endswith("/") or Path(output).is_dir():
        return DirectoryTarget(Path(output))
    raise UsageError(
        f"the output file {output} should be '-' or end with .tar, or with / for a directory"
    )
