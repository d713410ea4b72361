"""kill -9 under load: whatever was acknowledged is there afterwards, round after round."""

import http.client
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    master_server,
    started,
    volume_rpc,
    volume_server,
    weed,
)
from http_calls import HOST, get

pytestmark = [pytest.mark.interop, pytest.mark.crash]

ROUNDS = 3
WRITERS = 4
VOLUMES = (1, 2)
ROUND_SECONDS = 1.2
KEYS_PER_WRITER = 200
COOKIE = "11223344"
GONE = None


@dataclass
class Writer:
    """One client that stores, overwrites and deletes objects of its own.

    ``acknowledged`` is what must be found; ``unsure`` what may be found instead, because the server
    died before it answered.
    """

    number: int
    acknowledged: dict[str, bytes | None] = field(default_factory=dict)
    unsure: dict[str, bytes | None] = field(default_factory=dict)
    changes: int = 0
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.number)

    def run(self, port: int) -> None:
        """Works until the server is gone."""
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        fid = ""
        try:
            while True:
                fid, wanted = self._next()
                self.unsure[fid] = wanted
                self._change(connection, fid, wanted)
                self.acknowledged[fid] = self.unsure.pop(fid)
                self.changes += 1
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _next(self) -> tuple[str, bytes | None]:
        key = self.number << 16 | self._chance.randrange(KEYS_PER_WRITER)
        fid = f"{self._chance.choice(VOLUMES)},{key:x}{COOKIE}"
        if self.acknowledged.get(fid) and self._chance.random() < 0.2:
            return fid, GONE
        size = self._chance.choice([0, 1, 100, 4096, 70_000, 300_000])
        return fid, self._chance.randbytes(size)

    def _change(
        self, connection: http.client.HTTPConnection, fid: str, wanted: bytes | None
    ) -> None:
        durable = "?fsync=true" if self._chance.random() < 0.1 else ""
        headers = {"Content-Type": "application/octet-stream"}
        if wanted is GONE:
            connection.request("DELETE", f"/{fid}")
        else:
            connection.request("PUT", f"/{fid}{durable}", wanted, headers)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status not in (201, 202, 204):
            self.refusals.append(f"{fid}: {reply.status} {body!r}")

    def check(self, port: int) -> int:
        """Compares everything with what the server has; returns the number of objects found."""
        found = 0
        for fid in {**self.acknowledged, **self.unsure}:
            reply = get(port, f"/{fid}")
            assert reply.status in (200, 404), (fid, reply.status)
            content = reply.body if reply.status == 200 else GONE
            allowed = [self.acknowledged.get(fid, GONE)]
            if fid in self.unsure:
                allowed.append(self.unsure[fid])
            assert content in allowed, f"{fid}: {content and len(content)} bytes"
            self.acknowledged[fid] = content
            found += content is not GONE
        self.unsure.clear()
        return found


def test_what_was_acknowledged_survives(tmp_path: Path) -> None:
    """At the end the real server sees the same."""
    master = master_server(tmp_path)
    ours = volume_server(FASTVOL, tmp_path, tmp_path / "data", [master.port])
    theirs = volume_server(weed(tmp_path), tmp_path, tmp_path / "data", [master.port])
    writers = [Writer(number) for number in range(1, WRITERS + 1)]
    with started(master):
        with started(ours):
            ours.ready()
            with volume_rpc(ours.port) as rpc:
                for volume_id in VOLUMES:
                    allocate(rpc, volume_id)
            for _ in range(ROUNDS):
                work_until_killed(ours, writers)
                ours.start().ready()
                assert sum(writer.check(ours.port) for writer in writers) > WRITERS
                assert ", 0 damaged" in ours.running.errors
        with started(theirs):
            theirs.ready()
            for writer in writers:
                writer.check(theirs.port)


def work_until_killed(server: Server, writers: list[Writer]) -> None:
    """One round; the server is dead at its end."""
    before = sum(writer.changes for writer in writers)
    threads = [threading.Thread(target=w.run, args=(server.port,)) for w in writers]
    for thread in threads:
        thread.start()
    time.sleep(ROUND_SECONDS)
    server.kill()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert [refusal for writer in writers for refusal in writer.refusals] == []
    assert sum(writer.changes for writer in writers) > before + WRITERS
