"""A pair of copies, one of them on a real server, under clients that come, go and vanish.

What was acknowledged must be on both at the end, and fastvol must have kept nothing of those who left.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
import pytest
from daemons import wait_until
from http_calls import CALL_SECONDS_MAX, HOST, get
from test_other_servers import Trio, make_trio, upload

pytestmark = pytest.mark.interop

SECONDS: Final = 8
CLIENTS: Final = 8
SIZES: Final = (10, 1000, 100_000, 400_000)
DESCRIPTORS_MORE: Final = 64
"""Kept connections to the peer, and the volume's own."""
ANONYMOUS_MIB_MORE: Final = 100


class Crowd:
    """Clients with keys of their own each, and what was acknowledged to them."""

    def __init__(self, trio: Trio, volume_id: int, far_target: str) -> None:
        self._ports = (trio.fast.port, trio.peer.port)
        self._volume_id = volume_id
        self._far_target = far_target
        self._until = time.monotonic() + SECONDS
        self.stored: dict[str, bytes] = {}
        self.faults: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)
        ]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join(SECONDS + CALL_SECONDS_MAX)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        acts: list[Callable[[random.Random, str], None]] = [
            *(self._store, self._store, self._store, self._delete, self._read, self._read),
            *(self._vanish_in_an_upload, self._vanish_in_a_proxied_read),
        ]
        while time.monotonic() < self._until:
            target = f"/{self._volume_id},{number + 1:x}{chance.randrange(500):04x}637037d6"
            try:
                chance.choice(acts)(chance, target)
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))

    def _call(
        self, chance: random.Random, method: str, target: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        port = chance.choice(self._ports)
        connection = http.client.HTTPConnection(HOST, port, timeout=CALL_SECONDS_MAX)
        try:
            connection.request(method, target, body, {"Content-Type": "a/b"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _store(self, chance: random.Random, target: str) -> None:
        data = chance.randbytes(chance.choice(SIZES))
        status, answer = self._call(chance, "POST", target, data)
        if status in (201, 204):
            self.stored[target] = data
        else:
            self.faults.append(f"POST {target}: {status} {answer!r}")

    def _delete(self, chance: random.Random, target: str) -> None:
        status, answer = self._call(chance, "DELETE", target)
        if status == 202:
            self.stored.pop(target)
        elif status != 404 or target in self.stored:
            self.faults.append(f"DELETE {target}: {status} {answer!r}")

    def _read(self, chance: random.Random, target: str) -> None:
        status, answer = self._call(chance, "GET", target)
        if (status, answer) != (
            (200, self.stored[target]) if target in self.stored else (404, b"")
        ):
            self.faults.append(f"GET {target}: {status}, {len(answer)} bytes")

    def _vanish_in_an_upload(self, chance: random.Random, _target: str) -> None:
        head = (
            f"POST /{self._volume_id},ffffffff637037d6 HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n"
        )
        with socket.create_connection((HOST, self._ports[0]), CALL_SECONDS_MAX) as sock:
            sock.sendall(f"{head}Content-Length: 400000\r\n\r\n".encode())
            sock.sendall(bytes(chance.randrange(399_000)))

    def _vanish_in_a_proxied_read(self, chance: random.Random, _target: str) -> None:
        with socket.create_connection((HOST, self._ports[0]), CALL_SECONDS_MAX) as sock:
            sock.sendall(f"GET {self._far_target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            sock.recv(chance.choice((10, 100_000)))


def anonymous_mib(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) >> 10


def test_a_crowd_leaves_both_copies_right_and_nothing_behind(tmp_path: Path) -> None:
    for trio in make_trio(tmp_path, "proxy"):
        volume_id = trio.volume(trio.fast, trio.peer, replication="001")
        far_target = f"/{trio.volume(trio.peer)},01637037d6"
        assert upload(trio.peer.port, far_target, bytes(5_000_000)).status == 201
        process = psutil.Process(trio.fast.running.pid)
        descriptors, memory = process.num_fds(), anonymous_mib(process)
        crowd = Crowd(trio, volume_id, far_target)
        crowd.run()
        assert crowd.faults == [] and crowd.stored
        for target, data in crowd.stored.items():
            for port in (trio.fast.port, trio.peer.port):
                assert get(port, target).body == data
        wait_until(
            lambda p=process, most=descriptors + DESCRIPTORS_MORE: p.num_fds() <= most,
            "descriptors come back",
        )
        assert anonymous_mib(process) <= memory + ANONYMOUS_MIB_MORE
        assert "Traceback" not in trio.fast.running.errors
