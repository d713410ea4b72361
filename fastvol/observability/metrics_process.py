"""Families about the process: what it is, since when it runs, and what it uses."""

from __future__ import annotations

import platform
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.observability.families import gauge
from fastvol.version import SIZE_LIMIT_NAMES, UPSTREAM_COMMIT, UPSTREAM_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

_GO_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}
_NO_LIMIT: Final = float(2**64 - 1)
_NETSTAT: Final = Path("/proc/self/net/netstat")


class ServerCollector:
    """``build_info`` and ``start_time_seconds``."""

    def __init__(self, started: float) -> None:
        """``started`` in Unix seconds."""
        self._started = started
        self.offset_width = OFFSET_WIDTH_DEFAULT
        """Bytes of an offset in most volumes; not known before they are loaded."""

    def collect(self) -> Iterable[Metric]:
        """Both families."""
        machine = platform.machine()
        build = Metric("SeaweedFS_build_info", "What runs here.", "gauge")
        build.add_sample(
            build.name,
            {
                "commit": UPSTREAM_COMMIT,
                "goarch": _GO_ARCHITECTURES.get(machine, machine),
                "goos": platform.system().lower(),
                "sizelimit": SIZE_LIMIT_NAMES[self.offset_width],
                "version": UPSTREAM_VERSION,
            },
            1,
        )
        yield build
        yield gauge("start_time_seconds", "When the server started.", [({}, int(self._started))])


class UsageCollector(ProcessCollector):
    """``process_*``: those of the Python client, and those that only the Go client has."""

    def __init__(self) -> None:
        super().__init__(registry=None)

    def collect(self) -> Iterable[Metric]:
        """All that the system tells."""
        yield from super().collect()
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        yield GaugeMetricFamily(
            "process_virtual_memory_max_bytes",
            "Virtual memory that the process may use, in bytes.",
            _NO_LIMIT if soft == resource.RLIM_INFINITY else float(soft),
        )
        octets = _network_octets()
        if octets is not None:
            names = ("receive", "transmit")
            for name, value in zip(names, octets, strict=True):
                yield CounterMetricFamily(
                    f"process_network_{name}_bytes_total",
                    f"Bytes ({name}) of the network namespace of the process.",
                    value,
                )


def _network_octets() -> tuple[int, int] | None:
    """Bytes in and out by IP, None where the system does not tell."""
    try:
        lines = [line.split() for line in _NETSTAT.read_text().splitlines()]
    except OSError:
        return None
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names[:1] == ["IpExt:"]:
            figures = dict(zip(names, values, strict=True))
            return int(figures.get("InOctets", 0)), int(figures.get("OutOctets", 0))
    return None
