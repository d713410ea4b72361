"""The port that scrapers ask, and the gateway that is told."""

from __future__ import annotations

import gzip
import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from fastvol.limits import METRICS_SCRAPES_MAX
from fastvol.observability.metrics_listener import MetricsListener
from fastvol.observability.metrics_push import MetricsPusher, push_url


class Listening:
    def __init__(self, text: Callable[[], bytes]) -> None:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        self._listener = MetricsListener(bound, text)

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body


def test_only_its_own_path_has_metrics() -> None:
    with Listening(lambda: b"up 1\n") as port:
        status, headers, body = port.ask("/metrics?name=x")
        assert (status, body) == (200, b"up 1\n")
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4; charset=utf-8")
        assert port.ask("/")[0] == port.ask("/metrics/")[0] == 404
        assert port.ask("/metrics", "POST")[0] == 200
        status, headers, body = port.ask("/metrics", "HEAD")
        assert (status, headers["Content-Length"], body) == (200, "5", b"")


def test_a_scraper_that_takes_gzip_gets_it() -> None:
    with Listening(lambda: b"up 1\n" * 1000) as port:
        _, headers, body = port.ask("/metrics", **{"Accept-Encoding": "gzip"})
        assert headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body) == b"up 1\n" * 1000


def test_a_failing_collector_is_a_500_and_the_next_scrape_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = True

    def text() -> bytes:
        if failing:
            raise ValueError("broken")
        return b"up 1\n"

    with Listening(text) as port:
        assert port.ask("/metrics")[0] == 500
        failing = False
        assert port.ask("/metrics")[0] == 200
    assert "cannot be collected" in caplog.text


def test_silent_connections_do_not_add_up_without_end() -> None:
    """Beyond a few at a time they wait to be accepted, and leave no thread behind."""
    with Listening(lambda: b"up 1\n") as port:
        before = threading.active_count()
        silent = [socket.create_connection(("127.0.0.1", port.port)) for _ in range(30)]
        time.sleep(0.3)
        assert threading.active_count() <= before + METRICS_SCRAPES_MAX
        for sock in silent:
            sock.close()
        assert port.ask("/metrics")[0] == 200


def test_after_close_nobody_listens() -> None:
    with Listening(lambda: b"") as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        port.ask("/metrics")


# --- the gateway ---------------------------------------------------------------------------------


class Gateway(BaseHTTPRequestHandler):
    puts: ClassVar[list[tuple[str, str, bytes]]] = []

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.puts.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def wait_for(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_metrics_are_pushed_at_once_and_again() -> None:
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    Gateway.puts = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    pusher = MetricsPusher(
        f"127.0.0.1:{server.server_port}", "10.0.0.1:8080", 0.1, lambda: b"up 1\n"
    )
    try:
        wait_for(lambda: len(Gateway.puts) >= 3)
    finally:
        pusher.close()
        server.shutdown()
        thread.join()
        server.server_close()
    path, content_type, body = Gateway.puts[0]
    assert path == "/metrics/job/volumeServer/instance/10.0.0.1%3A8080"
    assert content_type.startswith("text/plain; version=0.0.4") and body == b"up 1\n"


def test_a_gateway_that_is_away_costs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        calls: list[None] = []

        def text() -> bytes:
            calls.append(None)
            return b""

        with caplog.at_level(logging.WARNING):
            pusher = MetricsPusher(f"127.0.0.1:{taken.getsockname()[1]}", "a:1", 0.02, text)
            wait_for(lambda: len(calls) >= 4)
            pusher.close()
    assert sum("could not push" in line for line in caplog.text.splitlines()) <= 1


def test_the_address_may_have_a_scheme() -> None:
    assert push_url("https://gate:9091/", "h:1") == (
        "https://gate:9091/metrics/job/volumeServer/instance/h%3A1"
    )
