"""How busy a server is: rates of the last minute and the last hour, from counters that only grow.

Whoever has counters gives a :class:`RequestSource`; once a second its totals are noted. A rate is
the difference of two notes over the time between them, so a late note makes no spike.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fastvol.limits import ACTIVITY_LONG_SECONDS, ACTIVITY_NOTES, ACTIVITY_SECONDS

if TYPE_CHECKING:
    import asyncio


class RequestTotals(NamedTuple):
    """Since the start; requests of all ports and paths of the data plane, bytes of their bodies."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class RequestSource(Protocol):
    """Somebody who counts requests."""

    def snapshot(self) -> RequestTotals:
        """The totals now; quick, and from any thread."""


class Rates(NamedTuple):
    """The same, per second."""

    reads: float = 0
    writes: float = 0
    deletes: float = 0
    bytes_sent: float = 0
    bytes_received: float = 0


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """Oldest first; ``minute`` has a value a second, ``hour`` one a minute."""

    totals: RequestTotals
    minute: tuple[Rates, ...]
    hour: tuple[Rates, ...]


class _Notes:
    """Totals at moments, the oldest forgotten."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, RequestTotals]] = deque(maxlen=ACTIVITY_NOTES + 1)

    def add(self, now: float, totals: RequestTotals) -> None:
        self._notes.append((now, totals))

    @property
    def last(self) -> float | None:
        return self._notes[-1][0] if self._notes else None

    def rates(self) -> tuple[Rates, ...]:
        notes = list(self._notes)
        return tuple(_rate(*pair) for pair in itertools.pairwise(notes))


def _rate(before: tuple[float, RequestTotals], after: tuple[float, RequestTotals]) -> Rates:
    seconds = max(after[0] - before[0], 1e-9)
    pairs = zip(before[1], after[1], strict=True)
    return Rates(*(max(0, late - early) / seconds for early, late in pairs))


class Activity:
    """Notes the totals of one source; ``report`` may be called by any thread."""

    def __init__(self, source: RequestSource) -> None:
        self._source = source
        self._seconds = _Notes()
        self._minutes = _Notes()

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Notes from now on, as long as the loop runs."""
        self.note(loop.time())
        loop.call_later(ACTIVITY_SECONDS, self.follow, loop)

    def note(self, now: float) -> None:
        """Notes the totals at a moment of a clock that never goes back."""
        totals = self._source.snapshot()
        self._seconds.add(now, totals)
        last = self._minutes.last
        if last is None or now - last >= ACTIVITY_LONG_SECONDS:
            self._minutes.add(now, totals)

    def report(self) -> ActivityReport:
        """What happened so far."""
        return ActivityReport(self._source.snapshot(), self._seconds.rates(), self._minutes.rates())
