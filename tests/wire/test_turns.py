"""One busy connection: its answers come in order, and the others get theirs meanwhile."""

from __future__ import annotations

import socket
import threading
import time

from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import LARGE, SMALL, TO_PYTHON, get, send_what_is_taken, status_of


def test_long_pipelines_are_answered_in_order_and_let_others_through(plane: LivePlane) -> None:
    kinds = [get(), get(query=TO_PYTHON), get(0x99), get(0x99, method="PATCH")]
    wanted = [200, 200, 404, 400]
    rounds = 1000
    stream = b"".join(kinds) * rounds
    waits = []
    with plane.connect() as busy:
        sender = threading.Thread(target=busy.sendall, args=(stream,))
        sender.start()
        reader = Reader(busy)
        for number in range(rounds):
            statuses = [status_of(reader.response()) for _ in kinds]
            assert statuses == wanted, number
            if number % 100 == 0:
                began = time.monotonic()
                assert plane.exchange(get()).endswith(SMALL)
                waits.append(time.monotonic() - began)
        sender.join(10)
        assert not sender.is_alive()
    assert sorted(waits)[len(waits) // 2] < 1.0


def test_a_long_pipeline_does_not_hold_up_the_others(plane: LivePlane) -> None:
    """Thousands of requests for the complete handlers in one connection: they take turns."""
    count = 4000
    with plane.connect() as greedy, plane.connect() as modest:
        sender = threading.Thread(
            target=send_what_is_taken, args=(greedy, get(query=TO_PYTHON) * count)
        )
        drained: list[bytes] = []
        reader = Reader(greedy)
        taker = threading.Thread(
            target=lambda: drained.extend(reader.response() or b"" for _ in range(count))
        )
        sender.start()
        taker.start()
        mine, answered = Reader(modest), 0
        while taker.is_alive():
            modest.sendall(get())
            assert (mine.response() or b"").endswith(SMALL)
            answered += 1
        sender.join(10)
        taker.join(10)
    assert len(drained) == count and all(answer.endswith(SMALL) for answer in drained)
    assert answered > 40


def test_a_pipeline_of_large_reads_lets_others_through(plane: LivePlane) -> None:
    count = 12
    with plane.connect() as busy:
        busy.sendall((get(2) + get() + get(2, query=TO_PYTHON)) * count)
        total = threading.Event()
        thread = threading.Thread(target=_read_all, args=(busy, count, total))
        thread.start()
        for _ in range(20):
            assert plane.exchange(get()).endswith(SMALL)
        thread.join(60)
        assert total.is_set()


def _read_all(sock: socket.socket, count: int, done: threading.Event) -> None:
    reader = Reader(sock)
    for _ in range(count):
        for want in (LARGE, SMALL, LARGE):
            answer = reader.response()
            assert answer is not None and answer.endswith(want)
    done.set()
