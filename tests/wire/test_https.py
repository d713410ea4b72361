"""The HTTPS listener: who gets in, what is told to the others, and how connections end."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificate_kit import Authority

from fastvol.http.plane import PlaneOptions
from tests.wire.live_plane import LivePlane, Reader
from tests.wire.tls_plane import TlsPlane, TlsSocket
from tests.wire.wire_requests import (
    CHUNKED,
    LARGE,
    SMALL,
    TO_PYTHON,
    all_that_comes,
    fill,
    get,
    post,
    reset,
    slow_client,
)

REFUSAL = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


@pytest.fixture(name="secure", scope="module")
def secure_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlane]:
    with TlsPlane(tmp_path_factory.mktemp("secure")) as made:
        fill(made)
        yield made


@pytest.fixture(name="mutual", scope="module")
def mutual_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlane]:
    """Demands client certificates."""
    with TlsPlane(tmp_path_factory.mktemp("mutual"), demand_certificates=True) as made:
        fill(made)
        yield made


@pytest.fixture(name="impatient", scope="module")
def impatient_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlane]:
    options = PlaneOptions(idle_seconds=1.0, head_seconds=0.6, file_bytes_max=1 << 20)
    with TlsPlane(tmp_path_factory.mktemp("impatient"), options=options) as made:
        fill(made)
        yield made


def wait_no_bridges(plane: TlsPlane, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while plane.bridges() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert plane.bridges() == 0
    assert plane.connections() == 0


# --- the handshake ------------------------------------------------------------------------------


def test_a_read_over_tls(secure: TlsPlane) -> None:
    with secure.connect() as sock:
        assert sock.tls.version() == "TLSv1.3"
        sock.sendall(get())
        answer = Reader(sock).response()
    assert answer is not None and answer.endswith(SMALL)


def test_an_old_client_is_told_that_its_version_is_not_spoken(secure: TlsPlane) -> None:
    client = secure.authority.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        client.minimum_version = ssl.TLSVersion.TLSv1
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with secure.connect_raw() as raw, pytest.raises(ssl.SSLError) as caught:
        TlsSocket(raw, client)
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(mutual: TlsPlane, tmp_path: Path, version: ssl.TLSVersion) -> None:
    stranger = Authority(tmp_path, "stranger")
    pairs = {
        "none": None,
        "wrong": stranger.issue("client"),
        "right": mutual.authority.issue("client"),
    }
    outcomes = {}
    for label, pair in pairs.items():
        client = mutual.authority.client(pair)
        client.minimum_version = client.maximum_version = version
        with mutual.connect_raw() as raw:
            try:
                sock = TlsSocket(raw, client)
                sock.sendall(get())
                answer = Reader(sock).response()
                outcomes[label] = "served" if answer and answer.endswith(SMALL) else str(answer)
            except ssl.SSLError as error:
                outcomes[label] = str(error.reason)
    assert outcomes["right"] == "served"
    assert outcomes["wrong"] == "TLSV1_ALERT_UNKNOWN_CA"
    assert outcomes["none"] in {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
    }


@pytest.mark.parametrize("start", ["GET /", "HEAD /", "POST /", "PUT /", "OPTIONS /"])
def test_plain_http_is_told_off_in_the_clear(secure: TlsPlane, start: str) -> None:
    with secure.connect_raw() as raw:
        raw.sendall(f"{start}1,01 HTTP/1.1\r\nHost: t\r\n\r\n".encode() + bytes(1 << 17))
        assert all_that_comes(raw) == REFUSAL  # all of it, although input was left unread


@pytest.mark.parametrize("start", [b"DELETE /1 HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", bytes(99)])
def test_what_is_neither_tls_nor_upstreams_idea_of_http_gets_no_answer(
    secure: TlsPlane, start: bytes
) -> None:
    with secure.connect_raw() as raw:
        raw.sendall(start)
        assert all_that_comes(raw) == b""


def test_a_greeting_may_come_byte_by_byte(secure: TlsPlane) -> None:
    with secure.connect_raw() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /":
            raw.sendall(bytes([byte]))
            time.sleep(0.01)
        assert all_that_comes(raw) == REFUSAL


def test_nonsense_in_a_handshake_is_answered_by_an_alert(secure: TlsPlane) -> None:
    with secure.connect_raw() as raw:
        raw.sendall(b"\x16\x03\x01\x00\x05hello")
        assert all_that_comes(raw)[:3] == b"\x15\x03\x03"
    wait_no_bridges(secure)


def test_nonsense_after_the_handshake_ends_the_connection(secure: TlsPlane) -> None:
    with secure.connect() as sock:
        sock.raw.sendall(b"GET /1 HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in all_that_comes(sock.raw)
    wait_no_bridges(secure)


@pytest.mark.parametrize("start", [b"", b"GE", b"\x16\x03\x01\x00\xff"])
def test_a_handshake_must_come_in_time(impatient: TlsPlane, start: bytes) -> None:
    began = time.monotonic()
    with impatient.connect_raw() as raw:
        raw.sendall(start)
        assert all_that_comes(raw) == b""
    assert 0.4 < time.monotonic() - began < 5


def test_a_certificate_replaced_on_the_disk_is_shown_next(tmp_path: Path) -> None:
    with TlsPlane(tmp_path) as plane:
        fill(plane)
        before = plane.connect()
        plane.authority.issue("server")
        assert plane.contexts.refresh()
        after = plane.connect()
        serials = [sock.tls.getpeercert()["serialNumber"] for sock in (before, after)]
        assert serials[0] != serials[1]
        for sock in (before, after):  # the old connection goes on
            with sock:
                sock.sendall(get())
                assert (Reader(sock).response() or b"").endswith(SMALL)


def test_a_public_port_beside_it_stays_plain(tmp_path: Path) -> None:
    with LivePlane(tmp_path, public=True) as plane:
        fill(plane)
        assert plane.exchange(get()).endswith(SMALL)


# --- large bodies -------------------------------------------------------------------------------


def memory_bytes() -> int:
    """Memory of this process that is no file's, the server's and the client's."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in x)
    return int(line.split()[1]) << 10


def test_64_mb_up_and_down_with_a_slow_reader(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 64
    options = PlaneOptions(file_bytes_max=len(data))
    with TlsPlane(tmp_path, options=options) as plane:
        plane.add_volume(1)
        with slow_client(plane, 1 << 16) as sock:
            sock.sendall(post(7, f"Content-Length: {len(data)}") + data)
            assert (Reader(sock).response() or b"").startswith(b"HTTP/1.1 201")
            sock.sendall(get(7))
            head, _, start = sock.recv(1 << 14).partition(b"\r\n\r\n")
            assert f"Content-Length: {len(data)}".encode() in head
            before = memory_bytes()
            at, most = len(start), 0
            assert data.startswith(start)
            while at < len(data):
                piece = sock.recv(1 << 16)
                assert piece and piece == data[at : at + len(piece)]
                at += len(piece)
                if at % 16 == 0:
                    time.sleep(0.0005)
                    most = max(most, memory_bytes() - before)
    assert most < 8 << 20, "the answer lay in memory"


def test_clients_that_do_not_read_hold_little_memory(secure: TlsPlane) -> None:
    sockets = [slow_client(secure) for _ in range(8)]
    before = memory_bytes()
    for sock in sockets:
        sock.sendall((get(2) + get(2, query=TO_PYTHON)) * 4)
    time.sleep(0.5)
    assert memory_bytes() - before < 8 << 20
    assert secure.exchange(get()).endswith(SMALL)
    for sock in sockets:
        reset(sock.raw)
    wait_no_bridges(secure)


def test_uploads_of_any_framing(secure: TlsPlane) -> None:
    data = os.urandom(200_000)
    half = b"%x\r\n" % 100_000
    chunked = half + data[:100_000] + b"\r\n" + half + data[100_000:] + b"\r\n0\r\n\r\n"
    with secure.connect() as sock:
        reader = Reader(sock)
        for key, request in (
            (8, post(8, f"Content-Length: {len(data)}") + data),
            (9, post(9, CHUNKED) + chunked),
        ):
            sock.sendall(request)
            assert (reader.response() or b"").startswith(b"HTTP/1.1 201")
            sock.sendall(get(key))
            assert (reader.response() or b"").endswith(data)


# --- the end ------------------------------------------------------------------------------------


def test_an_idle_connection_ends_with_a_good_bye(impatient: TlsPlane) -> None:
    began = time.monotonic()
    with impatient.connect() as sock:
        sock.sendall(get())
        reader = Reader(sock)
        assert reader.response() is not None
        assert reader.rest() == b""
        assert sock.said_bye
    assert 0.5 < time.monotonic() - began < 6


def test_the_last_answer_comes_whole_and_with_a_good_bye(secure: TlsPlane) -> None:
    for query in ("", TO_PYTHON):
        with secure.connect() as sock:
            sock.sendall(get(2, "Connection: close", query=query))
            assert Reader(sock).rest().endswith(LARGE)
            assert sock.said_bye


def test_a_clients_good_bye_does_not_cut_off_its_answers(secure: TlsPlane) -> None:
    with secure.connect() as sock:
        sock.sendall(get(2, query=TO_PYTHON) + get(1))
        sock.shutdown(socket.SHUT_WR)
        answer = Reader(sock).rest()
    assert answer.endswith(SMALL) and LARGE in answer


def test_a_timeout_names_the_clients_address(impatient: TlsPlane) -> None:
    with impatient.connect() as sock:
        own = sock.raw.getsockname()[1]
        sock.sendall(post(3, "Content-Length: 100") + b"x")
        answer = Reader(sock).rest()
    server = f"127.0.0.1:{impatient.port}"
    assert f"read tcp {server}-\\u003e127.0.0.1:{own}: i/o timeout".encode() in answer


def test_a_reader_that_stalls_is_dropped_in_time(impatient: TlsPlane) -> None:
    with slow_client(impatient) as sock:
        sock.sendall(get(2) * 4)
        began = time.monotonic()
        wait_no_bridges(impatient)
        assert time.monotonic() - began < 4, "one idle time, not one for each side of the bridge"


def test_a_reader_that_is_slow_but_steady_gets_everything(tmp_path: Path) -> None:
    """So slow that the pair takes nothing new for longer than the idle time."""
    options = PlaneOptions(idle_seconds=1.0)
    with TlsPlane(tmp_path, options=options, send_buffer=1 << 13) as plane:
        fill(plane)
        with slow_client(plane, 1 << 13) as sock:
            sock.sendall(get(2))
            received = bytearray()
            began = time.monotonic()
            while not received.endswith(LARGE[-1000:]):
                piece = sock.recv(1 << 16)
                assert piece, f"cut off after {time.monotonic() - began:.1f} s"
                received += piece
                if time.monotonic() - began < 4:
                    time.sleep(0.25)
    assert received.endswith(LARGE)


def test_stopping_lets_answers_finish_and_ends_the_rest(tmp_path: Path) -> None:
    plane = TlsPlane(tmp_path, stop_seconds=10)
    with plane:
        fill(plane)
        idle, fresh = plane.connect(), plane.connect_raw()
        busy = slow_client(plane, 1 << 14)
        busy.sendall(get(2))
        assert busy.recv(1)
        result: list[bytes] = []
        reading = threading.Timer(0.5, lambda: result.append(all_that_comes(busy)))
        reading.start()
        began = time.monotonic()
    assert time.monotonic() - began < 8, "ended before the grace was over"
    reading.join(20)
    assert result[0].endswith(LARGE)
    assert busy.said_bye
    with contextlib.closing(idle), contextlib.closing(fresh), contextlib.closing(busy):
        assert all_that_comes(idle) == b"" and idle.said_bye
        assert all_that_comes(fresh) == b""


def test_stopping_cuts_off_what_does_not_end(tmp_path: Path) -> None:
    with TlsPlane(tmp_path, stop_seconds=0.3) as plane:
        fill(plane)
        sock = slow_client(plane)
        sock.sendall(get(2) * 4)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    with sock:
        assert len(all_that_comes(sock)) < 4 * len(LARGE)
