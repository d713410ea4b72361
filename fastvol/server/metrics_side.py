"""Where the metrics go: a port of their own, and a push gateway if the master names one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastvol.http.plane import bind
from fastvol.observability.metrics_listener import MetricsListener
from fastvol.observability.metrics_push import MetricsPusher

if TYPE_CHECKING:
    from fastvol.config import Config
    from fastvol.observability.metrics import Metrics


class MetricsSide:
    """Serves one server's metrics from ``open`` to ``close``."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._ends = contextlib.ExitStack()

    def open(self) -> None:
        """Listens, unless the configuration says no.  :exc:`ConfigError` when the port is taken."""
        config = self._config
        if config.metrics_port:
            bound = bind(config.metrics_ip, config.metrics_port)
            listener = MetricsListener(bound, self._metrics.text)
            self._ends.callback(listener.close)

    def push(self, gateway: str, seconds: int) -> None:
        """Pushes to ``gateway`` each so many seconds, from now on."""
        pusher = MetricsPusher(gateway, self._config.address, seconds, self._metrics.text)
        self._ends.callback(pusher.close)

    def close(self) -> None:
        """Ends both."""
        self._ends.close()
