"""Replacing a small file so that a crash leaves either the old content or the new one."""

import os
import secrets
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o644


def replace_file(path: Path, content: bytes) -> None:
    """Writes aside, fsyncs, renames, fsyncs the directory.  :exc:`OSError` leaves the old file."""
    temporary = path.with_name(f"{path.name}.tmp.{secrets.randbelow(2**32)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes renames and removals in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
