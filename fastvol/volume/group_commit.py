"""One fsync for many waiting writers.

Theory of operation
-------------------
A writer that wants its append durable calls :meth:`GroupCommit.wait` *after* the append. Whoever finds
no sync running leads: it runs one and so covers every append that was made before the sync began. Writers
that arrive meanwhile cannot be sure that the running sync includes theirs, so they wait for the next one,
which a single one of them leads for all. A failure reaches exactly the writers whose sync it was.
"""

import threading
from collections.abc import Callable


class GroupCommit:
    """Shares calls of ``sync`` among threads."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._changed = threading.Condition()
        self._running = False
        self._generation = 0
        """Syncs that have begun."""
        self._finished = 0
        self._errors: dict[int, BaseException] = {}
        self._waiting: dict[int, int] = {}

    def wait(self) -> None:
        """Returns once a sync that began after this call has succeeded.

        Raises:
            whatever ``sync`` raised.
        """
        with self._changed:
            mine = self._generation + 1
            self._waiting[mine] = self._waiting.get(mine, 0) + 1
            while self._running and self._finished < mine:
                self._changed.wait()
            if self._finished < mine and self._generation < mine:
                self._running = True
                self._generation = mine
                lead = True
            else:
                lead = False
        if lead:
            self._lead(mine)
        with self._changed:
            while self._finished < mine:
                self._changed.wait()
            error = self._errors.get(mine)
            self._waiting[mine] -= 1
            if not self._waiting[mine]:
                del self._waiting[mine]
                self._errors.pop(mine, None)
        if error is not None:
            raise error

    def _lead(self, generation: int) -> None:
        error: BaseException | None = None
        try:
            self._sync()
        except BaseException as failure:
            error = failure
        with self._changed:
            if error is not None:
                self._errors[generation] = error
            self._finished = generation
            self._running = False
            self._changed.notify_all()
