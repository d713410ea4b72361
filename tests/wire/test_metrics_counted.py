"""What the data plane counts of real requests, and a scrape while it serves."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fastvol.observability.exposition import render
from fastvol.observability.metrics_listener import MetricsListener
from fastvol.observability.metrics_requests import TrafficCollector
from fastvol.observability.operation_stats import ReplicationStats
from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import LARGE, TO_PYTHON, fill, get

PREFIX = "SeaweedFS_volumeServer_"


def text(plane: LivePlane) -> bytes:
    return render(TrafficCollector(plane.traffic, ReplicationStats()).collect())


def series(plane: LivePlane) -> dict[tuple[str, ...], float]:
    """Value by name and label values."""
    return {
        (
            sample.name.removeprefix(PREFIX).removesuffix("_total"),
            *(sample.labels[name] for name in sorted(sample.labels)),
        ): sample.value
        for family in text_string_to_metric_families(text(plane).decode())
        for sample in family.samples
    }


def wait_for(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_both_paths_count_into_the_same_series(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        fill(plane)
        for query in ("", TO_PYTHON):
            plane.exchange(get(query=query))
            plane.exchange(get(1, "Range: bytes=0-3", query=query))
            plane.exchange(get(method="HEAD", query=query))
        plane.exchange(get(99))
        counts = plane.counts()
        assert (counts.get_200, counts.get_206, counts.head_200) == (1, 1, 1)
        wait_for(lambda: series(plane).get(("request", "404", "GET")) == 1)
        found = series(plane)
        assert found["request", "200", "GET"] == found["request", "206", "GET"] == 2
        assert found["request", "200", "HEAD"] == 2
        assert found["request_seconds_count", "GET"] == 5
        assert found["in_flight_requests", "GET"] == 0
        assert found["handler", "errorGetNotFound"] == found["file_read_failures",] == 1
        totals = plane.traffic.snapshot()
        assert totals.reads == 7 and totals.bytes_sent > 2 * 1000


def test_a_large_answer_is_in_flight_until_its_last_byte_has_left(tmp_path: Path) -> None:
    with LivePlane(tmp_path, fast_read=False) as plane:
        fill(plane)
        with plane.connect() as sock:
            sock.sendall(get(2))
            wait_for(lambda: series(plane).get(("in_flight_requests", "GET")) == 1)
            assert ("request", "200", "GET") not in series(plane)
            response = Reader(sock).response()
            assert response is not None and len(response) > len(LARGE)
        wait_for(lambda: series(plane).get(("in_flight_requests", "GET")) == 0)
        assert series(plane)["request", "200", "GET"] == 1


def test_scrapes_under_load_see_numbers_that_only_grow(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        fill(plane)
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        listener = MetricsListener(bound, lambda: text(plane))
        stop = threading.Event()
        answered = [0, 0]

        def load(number: int, query: str) -> None:
            with plane.connect() as sock:
                reader = Reader(sock)
                while not stop.is_set():
                    sock.sendall(get(query=query))
                    assert reader.response() is not None
                    answered[number] += 1

        threads = [
            threading.Thread(target=load, args=(n, q)) for n, q in enumerate(("", TO_PYTHON))
        ]
        for thread in threads:
            thread.start()
        seen = [0.0]
        try:
            for _ in range(20):
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/metrics", timeout=10
                ) as answer:
                    for line in answer.read().decode().splitlines():
                        if line.startswith(f'{PREFIX}request_total{{code="200",type="GET"}}'):
                            seen.append(float(line.split()[-1]))
                time.sleep(0.02)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            listener.close()
        assert seen == sorted(seen) and seen[-1] > seen[1] and all(answered)
        wait_for(lambda: series(plane)["request", "200", "GET"] == sum(answered))
        assert series(plane)["request_seconds_count", "GET"] == sum(answered)


def test_what_was_counted_outlives_the_plane(tmp_path: Path) -> None:
    """A scrape may come after the loop, or the whole C core, has ended."""
    with LivePlane(tmp_path) as plane:
        fill(plane)
        plane.exchange(get())
    counts = plane.counts()
    assert counts.get_200 == 1 and sum(counts.gets.buckets) == 1 and counts.gets.seconds > 0
