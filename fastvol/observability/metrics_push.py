"""Metrics for a push gateway, if the master names one (weed/stats/metrics.go: LoopPushingMetric)."""

from __future__ import annotations

import logging
import threading
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastvol.limits import METRICS_PUSH_SECONDS_MAX
from fastvol.log_limiter import LogLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)
_failures = LogLimiter(log)

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPusher:
    """Pushes at once and then each interval, from a thread of its own, until ``close``."""

    def __init__(
        self, gateway: str, instance: str, seconds: float, text: Callable[[], bytes]
    ) -> None:
        """``gateway`` is ``host:port`` or a URL; ``instance`` is ``ip:port``."""
        self._url = push_url(gateway, instance)
        self._seconds = seconds
        self._text = text
        self._closing = threading.Event()
        # A gateway is asked directly: a proxy of the environment is for the outside world.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        log.info("push metrics to %s every %g s", self._url, seconds)
        self._thread = threading.Thread(target=self._run, name="metrics-push", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pushes no more; a push under way is not waited for."""
        self._closing.set()

    def _run(self) -> None:
        self._push()
        while not self._closing.wait(self._seconds):
            self._push()

    def _push(self) -> None:
        try:
            request = urllib.request.Request(  # noqa: S310 - push_url made it
                self._url, self._text(), {"Content-Type": _TEXT_FORMAT}, method="PUT"
            )
            with self._opener.open(request, timeout=METRICS_PUSH_SECONDS_MAX):
                pass
        except Exception as error:
            # Whatever it was: the next interval is another chance, and the server's work goes on.
            _failures.warning("push", "could not push metrics to %s: %s", self._url, error)


def push_url(gateway: str, instance: str) -> str:
    """Where to put the metrics of one volume server."""
    base = gateway if gateway.startswith(("http://", "https://")) else f"http://{gateway}"
    return f"{base.rstrip('/')}/metrics/job/volumeServer/instance/{quote(instance, safe='')}"
