"""``GET /metrics`` on a port of its own (weed/stats/metrics.go: StartMetricsServer).

It has its own threads, so that neither a slow scraper nor a large store keeps the event loop from
its requests, and so that it answers while the server still waits for a master.
"""

from __future__ import annotations

import gzip
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fastvol.limits import (
    METRICS_LISTEN_BACKLOG,
    METRICS_REQUEST_SECONDS_MAX,
    METRICS_SCRAPES_MAX,
)
from fastvol.log_limiter import LogLimiter
from fastvol.observability.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

log = logging.getLogger(__name__)
_failures = LogLimiter(log)

_STOP_POLL_SECONDS: Final = 0.1


class _Handler(BaseHTTPRequestHandler):
    """One connection, one answer: scrapers come seldom."""

    protocol_version = "HTTP/1.1"
    timeout = METRICS_REQUEST_SECONDS_MAX
    server: _Server

    def version_string(self) -> str:
        return "fastvol"

    def log_message(self, *_: Any) -> None:
        """Scrapes are not worth a line."""

    def _answer(self) -> None:
        self.close_connection = True
        if urlsplit(self.path).path != "/metrics":
            self._send(404, "text/plain; charset=utf-8", b"404 page not found\n")
            return
        try:
            text = self.server.text()
        except Exception:
            # One series that cannot be read must not end the thread without a word.
            _failures.error("scrape", "the metrics cannot be collected", exc_info=True)
            self._send(500, "text/plain; charset=utf-8", b"the metrics cannot be collected\n")
            return
        encoding = ""
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            text, encoding = gzip.compress(text, 1), "gzip"
        self._send(200, CONTENT_TYPE, text, encoding)

    def _send(self, status: int, content_type: str, body: bytes, encoding: str = "") -> None:
        self.send_response(status)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = _answer  # noqa: N815 - names of http.server


class _Server(ThreadingHTTPServer):
    """Takes over a bound socket; so many connections at a time, the others wait to be accepted."""

    daemon_threads = True
    request_queue_size = METRICS_LISTEN_BACKLOG

    def __init__(self, bound: socket.socket, text: Callable[[], bytes]) -> None:
        super().__init__(bound.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.text = text
        self._room = threading.BoundedSemaphore(METRICS_SCRAPES_MAX)
        self.server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: Any) -> None:
        """A scraper that went away, mostly."""
        _failures.warning("connection", "a scrape was cut off", exc_info=True)


class MetricsListener:
    """Answers from its making until ``close``."""

    def __init__(self, bound: socket.socket, text: Callable[[], bytes]) -> None:
        """``bound`` is a socket that does not listen yet; ``text`` gives the metrics, from any thread."""
        self._server = _Server(bound, text)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_STOP_POLL_SECONDS,),
            name="metrics",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Accepts no more; a scrape under way is cut off at the process's end."""
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()
