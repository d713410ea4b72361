"""Histograms that any thread may add to."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS_BOUNDS: Final = tuple(0.0001 * 2**k for k in range(24))
"""Of every duration but an EC rebuild's; the C core counts in the same ones."""
TARGETS_BOUNDS: Final = (1.0, 2.0, 3.0, 4.0, 5.0)


class Observed(NamedTuple):
    """A histogram at one moment."""

    counts: Sequence[int]
    """Observations per bucket, not added up; one more than there are bounds."""
    total: float


class Histogram:
    """``bounds`` are the upper ends of the buckets, which they belong to."""

    __slots__ = ("_counts", "_lock", "_total", "bounds")

    def __init__(self, bounds: Sequence[float] = SECONDS_BOUNDS) -> None:
        self.bounds = bounds
        self._lock = threading.Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Counts one."""
        with self._lock:
            self._counts[bisect_left(self.bounds, value)] += 1
            self._total += value

    def observed(self) -> Observed:
        """What was counted so far."""
        with self._lock:
            return Observed(tuple(self._counts), self._total)


def merged(first: Observed, second: Observed) -> Observed:
    """Both together; their buckets are the same."""
    counts = [a + b for a, b in zip(first.counts, second.counts, strict=True)]
    return Observed(counts, first.total + second.total)
