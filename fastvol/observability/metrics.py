"""All metrics of one server (weed/stats/metrics.go).

Nothing is copied when something happens: whoever counts keeps plain numbers, and collectors read them
when somebody scrapes. A part of the server that is made later is added then; before that its
families are missing, as those that count nothing yet are in upstream.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from fastvol._cffi.fault import io_error_count
from fastvol.observability.exposition import render
from fastvol.observability.metrics_operations import OperationCollector
from fastvol.observability.metrics_process import ServerCollector, UsageCollector
from fastvol.observability.metrics_requests import Traffic, TrafficCollector
from fastvol.observability.metrics_store import StoreCollector
from fastvol.observability.operation_stats import OperationStats

if TYPE_CHECKING:
    from fastvol.store.store import Store


class Metrics:
    """The registry, and what the parts of the server count into."""

    def __init__(self, store: Store) -> None:
        self.operations = OperationStats()
        self._registry = CollectorRegistry()
        self._registry.register(UsageCollector())
        self._server = ServerCollector(time.time())
        self._registry.register(self._server)
        self._registry.register(StoreCollector(store, io_error_count))
        self._registry.register(OperationCollector(self.operations))

    def add_traffic(self, traffic: Traffic, offset_width: int) -> None:
        """What the data plane counts, once there is one; ``offset_width`` as it says it is."""
        self._server.offset_width = offset_width
        self._registry.register(TrafficCollector(traffic, self.operations.replication))

    def text(self) -> bytes:
        """Everything now, in the text format; from any thread but the event loop's."""
        return render(self._registry.collect())
