"""Requests byte by byte, clients that behave badly, and what the tests of a connection store."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

from volume_kit import needle

from fastvol.formats.needle import Needle
from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane

SMALL, LARGE = os.urandom(1000), os.urandom(8 << 20)
CHUNKED = "Transfer-Encoding: chunked"
TO_PYTHON = "?a=b"
"""A query that the fast read leaves to the complete handlers."""


# --- what is stored ------------------------------------------------------------------------------


def store(volume: Volume, key: int, data: bytes, **fields: object) -> None:
    values: dict[str, object] = {"name": b"n", "last_modified": 1_700_000_000, **fields}
    flags = Needle.HAS_NAME | Needle.HAS_LAST_MODIFIED
    flags |= Needle.HAS_PAIRS if "pairs" in fields else 0
    volume.write(needle(key, data, cookie=0x1234, flags=flags, **values))


def fill(plane: LivePlane) -> Volume:
    """Volume 1, with SMALL under the key 1 and LARGE under 2."""
    volume = plane.add_volume(1)
    store(volume, 1, SMALL)
    store(volume, 2, LARGE)
    return volume


# --- requests ------------------------------------------------------------------------------------


def get(key: int = 1, *headers: str, query: str = "", method: str = "GET") -> bytes:
    lines = [f"{method} /1,{key:x}00001234{query} HTTP/1.1", "Host: t", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(key: int, *headers: str, fid: str = "") -> bytes:
    """The head of an upload."""
    lines = [f"POST /{fid or f'1,{key:x}00001234'} HTTP/1.1", "Host: t", "Content-Type: a/b"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode()


def raw_post(key: int, data: bytes, *headers: str, fid: str = "") -> bytes:
    return post(key, f"Content-Length: {len(data)}", *headers, fid=fid) + data


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunked_post(key: int, *pieces: bytes) -> bytes:
    return post(key, CHUNKED) + chunks(*pieces)


def multipart_post(key: int, data: bytes, query: str = "") -> bytes:
    """An upload of the shape that the fast write takes."""
    body = b"--bb\r\nContent-Disposition: form-data; filename=f\r\n\r\n" + data + b"\r\n--bb--\r\n"
    head = (
        f"POST /1,{key:x}00001234{query} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=bb\r\n\r\n"
    )
    return head.encode() + body


def status_of(answer: bytes | None) -> int:
    assert answer is not None
    return int(answer[9:12])


# --- clients -------------------------------------------------------------------------------------


def send_what_is_taken(sock: socket.socket, data: bytes) -> None:
    """Sends until the server takes no more, which is its right."""
    with contextlib.suppress(OSError):
        sock.sendall(data)


def slow_client(plane: LivePlane, buffer: int = 4096) -> socket.socket:
    """A client in whose buffer a large answer does not fit."""
    return plane.connect(buffer)


def all_that_comes(sock: socket.socket) -> bytes:
    """Everything until the connection ends, in whatever way."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 16):
            received += piece
    return bytes(received)


def drip(sock: socket.socket, start: bytes, seconds_max: float = 6) -> float:
    """Sends byte after byte behind ``start``; returns when the server had enough, in seconds."""
    sock.sendall(start)
    began = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() - began < seconds_max:
            sock.sendall(b"0")
            time.sleep(0.1)
    return time.monotonic() - began


def reset(sock: socket.socket) -> None:
    """Vanishes without a good-bye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_all_gone(plane: LivePlane, seconds: float = 10) -> None:
    """Until the server has let go of every connection."""
    deadline = time.monotonic() + seconds
    while plane.connections() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert plane.connections() == 0
