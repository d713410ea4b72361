"""Families about requests, of the handlers in Python and of the fast paths in C together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastvol.observability.counts import Counts, Total
from fastvol.observability.families import Labels, counter, gauge, histogram
from fastvol.observability.histogram import SECONDS_BOUNDS, TARGETS_BOUNDS, Observed, merged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from fastvol._cffi.serve import Durations, ServeCounts
    from fastvol.observability.operation_stats import ReplicationStats
    from fastvol.observability.traffic import Limiter, Traffic


class TrafficCollector:
    """Registered with a ``CollectorRegistry``; any thread may collect."""

    def __init__(self, traffic: Traffic, replication: ReplicationStats) -> None:
        self._traffic = traffic
        self._replication = replication

    def collect(self) -> Iterable[Metric]:
        """All families."""
        traffic = self._traffic
        fast = traffic.fast()
        yield self._answers(fast)
        yield self._durations(fast)
        yield self._in_flight(fast)
        yield from _event_families(traffic.counts)
        yield from _limit_families("download", traffic.downloads)
        yield from _limit_families("upload", traffic.uploads)
        # Whatever the fast write takes has no other copy, or came from the one who sends it on.
        alone = Observed((fast.post_201 + fast.post_204, *[0] * len(TARGETS_BOUNDS)), 0.0)
        yield histogram(
            "replication_targets",
            "Other copies of each change.",
            TARGETS_BOUNDS,
            [({}, merged(self._replication.targets_per_change.observed(), alone))],
        )

    def _answers(self, fast: ServeCounts) -> Metric:
        answers = self._traffic.stats.answers()
        for key, count in _fast_answers(fast).items():
            if count:
                answers[key] = answers.get(key, 0) + count
        return counter(
            "request_total",
            "Requests for objects, by method and status.",
            [
                ({"type": label, "code": str(status)}, count)
                for (label, status), count in sorted(answers.items())
            ],
        )

    def _durations(self, fast: ServeCounts) -> Metric:
        traffic = self._traffic
        found = {label: one.observed() for label, one in traffic.stats.durations().items()}
        found["writeToLocalDisk"] = traffic.stages.local_disk.durations.observed()
        found["writeToReplicas"] = traffic.stages.replicas.durations.observed()
        of_c = {
            "GET": fast.gets,
            "HEAD": fast.heads,
            "POST": fast.posts,
            "writeToLocalDisk": fast.appends,
        }
        for label, durations in of_c.items():
            more = _observed(durations)
            found[label] = merged(found[label], more) if label in found else more
        samples: list[tuple[Labels, Observed]] = [
            ({"type": label}, observed)
            for label, observed in sorted(found.items())
            if any(observed.counts)
        ]
        return histogram(
            "request_seconds", "Duration of requests and their parts.", SECONDS_BOUNDS, samples
        )

    def _in_flight(self, fast: ServeCounts) -> Metric:
        """A method that was seen once keeps its series."""
        traffic = self._traffic
        found = traffic.stats.in_flight()
        of_c = {"GET": fast.gets, "HEAD": fast.heads, "POST": fast.posts}
        for label, durations in of_c.items():
            if any(durations.buckets):
                found.setdefault(label, 0)
        stages, appends = traffic.stages, any(fast.appends.buckets)
        if appends or any(stages.local_disk.durations.observed().counts):
            found["writeToLocalDisk"] = stages.local_disk.in_flight
        if any(stages.replicas.durations.observed().counts) or stages.replicas.in_flight:
            found["writeToReplicas"] = stages.replicas.in_flight
        return gauge(
            "in_flight_requests",
            "Requests at work now.",
            [({"type": label}, count) for label, count in sorted(found.items())],
        )


def _fast_answers(fast: ServeCounts) -> dict[tuple[str, int], int]:
    return {
        ("GET", 200): fast.get_200,
        ("GET", 206): fast.get_206,
        ("GET", 304): fast.get_304,
        ("HEAD", 200): fast.head_200,
        ("HEAD", 304): fast.head_304,
        ("POST", 201): fast.post_201,
        ("POST", 204): fast.post_204,
    }


def _observed(durations: Durations) -> Observed:
    return Observed(durations.buckets, durations.seconds)


def _event_families(counts: Counts) -> Iterable[Metric]:
    yield counter(
        "handler_total",
        "What happened in the handlers.",
        [({"type": str(event)}, n) for event, n in sorted(counts.events().items())],
    )
    texts = {
        Total.READ_FAILURES: "Reads that failed.",
        Total.INVALID_NEEDLES: "Reads of what is not here.",
        Total.WRITE_FAILURES: "Writes and deletes that failed.",
    }
    for total, text in texts.items():
        yield counter(str(total), text, [({}, counts.total(total))])


def _limit_families(direction: str, limiter: Limiter) -> Iterable[Metric]:
    yield gauge(
        f"concurrent_{direction}_limit",
        f"Bytes of {direction}s in flight that are allowed; 0: any number.",
        [({}, limiter.limit)],
    )
    yield gauge(
        f"in_flight_{direction}_size", f"Bytes of {direction}s now.", [({}, limiter.in_flight)]
    )
