"""Everything that counts requests, for whoever shows the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fastvol.observability.request_stats import RequestStats, WriteStages

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastvol._cffi.serve import ServeCounts
    from fastvol.observability.activity import RequestTotals
    from fastvol.observability.counts import Counts


class Limiter(Protocol):
    """A limit of bytes in flight; 0 is none."""

    limit: int

    @property
    def in_flight(self) -> int: ...


@dataclass(slots=True)
class Traffic:
    """Everything that counts requests; ``snapshot`` is for the status page."""

    fast: Callable[[], ServeCounts]
    downloads: Limiter
    uploads: Limiter
    counts: Counts
    stats: RequestStats = field(default_factory=RequestStats)
    stages: WriteStages = field(default_factory=WriteStages)

    def snapshot(self) -> RequestTotals:
        """The totals since the start; quick, and from any thread."""
        return self.stats.totals(self.fast())
