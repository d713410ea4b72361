"""How the rarer operations fare: replication, vacuum, scrub, the heartbeat. Any thread may count."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastvol.observability.histogram import TARGETS_BOUNDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Tally:
    """Counters by label values."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, *values: str, amount: int = 1) -> None:
        """Counts; an amount of 0 makes a series that says so."""
        with self._lock:
            self._counts[values] += amount

    def counts(self) -> dict[tuple[str, ...], int]:
        """Those that were counted."""
        with self._lock:
            return dict(self._counts)


class ReplicationStats:
    """A :class:`fastvol.http.replication.ReplicationObserver`
    (weed/topology/store_replicate.go: DistributedOperation)."""

    def __init__(self) -> None:
        self.targets_per_change = Histogram(TARGETS_BOUNDS)
        self.operations = Tally()
        """By operation and result."""
        self.failures = Tally()
        """By operation and reason."""
        self.durations = {"write": Histogram(), "delete": Histogram()}

    def targets(self, count: int) -> None:
        """A change is about to be made on so many other copies."""
        self.targets_per_change.observe(count)

    def done(self, operation: str, seconds: float, failure: str) -> None:
        """A change is made on them, or ``failure`` says why not."""
        self.durations[operation].observe(seconds)
        self.operations.add(operation, "failure" if failure else "success")
        if failure:
            self.failures.add(operation, failure_reason(failure))


def failure_reason(text: str) -> str:
    """The label of a failed replication."""
    if "deadline exceeded" in text or "timeout" in text:
        return "timeout"
    if "context canceled" in text:
        return "context_cancelled"
    return "connection_refused" if "connection refused" in text else "server_error"


class VacuumStats:
    """Vacuums as the master drives them (weed/server/volume_grpc_vacuum.go)."""

    def __init__(self) -> None:
        self.compacts = Tally()
        """By ``true`` or ``false``: whether it succeeded."""
        self.commits = Tally()
        self.durations = {"compact": Histogram(), "commit": Histogram()}

    @contextmanager
    def compacting(self) -> Iterator[None]:
        """Around the building of the new files."""
        with self._counting("compact", self.compacts):
            yield

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Around swapping them in."""
        with self._counting("commit", self.commits):
            yield

    @contextmanager
    def _counting(self, operation: str, tally: Tally) -> Iterator[None]:
        began = time.perf_counter()
        success = "false"
        try:
            yield
            success = "true"
        finally:
            self.durations[operation].observe(time.perf_counter() - began)
            tally.add(success)


class ScrubStats:
    """Scrubs by mode: ``INDEX``, ``FULL``, ``LOCAL``, ``CHECKSUM``, ``READS``."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ended: dict[str, float] = {}
        self.volume_failures = Tally()
        self.shard_failures = Tally()

    def ended(self, mode: str, *, bad_volumes: int = 0, bad_shards: int | None = None) -> None:
        """A scrub has run; ``bad_shards`` only of one that looked at shards."""
        self._ended[mode] = self._clock()
        self.volume_failures.add(mode, amount=bad_volumes)
        if bad_shards is not None:
            self.shard_failures.add(mode, amount=bad_shards)

    def last_times(self) -> dict[str, float]:
        """Unix time of the last one, by mode."""
        return self._ended.copy()


class OperationStats:
    """All of them."""

    def __init__(self) -> None:
        self.replication = ReplicationStats()
        self.vacuum = VacuumStats()
        self.scrub = ScrubStats()
        self.disconnections = Tally()
        """Heartbeat streams that failed, by the master's address."""
