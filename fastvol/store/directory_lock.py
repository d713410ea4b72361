"""One server a data directory: an advisory lock on the directory itself.

Two servers appending to one file would each overwrite the other's records.  The lock dies with the
process, so that nothing has to be cleaned up after a crash.
"""

import errno
import fcntl
import logging
import os
from pathlib import Path

from fastvol.errors import StorageError, reason_of

log = logging.getLogger(__name__)


class DirectoryLock:
    """Holds a directory from :meth:`acquire` to :meth:`release`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1

    def acquire(self) -> None:
        """:exc:`StorageError` when another process holds it, or the directory cannot be opened."""
        assert self._fd < 0, "acquired twice"
        try:
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"cannot open data directory {reason_of(error)}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise StorageError(
                f"data directory {self._directory} is already served by another process"
            ) from None
        except OSError as error:
            # Some network file systems cannot lock directories; serving is worth more than this.
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                os.close(fd)
                raise StorageError(
                    f"cannot lock data directory {self._directory}: {reason_of(error)}"
                ) from error
            log.warning("data directory %s cannot be locked: %s", self._directory, reason_of(error))
        self._fd = fd

    def release(self) -> None:
        """Gives the directory up; harmless when it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "DirectoryLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
