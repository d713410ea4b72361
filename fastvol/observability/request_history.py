"""How many reads and writes there were of late, as upstream's status page shows them
(weed/stats/duration_counter.go): 60 seconds, 60 minutes, 24 hours, 7 days.

Nothing is done when a request comes: once a second the totals are read, and the difference to the
last reading is added to the current slot of each ring.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fastvol.observability.request_stats import RequestTotals

TICK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Recent:
    """Counts per slot, oldest first; the last one is still growing."""

    minute: tuple[int, ...]
    """60 seconds."""
    hour: tuple[int, ...]
    """60 minutes."""
    day: tuple[int, ...]
    """24 hours."""
    week: tuple[int, ...]
    """7 days, from midnight to midnight UTC."""


@dataclass(slots=True)
class _Ring:
    slot_seconds: int
    slots: list[int]
    current: int = -1
    """Number of the slot that grows, counted from the epoch."""

    def add(self, now: float, amount: int) -> None:
        """Zeroes the slots that time has passed, and adds to the one of ``now``."""
        number = int(now) // self.slot_seconds
        size = len(self.slots)
        if number > self.current:
            for passed in range(max(self.current + 1, number - size + 1), number + 1):
                self.slots[passed % size] = 0
            self.current = number
        # A clock that was set back counts into the newest slot until it has caught up.
        self.slots[self.current % size] += amount

    def read(self) -> tuple[int, ...]:
        size = len(self.slots)
        return tuple(self.slots[(self.current + 1 + at) % size] for at in range(size))


def _rings() -> tuple[_Ring, _Ring, _Ring, _Ring]:
    return (
        _Ring(1, [0] * 60),
        _Ring(60, [0] * 60),
        _Ring(60 * 60, [0] * 24),
        _Ring(24 * 60 * 60, [0] * 7),
    )


@dataclass(frozen=True, slots=True)
class HistorySnapshot:
    """What a status page shows."""

    reads: Recent
    writes: Recent


@dataclass(slots=True)
class RequestHistory:
    """Ticks on one thread; ``snapshot`` may be called by any."""

    totals: Callable[[], RequestTotals]
    clock: Callable[[], float] = time.time
    _reads: tuple[_Ring, ...] = field(default_factory=_rings)
    _writes: tuple[_Ring, ...] = field(default_factory=_rings)
    _seen: tuple[int, int] = (0, 0)

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ticks as long as the loop runs."""
        self.tick()
        loop.call_later(TICK_SECONDS, self.follow, loop)

    def tick(self) -> None:
        """Notes what has been counted since the last tick."""
        now, totals = self.clock(), self.totals()
        reads, writes = totals.reads, totals.writes
        for rings, amount in (
            (self._reads, reads - self._seen[0]),
            (self._writes, writes - self._seen[1]),
        ):
            for ring in rings:
                ring.add(now, amount)
        self._seen = reads, writes

    def snapshot(self) -> HistorySnapshot:
        """As of the last tick."""
        return HistorySnapshot(
            Recent(*(ring.read() for ring in self._reads)),
            Recent(*(ring.read() for ring in self._writes)),
        )
