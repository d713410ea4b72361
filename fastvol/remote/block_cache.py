"""Blocks of remote objects on the local disk, so that what is read again is not fetched again.

Theory of operation
-------------------
One file without a name holds them, in slots of one block each; it grows to its bound and no further.
Who reads pins the slots while copying out of them, and the slot of the block that was not read for the
longest time, and that nobody has pinned, makes room for a new one.  So nobody ever sees the bytes of
another block.  A block on its way is fetched once, however many wait for it; blocks that follow each
other are fetched together.  What cannot be kept (a full disk, all slots pinned) is read all the same.

Locking: ``_lock`` guards the books and is held for no I/O.  Whoever has blocks to fetch fetches them
before waiting for those of others, so nobody waits in a circle.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

from fastvol.limits import REMOTE_BLOCK_BYTES, REMOTE_CACHE_BYTES_MAX, REMOTE_FETCH_BYTES
from fastvol.log_limiter import LogLimiter

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)
_per_block = LogLimiter(log)

_numbers = count(1)

_Key: TypeAlias = tuple[int, int]
Fetch: TypeAlias = Callable[[int, int], bytes]
"""Bytes of an object from an offset on, so many; raises what shall reach the reader."""


@dataclass(slots=True)
class _Slot:
    """A place in the file and what it holds; of the second a copy at most is used."""

    number: int
    length: int
    pins: int = 0
    dropped: bool = False


@dataclass(slots=True)
class CachedObject:
    """One object's identity in the cache.  ``size`` in bytes; its content never changes."""

    size: int
    fetch: Fetch
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(slots=True)
class _Window:
    """Blocks of one read: what is there, who fetches the others."""

    pinned: dict[int, _Slot] = field(default_factory=dict)
    waiting: dict[int, Future[bytes]] = field(default_factory=dict)
    mine: dict[int, Future[bytes]] = field(default_factory=dict)


class BlockCache:
    """Any thread may call any method; reads may wait for a store for as long as its client does."""

    def __init__(
        self,
        *,
        bytes_max: int = REMOTE_CACHE_BYTES_MAX,
        block_bytes: int = REMOTE_BLOCK_BYTES,
        fetch_bytes: int = REMOTE_FETCH_BYTES,
    ) -> None:
        self._block: Final = block_bytes
        self._blocks_a_fetch: Final = max(1, fetch_bytes // block_bytes)
        self._slots_max: Final = bytes_max // block_bytes
        self._lock = threading.Lock()
        self._present: OrderedDict[_Key, _Slot] = OrderedDict()
        """The block that was read last is the last one."""
        self._flights: dict[_Key, Future[bytes]] = {}
        self._free: list[int] = []
        self._slots = 0
        self._fd = -1

    def open(self, directory: Path) -> None:
        """Gives it a file in a directory, the first time; without one nothing is kept."""
        with self._lock:
            if self._fd < 0:
                try:
                    self._fd = nameless_file(directory)
                except OSError as error:
                    log.warning("nothing of remote objects is kept: %s: %s", directory, error)

    def close(self) -> None:
        """Forgets everything; for the end of the server, when nobody reads any more."""
        with self._lock:
            fd, self._fd = self._fd, -1
            self._present.clear()
            self._free.clear()
            self._slots = 0
        if fd >= 0:
            os.close(fd)

    @property
    def bytes_kept(self) -> int:
        """What the blocks take on the disk at the moment."""
        with self._lock:
            return len(self._present) * self._block

    def read(self, source: CachedObject, offset: int, length: int) -> bytes:
        """Bytes of an object, fewer where it ends; raises what its ``fetch`` raises."""
        end = min(offset + length, source.size)
        if offset >= end:
            return b""
        pieces: list[bytes] = []
        first, last = offset // self._block, (end - 1) // self._block
        for start in range(first, last + 1, self._blocks_a_fetch):
            stop = min(start + self._blocks_a_fetch, last + 1)
            for number, block in self._window(source, start, stop):
                at = number * self._block
                pieces.append(block[max(0, offset - at) : end - at])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def forget(self, source: CachedObject) -> None:
        """Gives the room of an object back."""
        with self._lock:
            gone = [key for key in self._present if key[0] == source.number]
            for key in gone:
                self._drop(self._present.pop(key))

    # --- one window -----------------------------------------------------------------------------

    def _window(self, source: CachedObject, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Blocks [start, stop) of an object, in order."""
        window = self._claim(source, start, stop)
        found: dict[int, bytes] = {}
        try:
            try:
                self._copy_out(source, window, found)
            finally:
                self._unpin(window)
            for run in _runs(window.mine):
                self._fetch_run(source, run, window, found)
        except BaseException as error:
            self._give_up(source, window, error)
            raise
        for number, flight in window.waiting.items():
            found[number] = flight.result()
        for number in range(start, stop):
            yield number, found[number]

    def _claim(self, source: CachedObject, start: int, stop: int) -> _Window:
        window = _Window()
        with self._lock:
            for number in range(start, stop):
                key = source.number, number
                slot = self._present.get(key)
                if slot is not None:
                    self._present.move_to_end(key)
                    slot.pins += 1
                    window.pinned[number] = slot
                elif key in self._flights:
                    window.waiting[number] = self._flights[key]
                else:
                    self._flights[key] = window.mine[number] = Future()
        return window

    def _copy_out(self, source: CachedObject, window: _Window, found: dict[int, bytes]) -> None:
        for number, slot in window.pinned.items():
            try:
                block = os.pread(self._fd, slot.length, slot.number * self._block)
            except OSError as error:
                _per_block.warning("read", "what is kept of a remote object: %s", error)
                block = b""
            if len(block) != slot.length:
                block = self._fetch(source, number, number + 1)
            found[number] = block

    def _unpin(self, window: _Window) -> None:
        with self._lock:
            for slot in window.pinned.values():
                slot.pins -= 1
                if slot.dropped and not slot.pins:
                    self._free.append(slot.number)

    def _fetch(self, source: CachedObject, start: int, stop: int) -> bytes:
        at = start * self._block
        return source.fetch(at, min(stop * self._block, source.size) - at)

    def _fetch_run(
        self, source: CachedObject, run: range, window: _Window, found: dict[int, bytes]
    ) -> None:
        data = self._fetch(source, run.start, run.stop)
        for number in run:
            at = (number - run.start) * self._block
            found[number] = block = data[at : at + self._block]
            self._keep(source, number, block)
            with self._lock:
                self._flights.pop((source.number, number), None)
            window.mine.pop(number).set_result(block)

    def _give_up(self, source: CachedObject, window: _Window, error: BaseException) -> None:
        """Whoever waits for blocks of this read fails with it."""
        with self._lock:
            for number in window.mine:
                self._flights.pop((source.number, number), None)
        for flight in window.mine.values():
            flight.set_exception(error)

    # --- slots ----------------------------------------------------------------------------------

    def _keep(self, source: CachedObject, number: int, block: bytes) -> None:
        with self._lock:
            slot_number = self._take_slot()
            fd = self._fd
        if slot_number is None:
            return
        kept = _write(fd, block, slot_number * self._block)
        key = source.number, number
        with self._lock:
            if kept and self._fd == fd and key not in self._present:
                self._present[key] = _Slot(slot_number, len(block))
            elif self._fd == fd:
                self._free.append(slot_number)

    def _take_slot(self) -> int | None:
        if self._fd < 0:
            return None
        if self._free:
            return self._free.pop()
        if self._slots < self._slots_max:
            self._slots += 1
            return self._slots - 1
        for key, slot in self._present.items():
            if not slot.pins:
                del self._present[key]
                return slot.number
        return None

    def _drop(self, slot: _Slot) -> None:
        slot.dropped = True
        if not slot.pins:
            self._free.append(slot.number)


def _runs(numbers: dict[int, Future[bytes]]) -> list[range]:
    """Ascending numbers as ranges without gaps."""
    found: list[range] = []
    for number in numbers:
        if found and found[-1].stop == number:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found


def _write(fd: int, block: bytes, at: int) -> bool:
    try:
        return os.pwrite(fd, block, at) == len(block)
    except OSError as error:
        _per_block.warning("write", "a block of a remote object is not kept: %s", error)
        return False


def nameless_file(directory: Path) -> int:
    """A descriptor of a file that goes with it; :exc:`OSError`."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        fd, name = tempfile.mkstemp(dir=directory, prefix=".remote-blocks-")
        os.unlink(name)  # noqa: PTH108
        return fd
