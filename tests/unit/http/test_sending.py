"""Responses go out whole and in order whatever the socket takes, and give their volume back."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest

from fastvol.http.response import FileBody, let_go
from fastvol.http.sending import Outgoing
from fastvol.limits import HTTP_TURN_BYTES

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Lent:
    """What a body needs of a volume."""

    def __init__(self, data: bytes) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by release
        self._file.write(data)
        self._file.flush()
        self.released = 0

    def dat_fd(self) -> int:
        return self._file.fileno()

    def release(self) -> None:
        self.released += 1
        self._file.close()


@pytest.fixture(name="pair")
def pair_fixture() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(10)
        yield ours, theirs


def deliver(outgoing: Outgoing, ours: socket.socket, theirs: socket.socket) -> tuple[bytes, int]:
    """Everything that arrives, and how many calls it took."""
    received = bytearray()
    calls = 1
    while not outgoing.send(ours):
        calls += 1
        received += theirs.recv(1 << 16)
    ours.shutdown(socket.SHUT_WR)
    while piece := theirs.recv(1 << 16):
        received += piece
    return bytes(received), calls


@pytest.mark.parametrize("size", [0, 1, 1000, 256 << 10, (256 << 10) + 1, 3_000_000])
def test_bodies_in_memory(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    body = os.urandom(size)
    received, _ = deliver(Outgoing(HEAD, bytearray(body)), *pair)
    assert received == HEAD + body


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_bodies_in_a_file(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    data = os.urandom(size + 20)
    lent = Lent(data)
    received, _ = deliver(Outgoing(HEAD, FileBody(lent, 10, size)), *pair)  # type: ignore[arg-type]
    assert received == HEAD + data[10 : 10 + size]
    assert lent.released == 1


def test_a_fast_reader_does_not_keep_the_loop() -> None:
    """One call ends after its turn although the socket could take more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours = socket.create_connection(listener.getsockname(), 10)
        theirs, _ = listener.accept()
    sink = threading.Thread(target=_drain, args=(theirs,))
    sink.start()
    with ours:
        ours.setblocking(False)
        outgoing = Outgoing(HEAD, bytes(40 << 20))
        calls = 1
        while not outgoing.send(ours):
            calls += 1
    sink.join(10)
    assert not sink.is_alive()
    assert calls >= (40 << 20) // HTTP_TURN_BYTES // 2


def _drain(sock: socket.socket) -> None:
    with sock:
        sock.settimeout(10)
        while sock.recv(1 << 20):
            pass


def test_a_file_that_ends_early_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    lent = Lent(b"12345")
    outgoing = Outgoing(HEAD, FileBody(lent, 0, 10))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="ends at 5"):
        outgoing.send(pair[0])
    outgoing.release()
    outgoing.release()
    assert lent.released == 1


def test_a_body_that_is_not_sent_is_released() -> None:
    lent = Lent(b"")
    let_go(FileBody(lent, 0, 10))  # type: ignore[arg-type]
    let_go(b"")
    assert lent.released == 1
