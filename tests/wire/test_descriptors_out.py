"""Without a descriptor left, connections wait; the server does not spin, and goes on by itself."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.wire.live_plane import WAIT_SECONDS, LivePlane, Reader
from tests.wire.wire_requests import get, status_of

OUT_SECONDS = 0.7
CPU_SECONDS_MAX = 0.3
"""Spinning would take all of the time."""


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_wait_for_a_descriptor(
    plane: LivePlane, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [socket.socket() for _ in range(5)]
    with plane.connect() as before:
        reader = Reader(before)
        before.sendall(get())
        assert status_of(reader.response()) == 200  # so it was accepted
        with no_more_descriptors():
            for client in clients:
                client.settimeout(WAIT_SECONDS)
                client.connect(("127.0.0.1", plane.port))
                client.sendall(get())
            busy = time.process_time()
            time.sleep(OUT_SECONDS)
            busy = time.process_time() - busy
            before.sendall(get())
            assert status_of(reader.response()) == 200
        for client in clients:
            assert status_of(Reader(client).response()) == 200
            client.close()
    assert busy < CPU_SECONDS_MAX
    told = [line for line in caplog.messages if "cannot accept a connection" in line]
    assert told == ["cannot accept a connection: [Errno 24] Too many open files"]
