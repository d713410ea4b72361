"""What stops coming or stops being taken ends in time, and what waits by right may stay."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastvol.http.plane import PlaneOptions
from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import (
    LARGE,
    SMALL,
    all_that_comes,
    drip,
    get,
    slow_client,
    store,
    wait_all_gone,
)


def test_idle_connections_are_closed_silently(hasty: LivePlane) -> None:
    with hasty.connect() as fresh, hasty.connect() as used:
        used.sendall(get())
        reader = Reader(used)
        assert reader.response() is not None
        began = time.monotonic()
        assert Reader(fresh).rest() == b""
        assert reader.rest() == b""
        assert 0.5 < time.monotonic() - began < 6


def test_without_an_idle_timeout_connections_stay(tmp_path: Path) -> None:
    with LivePlane(tmp_path, options=PlaneOptions(idle_seconds=0)) as plane:
        store(plane.add_volume(1), 1, SMALL)
        with plane.connect() as sock:
            reader = Reader(sock)
            for _ in range(2):
                time.sleep(1.2)
                sock.sendall(get())
                assert (reader.response() or b"").endswith(SMALL)


def test_a_head_must_come_in_time_however_it_drips(hasty: LivePlane) -> None:
    for start in (b"GET /1,1000", b"POST /1,1"):
        with hasty.connect() as sock:
            assert drip(sock, start) < 5


@pytest.mark.parametrize("start", [b"POST /1,1", get()[:-4] + b"\r\nX: " + b"a" * 9000])
def test_a_head_in_pythons_hands_keeps_its_deadline_however_it_drips(
    tmp_path: Path, start: bytes
) -> None:
    options = PlaneOptions(idle_seconds=1.5, head_seconds=0.8)
    with LivePlane(tmp_path, options=options, fast_write=False) as plane, plane.connect() as sock:
        assert drip(sock, start) < 5


def test_a_stalled_unwanted_body_delays_the_answer_only(hasty: LivePlane) -> None:
    with hasty.connect() as sock:
        sock.sendall(get(1, "Content-Length: 10") + b"12345")
        answer = Reader(sock).rest()
    assert answer.endswith(SMALL) and b"\r\nConnection: close\r\n" in answer


def test_a_client_that_stops_reading_hurts_nobody_and_is_dropped(hasty: LivePlane) -> None:
    with slow_client(hasty) as slow:
        slow.sendall(get(2) * 20)
        for _ in range(20):
            assert hasty.exchange(get()).endswith(SMALL)
        wait_all_gone(hasty)
        assert len(all_that_comes(slow)) < 20 * len(LARGE)


def test_a_slow_reader_gets_everything(plane: LivePlane) -> None:
    with slow_client(plane, 8192) as slow:
        slow.sendall(get(2) + get() + get(2))
        time.sleep(0.3)
        reader = Reader(slow)
        for want in (LARGE, SMALL, LARGE):
            answer = reader.response()
            assert answer is not None and answer.endswith(want)
