"""A lock for each key, made when it is first wanted and dropped when nobody wants it any more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Entry:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users = 0


class KeyedLocks:
    """``with locks.hold(7):`` excludes other threads that hold 7, and nobody else.  Re-entrant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[int, _Entry] = {}

    @contextmanager
    def hold(self, key: int) -> Iterator[None]:
        """Waits for the key and holds it."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
        try:
            with entry.lock:
                yield
        finally:
            with self._lock:
                entry.users -= 1
                if entry.users == 0:
                    del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)
