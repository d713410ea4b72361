"""Whole files to an object store and back, in parts, several at a time.

Parts are of 64 MiB, four times that until there are fewer than a thousand
(weed/storage/backend/s3_backend/s3_upload.go, s3_download.go).  Whoever leaves ends a transfer: the
parts under way stop at their next read or write, and what was uploaded of them is removed.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvol.errors import ClientGoneError, FastvolError, RemoteStorageError, reason_of
from fastvol.limits import REMOTE_ATTEMPTS, REMOTE_PART_BYTES, REMOTE_PARTS_MAX
from fastvol.remote.bucket import BrokenOffError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fastvol.remote.bucket import Bucket

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TransferControl:
    """How a transfer runs.

    ``on_progress`` gets the bytes done so far, from any thread but one at a time, and answers False
    when nobody waits for the transfer any more.
    """

    concurrency: int
    on_progress: Callable[[int], bool] = lambda _done: True


def part_bytes(size: int) -> int:
    """How large the parts of a file of ``size`` bytes are."""
    part = REMOTE_PART_BYTES
    while part * REMOTE_PARTS_MAX < size:
        part *= 4
    return part


def upload(bucket: Bucket, key: str, fd: int, size: int, control: TransferControl) -> None:
    """Stores the first ``size`` bytes of a file under a key.

    Raises:
        RemoteStorageError: nothing is stored under the key then.
        ClientGoneError: as ``control`` said; nor is anything then.
    """
    done = _Done(control)
    step = part_bytes(size)
    if size <= step:
        bucket.put(key, _Section(fd, 0, size, done), size)
        done.add(size)
        return
    begun = bucket.begin_upload(key)
    starts = range(0, size, step)
    tags = [""] * len(starts)

    def send(number: int) -> None:
        start = starts[number]
        length = min(step, size - start)
        section = _Section(fd, start, length, done)
        tags[number] = bucket.upload_part(key, begun, number + 1, section, length)
        done.add(length)

    try:
        _each(range(len(starts)), send, control.concurrency, done)
        bucket.end_upload(key, begun, tags)
    except BaseException:
        try:
            bucket.drop_upload(key, begun)
        except FastvolError as error:
            log.warning("parts of %s stay in bucket %s: %s", key, bucket.name, error)
        raise


def download(bucket: Bucket, key: str, fd: int, size: int, control: TransferControl) -> None:
    """Writes the ``size`` bytes of an object to the beginning of a file.

    Raises:
        RemoteStorageError: also when the file cannot take them.
        ClientGoneError: as ``control`` said.
    """
    done = _Done(control)
    step = part_bytes(size)

    def fetch(start: int) -> None:
        end, at = min(start + step, size), start
        failures = 0
        while at < end:
            before = at
            try:
                for piece in bucket.pieces(key, at, end - at):
                    _write(fd, piece, at)
                    at += len(piece)
                    done.add(len(piece))
            except BrokenOffError:
                failures = failures + 1 if at == before else 0
                if failures == REMOTE_ATTEMPTS:
                    raise
                continue
            if at == before:
                raise RemoteStorageError(f"the object ends at {at}, not at {size}")

    _each(range(0, size, step), fetch, control.concurrency, done)


def _write(fd: int, piece: bytes, at: int) -> None:
    view = memoryview(piece)
    try:
        while view:
            written = os.pwrite(fd, view, at)
            at += written
            view = view[written:]
    except OSError as error:
        raise RemoteStorageError(f"write: {reason_of(error)}") from error


def _each(parts: Iterable[int], work: Callable[[int], None], concurrency: int, done: _Done) -> None:
    """Calls ``work`` with every part, so many at a time; the first failure stops the others."""
    failure: BaseException | None = None
    with ThreadPoolExecutor(max(1, concurrency), thread_name_prefix="transfer") as pool:
        waiting: Iterator[int] = iter(parts)
        running: set[Future[None]] = set()
        while True:
            while failure is None and len(running) < max(1, concurrency):
                part = next(waiting, None)
                if part is None:
                    break
                running.add(pool.submit(work, part))
            if not running:
                break
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                error = one.exception()
                if error is not None and failure is None:
                    failure = error
                    done.stop()
    if failure is not None:
        raise failure


class _Done:
    """Bytes that are through, and whether the rest is still wanted."""

    def __init__(self, control: TransferControl) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._bytes = 0
        self._stopped = False

    def add(self, count: int) -> None:
        """Counts, tells, and raises ClientGoneError when the transfer is to end."""
        with self._lock:
            self._bytes += count
            if not self._stopped and not self._control.on_progress(self._bytes):
                self._stopped = True
            self._check()

    def look(self) -> None:
        """As :meth:`add`, with nothing new."""
        self.add(0)

    def stop(self) -> None:
        """Ends the parts that are under way."""
        self._stopped = True

    def _check(self) -> None:
        if self._stopped:
            raise ClientGoneError("context canceled")


class _Section(io.RawIOBase):
    """A part of a file, as a body that can be sent again; other parts have the same descriptor."""

    def __init__(self, fd: int, start: int, length: int, done: _Done) -> None:
        self._fd = fd
        self._start = start
        self._length = length
        self._done = done
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._length

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        self._done.look()
        left = max(0, self._length - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        piece = os.pread(self._fd, wanted, self._start + self._at)
        if len(piece) < wanted:
            # The length is promised already: fewer bytes would only be noticed by a timeout.
            raise OSError(f"the file ends at {self._start + self._at + len(piece)}")
        self._at += len(piece)
        return piece
