"""Objects that are data files of volumes."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvol.errors import RemoteStorageError
from fastvol.limits import REMOTE_PAUSE_SECONDS
from fastvol.remote.backends import Backends
from fastvol.remote.block_cache import BlockCache, CachedObject

if TYPE_CHECKING:
    from pathlib import Path

    from fastvol.remote.backends import Backend


log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pause:
    """Until when, on the monotonic clock, one store is not asked for what can wait."""

    until: float = 0


class Tier:
    """The object stores of one server, and what it keeps of them."""

    def __init__(self) -> None:
        self.backends = Backends()
        self.cache = BlockCache()
        self._pauses: dict[str, Pause] = {}

    def open(self, backend_name: str, key: str, size: int, directory: Path) -> RemoteData:
        """The data of a volume; the store is not asked.

        Args:
            size: of the object, in bytes.
            directory: on whose disk blocks are kept, if it is the first one.

        Raises:
            RemoteStorageError: no such store was announced.
        """
        backend = self.backends.get(backend_name)
        self.cache.open(directory)
        pause = self._pauses.setdefault(backend_name, Pause())
        return RemoteData(backend, key, size, self.cache, pause)

    def close(self) -> None:
        """Ends it, when no volume is open any more."""
        self.cache.close()


class RemoteData:
    """A data file in an object store; any thread may call any method."""

    def __init__(
        self, backend: Backend, key: str, size: int, cache: BlockCache, pause: Pause
    ) -> None:
        self._pause = pause
        self.backend = backend
        self.key = key
        self.size = size
        self._cache = cache
        self._cached = CachedObject(size, self._fetch)

    def _fetch(self, offset: int, length: int) -> bytes:
        try:
            found = self.backend.bucket.read(self.key, offset, length)
        except RemoteStorageError as error:
            raise RemoteStorageError(
                f"read {self.key} of bucket {self.backend.bucket.name}: {error}"
            ) from error
        if len(found) != length:
            # Whatever the store has under this key now, it is not what was put there.
            raise RemoteStorageError(
                f"read {self.key} of bucket {self.backend.bucket.name}: "
                f"{len(found)} bytes at {offset} instead of {length}"
            )
        return found

    def read_head(self, length: int) -> bytes:
        """Its first bytes, for opening: not kept, and not asked for right after a failure.

        A store that does not answer would keep a start with many volumes waiting for each of them.

        Raises:
            RemoteStorageError
        """
        now = time.monotonic()
        if now < self._pause.until:
            raise RemoteStorageError(
                f"backend {self.backend.type}.{self.backend.id} failed just now"
            )
        try:
            return self._fetch(0, min(length, self.size))
        except RemoteStorageError:
            self._pause.until = time.monotonic() + REMOTE_PAUSE_SECONDS
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of it, fewer where it ends; may wait for the store.

        Raises:
            RemoteStorageError
        """
        return self._cache.read(self._cached, offset, length)

    def remove(self) -> None:
        """Removes it from the store; a failure is logged, and leaves it there."""
        try:
            self.backend.bucket.delete(self.key)
        except RemoteStorageError as error:
            log.error("%s stays in bucket %s: %s", self.key, self.backend.bucket.name, error)

    def close(self) -> None:
        """Gives its room in the cache back; who still reads is served."""
        self._cache.forget(self._cached)
