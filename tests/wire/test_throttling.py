"""Too many bytes in flight: who waits, who is sent away, and when bytes stop counting."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastvol.http.plane import PlaneOptions
from tests.wire.live_plane import WAIT_SECONDS, LivePlane, Reader, Throttling
from tests.wire.wire_requests import reset

MIB = 1 << 20
LARGE = 12 * MIB
"""More than the sockets of both ends take."""


def plane_with(directory: Path, throttling: Throttling, **options: object) -> LivePlane:
    """A plane as the server makes it with limits: the C core counts nothing, so it is left out."""
    return LivePlane(
        directory,
        fast_read=False,
        fast_write=False,
        throttling=throttling,
        options=PlaneOptions(file_bytes_max=64 * MIB),
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LivePlane]:
    with plane_with(tmp_path, Throttling(MIB, MIB, seconds=1)) as made:
        made.add_volume(1)
        store(made, "/1,01637037d6", bytes(LARGE))
        store(made, "/1,02637037d6", b"small")
        yield made


def store(plane: LivePlane, target: str, data: bytes) -> None:
    assert upload(plane, target, data).startswith(b"HTTP/1.1 201")


def post(target: str, length: int) -> bytes:
    return (
        f"POST {target} HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def upload(plane: LivePlane, target: str, data: bytes) -> bytes:
    return plane.exchange(post(target, len(data)) + data)


def get(plane: LivePlane, target: str) -> bytes:
    return plane.exchange(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())


@contextmanager
def unread_download(plane: LivePlane) -> Iterator[socket.socket]:
    """A client that asks for much and reads only the first bytes of it."""
    with plane.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET /1,01637037d6 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"
        yield sock


@contextmanager
def stalled_upload(plane: LivePlane, size: int = 2 * MIB) -> Iterator[socket.socket]:
    """A client that announces much and sends one byte."""
    with plane.connect() as sock:
        sock.sendall(post("/1,0a637037d6", size) + b"x")
        wait_for_event(lambda: plane.uploads.in_flight >= size)
        yield sock


def wait_for_event(happened: object) -> None:
    assert callable(happened)
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Background:
    """A request on its way in a thread."""

    def __init__(self, call: object) -> None:
        self.answer = b""

        def run() -> None:
            assert callable(call)
            self.answer = call()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> bytes:
        self._thread.join(WAIT_SECONDS)
        assert not self.waits
        return self.answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])


# --- downloads ----------------------------------------------------------------------------------


def test_a_download_waits_until_another_has_drained(plane: LivePlane) -> None:
    with unread_download(plane) as first:
        second = Background(lambda: get(plane, "/1,02637037d6"))
        time.sleep(0.3)
        assert second.waits
        first.close()
        assert second.join().endswith(b"small")
    wait_for_event(lambda: plane.downloads.in_flight == 0)


def test_a_download_that_waits_too_long_is_refused(plane: LivePlane) -> None:
    with unread_download(plane):
        answer = get(plane, "/1,02637037d6")
        assert status_of(answer) == 429
        assert error_of(answer) == (
            f"request /1,02637037d6 because inflight download data {plane.downloads.in_flight} > "
            f"{MIB}, and wait timeout"
        )
    wait_for_event(lambda: not plane.downloads.is_over)
    assert get(plane, "/1,02637037d6").endswith(b"small")


def test_one_object_larger_than_the_limit_gets_through(plane: LivePlane) -> None:
    answer = get(plane, "/1,01637037d6")
    assert len(answer.partition(b"\r\n\r\n")[2]) == LARGE


def test_a_bad_volume_is_told_at_once_while_over_the_limit(plane: LivePlane) -> None:
    with unread_download(plane):
        began = time.monotonic()
        assert status_of(get(plane, "/not-a-vid,1234567890ab")) == 400
        assert time.monotonic() - began < 0.9


def test_what_is_not_found_counts_nothing(plane: LivePlane) -> None:
    assert status_of(get(plane, "/1,99637037d6")) == 404
    assert plane.downloads.in_flight == 0


@pytest.mark.parametrize("limit", [0, 1 << 40])
def test_without_a_limit_nobody_waits(tmp_path: Path, limit: int) -> None:
    with plane_with(tmp_path, Throttling(limit, limit, seconds=60)) as plane:
        plane.add_volume(1)
        store(plane, "/1,01637037d6", bytes(LARGE))
        with unread_download(plane), stalled_upload(plane):
            assert len(get(plane, "/1,01637037d6")) > LARGE
            store(plane, "/1,03637037d6", b"at once")


def test_over_the_limit_another_copy_answers(tmp_path: Path) -> None:
    """Unless the request was handed on already: then it waits like any other."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    limits = Throttling(MIB, seconds=0.3)
    with plane_with(tmp_path / "a", limits) as over, plane_with(tmp_path / "b", limits) as other:
        for plane in (over, other):
            plane.add_volume(1, replication="001")
            plane.cluster.put(1, over.port, other.port)
            for target, data in (("/1,01637037d6", bytes(LARGE)), ("/1,02637037d6", b"small")):
                store(plane, f"{target}?type=replicate", data)
        with unread_download(over):
            assert get(over, "/1,02637037d6").endswith(b"small")
            assert status_of(get(over, "/1,02637037d6?proxied=true")) == 429
            assert other.cluster.asked == []


# --- uploads ------------------------------------------------------------------------------------


def test_an_upload_waits_for_its_turn(plane: LivePlane) -> None:
    with stalled_upload(plane) as first:
        second = Background(lambda: upload(plane, "/1,03637037d6", b"patient"))
        time.sleep(0.3)
        assert second.waits
        first.close()
        assert status_of(second.join()) == 201
    wait_for_event(lambda: plane.uploads.in_flight == 0)


def test_an_upload_that_waits_too_long_is_refused(plane: LivePlane) -> None:
    with stalled_upload(plane):
        answer = upload(plane, "/1,03637037d6", b"impatient")
        assert status_of(answer) == 429
        text = f"reject because inflight upload data {2 * MIB} > {MIB}, and wait timeout"
        assert error_of(answer) == text
        assert status_of(get(plane, "/1,03637037d6")) == 404
    wait_for_event(lambda: not plane.uploads.is_over)
    store(plane, "/1,03637037d6", b"later")


def test_what_a_peer_sends_does_not_wait(plane: LivePlane) -> None:
    """Two servers that send each other copies must not wait for each other."""
    with stalled_upload(plane):
        assert status_of(upload(plane, "/1,04637037d6?type=replicate", b"copy")) == 201


def test_a_body_is_not_asked_for_before_its_turn(plane: LivePlane) -> None:
    head = post("/1,05637037d6", 5).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with stalled_upload(plane) as first, plane.connect() as sock:
        sock.sendall(head)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        first.close()
        sock.settimeout(WAIT_SECONDS)
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        answer = Reader(sock).response()
        assert answer is not None and status_of(answer) == 201


def test_deletes_never_wait(plane: LivePlane) -> None:
    with stalled_upload(plane), unread_download(plane):
        answer = plane.exchange(b"DELETE /1,02637037d6 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert status_of(answer) == 202


def test_many_that_wait_go_on_in_order(plane: LivePlane) -> None:
    with stalled_upload(plane) as first:
        waiting = []
        for number in range(5):
            target = f"/1,{0x10 + number:x}637037d6"
            waiting.append(Background(lambda at=target: upload(plane, at, b"one of many")))
        time.sleep(0.3)
        assert all(one.waits for one in waiting)
        first.close()
        assert [status_of(one.join()) for one in waiting] == [201] * 5
    wait_for_event(lambda: plane.uploads.in_flight == 0)


# --- clients that leave -------------------------------------------------------------------------


def gone(plane: LivePlane, method: str) -> int:
    return plane.traffic.stats.answers().get((method, 499), 0)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[LivePlane]:
    with plane_with(tmp_path, Throttling(MIB, MIB, seconds=60)) as made:
        made.add_volume(1)
        store(made, "/1,01637037d6", bytes(LARGE))
        store(made, "/1,02637037d6", b"small")
        yield made


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
@pytest.mark.parametrize(
    ("method", "request_bytes"),
    [
        ("GET", b"GET /1,02637037d6 HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("POST", post("/1,03637037d6", 100) + b"not all of it"),
        ("POST", post("/1,03637037d6", 100)),
    ],
)
def test_who_leaves_while_waiting_is_waited_for_no_longer(
    patient: LivePlane,
    method: str,
    request_bytes: bytes,
    leave: Callable[[socket.socket], None],
) -> None:
    with unread_download(patient), stalled_upload(patient):
        before = patient.connections()
        leaving = patient.connect()
        leaving.sendall(request_bytes)
        wait_for_event(lambda: patient.connections() == before + 1)
        time.sleep(0.2)
        leave(leaving)
        wait_for_event(lambda: gone(patient, method) == 1)
        wait_for_event(lambda: patient.connections() == before)
    wait_for_event(lambda: patient.uploads.in_flight == patient.downloads.in_flight == 0)


def test_who_has_only_said_everything_still_waits(patient: LivePlane) -> None:
    """An upload that is complete may be followed by the end of the client's sending."""
    with stalled_upload(patient) as first, patient.connect() as sock:
        sock.sendall(post("/1,03637037d6", 5) + b"hello")
        sock.shutdown(socket.SHUT_WR)
        time.sleep(1.2)
        first.close()
        answer = Reader(sock).response()
        assert answer is not None and status_of(answer) == 201
