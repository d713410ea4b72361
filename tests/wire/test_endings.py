"""What ends a connection ends that one only, and leaves nothing behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from fastvol.errors import DiskIOError
from fastvol.http.connection import Connection
from fastvol.http.request import Request
from fastvol.volume.volume import StoredNeedle, Volume
from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import (
    CHUNKED,
    LARGE,
    SMALL,
    TO_PYTHON,
    fill,
    get,
    multipart_post,
    post,
    raw_post,
    reset,
    status_of,
    wait_all_gone,
)


def test_an_error_of_a_handler_is_a_500_and_the_connection_goes_on(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_volume_id: int) -> Volume:
        raise RuntimeError("boom")

    with plane.connect() as sock:
        with monkeypatch.context() as patch:
            patch.setattr(plane.store, "find_volume", fail)
            sock.sendall(get(query=TO_PYTHON) + post(0x41, "Content-Length: 1") + b"x")
            reader = Reader(sock)
            assert [status_of(reader.response()) for _ in range(2)] == [500, 500]
        sock.sendall(get(query=TO_PYTHON))
        answer = reader.response()
        assert answer is not None and answer.endswith(SMALL)


def test_a_disk_that_fails_every_read_does_not_fill_the_log(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> StoredNeedle:
        raise DiskIOError("disk gone")

    with plane.connect() as sock:
        reader = Reader(sock)
        monkeypatch.setattr(Volume, "load", fail)
        for _ in range(50):
            sock.sendall(get(query=TO_PYTHON))
            assert status_of(reader.response()) == 500
    assert [line for line in caplog.messages if "disk gone" in line] == [
        "GET /1,100001234: disk gone"
    ]


def test_a_failure_ends_its_own_connection_only(
    plane: LivePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Connection._answer

    def failing(self: Connection, request: Request) -> None:
        if b"x-fail" in request.headers:
            time.sleep(0.2)  # so that the others' events come in one batch with the next failure
            raise RuntimeError("on purpose")
        real(self, request)

    monkeypatch.setattr(Connection, "_answer", failing)
    bad = get(query=TO_PYTHON).replace(b"Host", b"X-Fail: 1\r\nHost")
    sockets = [plane.connect() for _ in range(12)]
    for at, sock in enumerate(sockets):
        sock.sendall(bad if at % 2 == 0 else get(query=TO_PYTHON))
    for at, sock in enumerate(sockets):
        with sock:
            answer = Reader(sock).response()
            assert (answer is None) if at % 2 == 0 else (answer or b"").endswith(SMALL)


def test_clients_that_vanish_in_any_state_leave_nothing_behind(plane: LivePlane) -> None:
    for request in (
        b"",
        get()[:10],
        get()[:20],
        b"PATCH /",
        post(0x61, "Content-Length: 1000000") + b"x",
        raw_post(0x81, bytes(100_000))[:-1],
        post(0x61, CHUNKED) + b"9\r\nx",
        multipart_post(1, b"x")[:-3],
        get(2),
        get(2) * 4,
        get(2, query=TO_PYTHON) * 4,
        b"nonsense\r\n\r\n" + bytes(1 << 18),
    ):
        for pause in (0, 0, 0.01, 0.01, 0.01):  # seen by the server before the reset, or with it
            sock = plane.connect()
            sock.sendall(request)
            time.sleep(pause)
            reset(sock)
    assert plane.exchange(get(2)).endswith(LARGE)  # accepted, as all before it then are
    wait_all_gone(plane)


def test_stopping_ends_every_connection_and_every_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    plane = LivePlane(tmp_path, stop_seconds=0.5)
    sockets = []
    with plane:
        fill(plane)
        for request in (
            b"",
            get(),
            get()[:20],
            b"PATCH /",
            post(0x51, "Content-Length: 100") + b"x",
            get(2) * 4,
            get(2, query=TO_PYTHON) * 4,
            b"nonsense\r\n\r\n",
        ):
            sock = plane.connect()
            sock.sendall(request)
            sockets.append(sock)
        time.sleep(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert set(threading.enumerate()) <= before  # others may have ended theirs meanwhile
    for sock in sockets:
        sock.close()
