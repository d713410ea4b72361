"""One LevelDB directory, and all of them together: opened when used, closed when not.

Theory of operation
-------------------
An open LevelDB costs descriptors and memory, and a server may have thousands. A :class:`Database` is
opened by the first use, and closed again when it was not used for long, or when too many are open
and it is the one used least recently; the next use opens it again. Memory comes from one budget:
each gets what its size class says or an eighth of what is left, so that nobody is refused, and no
more are open than it would do for if each got the least.

Uses run side by side (LevelDB allows it); closing waits for them. The lock of a database is held
while it is opened or closed, never during a use. Whoever makes room holds its own lock and only
tries those of others.

LevelDB reads its tables through mappings. ``guard.h`` keeps the process alive when a page of one
cannot be read, and says why no answer may be believed then: a use during which that happened is an
I/O error, and the database is opened anew before the next.

A database that failed is never opened again: what LevelDB could not write may or may not be in its
log. It is used as it is while it is open, but the files without which nobody opens it are taken away
at once, and the others when it is closed. A look-up for which there was no descriptor says nothing
about it, and is no such failure.
"""

import errno
import logging
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any, Final, TypeVar

import plyvel

from fastvol._cffi._core import lib
from fastvol.errors import VolumeClosedError
from fastvol.index.kinds import SizeClass
from fastvol.limits import (
    LEVELDB_CACHE_BYTES_MAX,
    LEVELDB_CACHE_BYTES_MIN,
    LEVELDB_DESCRIPTORS,
    LEVELDB_DESCRIPTORS_SHARE,
    LEVELDB_IDLE_CHECK_SECONDS,
    LEVELDB_OPEN_FILES,
    LEVELDB_TABLE_BYTES,
    LEVELDB_WRITE_BUFFER_BYTES_MIN,
)
from fastvol.log_limiter import LogLimiter

log = logging.getLogger(__name__)
_per_use = LogLimiter(log)

_PASSING: Final = (errno.EMFILE, errno.ENFILE)

Result = TypeVar("Result")


class Database:
    """One LevelDB; its directory is created when it is missing."""

    def __init__(
        self,
        directory: Path,
        size: SizeClass,
        idle_hours: int = 0,
        pool: "DatabasePool | None" = None,
    ) -> None:
        """Opens nothing yet."""
        self.directory = directory
        self.size = size
        self.idle_seconds = idle_hours * 3600
        self._pool = pool or shared_pool
        self._lock = threading.RLock()
        self._unused = threading.Condition(self._lock)
        self._db: Any = None
        self._users = 0
        self._closed = False
        self._lost_pages = 0
        self._create = True
        self.failed = False
        """It gave an error: what it holds is in doubt."""
        self.last_used = time.monotonic()

    # --- using it -----------------------------------------------------------------------------

    def run(self, work: Callable[[Any], Result], *, only_reads: bool = False) -> Result:
        """The result of ``work``, called with the ``plyvel.DB``.

        Raises:
            OSError: LevelDB reported an error, or the result may be wrong.
            VolumeClosedError: after :meth:`close`.
        """
        db, lost_pages = self._take()
        try:
            result = work(db)
        except plyvel.Error as error:
            failure = self._failure(_words(error))
            if not (only_reads and is_passing(failure)):
                self.give_up()
            raise failure from error
        finally:
            self._give_back()
        if lib.fv_guard_lost_pages() != lost_pages:
            raise self._failure("a table could not be read")
        return result

    def give_up(self) -> None:
        """What it holds is in doubt.  A closed one's directory may be another one's by now."""
        with self._lock:
            if self._closed:
                return
            self.failed = True
            try:
                _make_unusable(self.directory)
            except OSError as error:
                _per_use.warning(("give up", self.directory), "%s: %s", self.directory, error)

    def _take(self) -> tuple[Any, int]:
        """The ``plyvel.DB``, and how many pages were lost when it was opened."""
        with self._lock:
            if self._closed:
                raise VolumeClosedError(f"{self.directory} is closed")
            if self._db is not None and lib.fv_guard_lost_pages() != self._lost_pages:
                if self._users or self.failed:
                    raise self._failure("a table could not be read")
                self._unload()
            if self._db is None:
                self._open()
            self._users += 1
            self.last_used = time.monotonic()
            return self._db, self._lost_pages

    def _give_back(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._unused.notify_all()

    def _failure(self, words: str) -> OSError:
        _per_use.error(self.directory, "%s: %s", self.directory, words)
        number = next((one for one in _PASSING if os.strerror(one) in words), errno.EIO)
        return OSError(number, words, str(self.directory))

    def _open(self) -> None:
        if self.failed:
            raise self._failure("it failed before, and is not opened again")
        memory = self._pool.admit(self)
        write_buffer = max(
            LEVELDB_WRITE_BUFFER_BYTES_MIN, memory * self.size.write_buffer // self.size.memory
        )
        lib.fv_guard_install()
        self._lost_pages = lib.fv_guard_lost_pages()
        try:
            self._db = plyvel.DB(
                str(self.directory),
                # Never again: an empty one in its place would say that nothing is there.
                create_if_missing=self._create,
                # Otherwise it opens without what it cannot read, and does not say so.
                paranoid_checks=True,
                lru_cache_size=max(0, memory - 2 * write_buffer),
                write_buffer_size=write_buffer,
                max_open_files=LEVELDB_OPEN_FILES,
                max_file_size=LEVELDB_TABLE_BYTES,
            )
        except BaseException as error:
            self._pool.leave(self)
            if isinstance(error, plyvel.CorruptionError):
                self.give_up()
            if isinstance(error, plyvel.Error):
                raise self._failure(_words(error)) from error
            raise
        self._create = False

    # --- closing it ---------------------------------------------------------------------------

    def _unload(self) -> None:
        """Called with the lock, and without users."""
        db, self._db = self._db, None
        db.close()
        self._pool.leave(self)

    def close(self) -> None:
        """Waits for the uses under way; a database that failed is removed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._unused.wait_for(lambda: not self._users)
            if self._db is not None:
                self._unload()
            if self.failed:
                remove_database(self.directory)

    def unload_if_unused(self, last_used: float) -> bool:
        """Closes it until the next use, unless that would wait or it was used since; whether it did."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._db is None or self._users or self.failed or self.last_used > last_used:
                return False
            self._unload()
        finally:
            self._lock.release()
        return True


class DatabasePool:
    """The open databases of a process, and what they may use together."""

    def __init__(
        self, memory_max: int = LEVELDB_CACHE_BYTES_MAX, open_max: int | None = None
    ) -> None:
        """``open_max`` None: by the process's limit of descriptors, and by what each needs."""
        # Taken again when a collection under it frees, and so closes, a map that nobody closed.
        self._lock = threading.RLock()
        self._memory_max = self._memory_left = memory_max
        self._open_max = open_max
        self._granted: dict[Database, int] = {}
        self._watcher: threading.Thread | None = None

    @property
    def open_count(self) -> int:
        """Databases open now."""
        return len(self._granted)

    def admit(self, database: Database) -> int:
        """Makes room for one that is about to be opened; the bytes of memory that it gets."""
        self._make_room()
        with self._lock:
            grant = min(database.size.memory, max(self._memory_left // 8, LEVELDB_CACHE_BYTES_MIN))
            self._memory_left -= grant
            self._granted[database] = grant
            if database.idle_seconds and self._watcher is None:
                self._start_watcher()
        return grant

    def _start_watcher(self) -> None:
        watcher = threading.Thread(target=self._watch, name="leveldb-idle", daemon=True)
        try:
            watcher.start()
        except RuntimeError as error:  # no thread left; the next one to be opened tries again
            _per_use.warning("watcher", "unused LevelDBs stay open: %s", error)
        else:
            self._watcher = watcher

    def leave(self, database: Database) -> None:
        """It was closed, or could not be opened."""
        with self._lock:
            self._memory_left += self._granted.pop(database)

    def memory_of(self, database: Database) -> int:
        """Bytes that it was given, 0 when it is not open."""
        return self._granted.get(database, 0)

    def _open_limit(self) -> int:
        if self._open_max is not None:
            return self._open_max
        by_memory = self._memory_max // LEVELDB_CACHE_BYTES_MIN
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return max(1, by_memory)
        by_descriptors = int(soft * LEVELDB_DESCRIPTORS_SHARE) // LEVELDB_DESCRIPTORS
        return max(1, min(by_memory, by_descriptors))

    def _open_databases(self) -> list[Database]:
        with self._lock:
            return list(self._granted)

    def _make_room(self) -> None:
        """Best effort: all of them may be in use."""
        databases = self._open_databases()
        too_many = len(databases) - self._open_limit() + 1
        if too_many <= 0:
            return
        for database in sorted(databases, key=lambda one: one.last_used):
            too_many -= database.unload_if_unused(time.monotonic())
            if too_many <= 0:
                return

    def unload_idle(self, now: float) -> int:
        """Closes what was not used for as long as its options say; how many were."""
        return sum(
            database.unload_if_unused(now - database.idle_seconds)
            for database in self._open_databases()
            if database.idle_seconds
        )

    def _watch(self) -> None:
        while True:
            time.sleep(LEVELDB_IDLE_CHECK_SECONDS)
            self.unload_idle(time.monotonic())


shared_pool = DatabasePool()


def is_passing(error: BaseException) -> bool:
    """Whether this says nothing about the database: it may go better the next time."""
    return isinstance(error, OSError) and error.errno in _PASSING


def _words(error: plyvel.Error) -> str:
    """Its message comes as bytes."""
    return " ".join(
        one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in error.args
    )


def remove_database(directory: Path) -> None:
    """Removes a LevelDB that is not open.

    Raises:
        OSError: what is left of it cannot be opened as a database.
    """
    if not directory.exists():
        return
    # First: a half removed one must not be taken for a whole one.
    _make_unusable(directory)
    rmtree(directory)


def _make_unusable(directory: Path) -> None:
    """Without ``CURRENT`` nobody opens it; without ``LOG`` upstream does not take it for fresh."""
    for name in ("CURRENT", "LOG"):
        (directory / name).unlink(missing_ok=True)
