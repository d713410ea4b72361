"""Which width a master's build has, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fastvol.cluster.master_build import offset_width_of
from fastvol.cluster.server_address import ServerAddress

NOBODY = ServerAddress("127.0.0.1:1.2")


@contextmanager
def master(body: bytes) -> Iterator[ServerAddress]:
    """Answers every GET with ``body``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body if self.path == "/dir/status" else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ServerAddress(f"127.0.0.1:{server.server_port}.19333")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "width"),
    [
        (json.dumps({"Version": "8000GB 4.48 pypi"}).encode(), 5),
        (json.dumps({"Version": "30GB 3.80 "}).encode(), 4),
        (json.dumps({"Version": "5GB 9.0"}).encode(), None),
        (b'{"Topology": {}}', None),
        (b"[]", None),
        (b"no json", None),
    ],
)
def test_the_version_tells(body: bytes, width: int | None) -> None:
    with master(body) as address:
        assert offset_width_of([address]) == width


def test_the_next_master_is_asked_when_one_is_away() -> None:
    with master(b'{"Version": "30GB 4.48 x"}') as address:
        assert offset_width_of([NOBODY, address]) == 4
    assert offset_width_of([NOBODY]) is None
