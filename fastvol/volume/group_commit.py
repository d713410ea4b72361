"""One fsync for many waiting writers.

Theory of operation
-------------------
A writer that wants its append durable calls :meth:`GroupCommit.wait` *after* the append, and joins
the round that gathers. The first of a round leads it: it waits until the round before has ended
its sync, closes its own round to newcomers (who gather in the next one), syncs, and tells the
others. So every member joined, and had made its append, before the round's sync began; and a
failure reaches exactly the members of the round whose sync it was. Whatever ends the leader ends
its round: nobody waits for ever.

A failed sync says nothing about appends made before it whose writers come to the next round,
because the kernel may report a lost page only once; ``sync`` itself must go on failing then.
"""

import threading
from collections.abc import Callable

from fastvol.errors import DiskIOError, FastvolError


class _Round:
    """One sync and the writers that wait for it."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: BaseException | None = None


class GroupCommit:
    """Shares calls of ``sync`` among threads."""

    __slots__ = ("_gathering", "_gathering_lock", "_sync", "_syncing")

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._syncing = threading.Lock()
        self._gathering_lock = threading.Lock()
        self._gathering: _Round | None = None

    def wait(self) -> None:
        """Returns once a sync that began after this call has succeeded.

        Raises:
            what ``sync`` raised.
        """
        with self._gathering_lock:
            mine = self._gathering
            leads = mine is None
            if mine is None:
                mine = self._gathering = _Round()
        if leads:
            self._lead(mine)
            return
        mine.done.wait()
        if mine.error is not None:
            raise _copy_of(mine.error) from mine.error

    def _lead(self, mine: _Round) -> None:
        try:
            with self._syncing:
                self._close_round(mine)
                self._sync()
        except BaseException as error:
            mine.error = error
            raise
        finally:
            self._close_round(mine)
            mine.done.set()

    def _close_round(self, mine: _Round) -> None:
        with self._gathering_lock:
            if self._gathering is mine:
                self._gathering = None


def _copy_of(error: BaseException) -> FastvolError:
    """Each thread raises an error of its own; one object would collect all their tracebacks."""
    if isinstance(error, FastvolError):
        return type(error)(*error.args)
    return DiskIOError(f"sync was cut off: {error!r}")
