"""All metrics of one server (weed/stats/metrics.go).

Nothing is copied when something happens: whoever counts keeps plain numbers, and collectors read them
when somebody scrapes. A part of the server that is made later is added then; before that its
families are missing, as those that count nothing yet are in upstream.

The collectors come with the first scrape: the library that they need costs a start some 20 ms, and
many servers are never scraped.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from fastvol.observability.operation_stats import OperationStats

if TYPE_CHECKING:
    from fastvol.observability.metrics_registry import MetricsRegistry
    from fastvol.observability.traffic import Traffic
    from fastvol.store.store import Store


class Metrics:
    """What the parts of the server count into, and the text of it all."""

    def __init__(self, store: Store) -> None:
        self.operations = OperationStats()
        self._store = store
        self._started = time.time()
        self._lock = threading.Lock()
        """Of what follows: the first scrape may come while the data plane is made."""
        self._registry: MetricsRegistry | None = None
        self._unregistered: tuple[Traffic, int] | None = None

    def add_traffic(self, traffic: Traffic, offset_width: int) -> None:
        """What the data plane counts, once there is one; ``offset_width`` as it says it is."""
        with self._lock:
            self._unregistered = traffic, offset_width

    def text(self) -> bytes:
        """Everything now, in the text format; from any thread but the event loop's."""
        with self._lock:
            registry = self._up_to_date()
        return registry.text()

    def _up_to_date(self) -> MetricsRegistry:
        if self._registry is None:
            from fastvol.observability.metrics_registry import MetricsRegistry

            self._registry = MetricsRegistry(self._store, self.operations, self._started)
        if self._unregistered is not None:
            self._registry.add_traffic(*self._unregistered)
            self._unregistered = None
        return self._registry
