"""Families about replication, vacuum, scrub and the heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastvol.observability.families import Sample, counter, gauge, histogram
from fastvol.observability.histogram import SECONDS_BOUNDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric

    from fastvol.observability.operation_stats import (
        OperationStats,
        ReplicationStats,
        ScrubStats,
        Tally,
        VacuumStats,
    )


class OperationCollector:
    """Registered with a ``CollectorRegistry``; any thread may collect."""

    def __init__(self, stats: OperationStats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """All families; ``replication_targets`` is with the requests."""
        stats = self._stats
        yield from _replication(stats.replication)
        yield from _vacuum(stats.vacuum)
        yield from _scrub(stats.scrub)
        yield counter(
            "master_disconnections",
            "Heartbeat streams that failed.",
            _samples(stats.disconnections, "address"),
        )


def _replication(stats: ReplicationStats) -> Iterable[Metric]:
    yield counter(
        "replication_operations_total",
        "Changes sent to other copies.",
        _samples(stats.operations, "operation", "result"),
    )
    yield counter(
        "replication_failures_total",
        "Changes that did not reach all copies, by reason.",
        _samples(stats.failures, "operation", "reason"),
    )
    yield _durations(
        "replication_seconds", "Duration of sending a change on.", "operation", stats.durations
    )


def _vacuum(stats: VacuumStats) -> Iterable[Metric]:
    yield counter("vacuuming_compact_count", "Compactions.", _samples(stats.compacts, "success"))
    yield counter(
        "vacuuming_commit_count", "Commits of compactions.", _samples(stats.commits, "success")
    )
    yield _durations("vacuuming_seconds", "Duration of a vacuum's parts.", "type", stats.durations)


def _scrub(stats: ScrubStats) -> Iterable[Metric]:
    times = sorted(stats.last_times().items())
    yield gauge(
        "scrub_last_time_seconds",
        "When a scrub last ended.",
        [({"mode": mode}, int(ended)) for mode, ended in times],
    )
    yield counter(
        "scrub_volume_failures", "Volumes found damaged.", _samples(stats.volume_failures, "mode")
    )
    yield counter(
        "scrub_shard_failures", "Shards found damaged.", _samples(stats.shard_failures, "mode")
    )


def _samples(tally: Tally, *labels: str) -> list[Sample]:
    return [
        (dict(zip(labels, values, strict=True)), count)
        for values, count in sorted(tally.counts().items())
    ]


def _durations(name: str, text: str, label: str, histograms: Mapping[str, Histogram]) -> Metric:
    observed = [({label: value}, one.observed()) for value, one in sorted(histograms.items())]
    return histogram(name, text, SECONDS_BOUNDS, [pair for pair in observed if any(pair[1].counts)])
