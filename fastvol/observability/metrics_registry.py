"""The collectors of one server, with the library that they are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from fastvol._cffi.fault import io_error_count
from fastvol.observability.exposition import render
from fastvol.observability.metrics_operations import OperationCollector
from fastvol.observability.metrics_process import ServerCollector, UsageCollector
from fastvol.observability.metrics_requests import TrafficCollector
from fastvol.observability.metrics_store import StoreCollector

if TYPE_CHECKING:
    from fastvol.observability.operation_stats import OperationStats
    from fastvol.observability.traffic import Traffic
    from fastvol.store.store import Store


class MetricsRegistry:
    """Any thread may ask for the text."""

    def __init__(self, store: Store, operations: OperationStats, started: float) -> None:
        """``started`` in Unix seconds."""
        self._operations = operations
        self._server = ServerCollector(started)
        self._registry = CollectorRegistry()
        self._registry.register(UsageCollector())
        self._registry.register(self._server)
        self._registry.register(StoreCollector(store, io_error_count))
        self._registry.register(OperationCollector(operations))

    def add_traffic(self, traffic: Traffic, offset_width: int) -> None:
        """See :meth:`fastvol.observability.metrics.Metrics.add_traffic`."""
        self._server.offset_width = offset_width
        self._registry.register(TrafficCollector(traffic, self._operations.replication))

    def text(self) -> bytes:
        """Everything now."""
        return render(self._registry.collect())
