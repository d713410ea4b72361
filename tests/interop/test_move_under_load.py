"""A volume that is moved while clients read and write it loses nothing that was acknowledged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from cluster import FASTVOL, Cluster, Server, started, volume_server, weed
from daemons import START_SECONDS_MAX, run, wait_until
from http_calls import HOST, get, request

pytestmark = pytest.mark.interop

ALLOW: Final = "-volume.allowUntrustedRemoteEndpoints"
VOLUME: Final = 7
COOKIE: Final = 0x11223344
WRITERS: Final = 3
KEYS: Final = 60
"""Of each writer."""
RETRY_SECONDS_MAX: Final = 15


@dataclass
class Client:
    """Looks a volume up at the master, asks the server, and tries again, as the Go client does."""

    cluster: Cluster
    where: str = ""

    def ask(self, method: str, key: int, data: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the last try."""
        deadline = time.monotonic() + RETRY_SECONDS_MAX
        while True:
            status, body = self._once(method, key, data)
            if status in (200, 201, 202, 404) and not (status == 404 and self._moved()):
                return status, body
            self.where = ""
            if time.monotonic() > deadline:
                return status, body
            time.sleep(0.05)

    def _moved(self) -> bool:
        """Whether the one asked is not the one that has it."""
        before, self.where = self.where, ""
        return self._location() != before

    def _once(self, method: str, key: int, data: bytes | None) -> tuple[int, bytes]:
        try:
            if not self._location():
                return 503, b"no location"
            port = int(self.where.rpartition(":")[2])
            kind = {"Content-Type": "application/octet-stream"}
            reply = request(port, method, f"/{VOLUME},{key:02x}{COOKIE:08x}", data, kind)
        except OSError as error:
            return 503, str(error).encode()
        except Exception as error:
            return 503, repr(error).encode()
        return reply.status, reply.body

    def _location(self) -> str:
        if not self.where:
            reply = get(self.cluster.master.port, f"/dir/lookup?volumeId={VOLUME}")
            found = reply.json().get("locations") or () if reply.status == 200 else ()
            self.where = found[0]["url"] if found else ""
        return self.where


@dataclass
class Load:
    """Writers with a ledger of what was acknowledged, and readers that compare."""

    cluster: Cluster
    ledger: dict[int, bytes | None] = field(default_factory=dict)
    in_doubt: dict[int, list[bytes | None]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    acknowledged: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def write(self, writer: int) -> None:
        chance = random.Random(writer)
        client = Client(self.cluster)
        number = 0
        while not self.over.is_set():
            key = 1 + writer * KEYS + chance.randrange(KEYS)
            number += 1
            gone = chance.random() < 0.15
            data = None if gone else b"%d %d " % (key, number) * chance.choice((1, 50, 3000))
            self.in_doubt.setdefault(key, []).append(data)
            status, body = client.ask("DELETE" if gone else "POST", key, data)
            if status in (201, 202) or (gone and status == 404):
                self.ledger[key] = data
                self.in_doubt.pop(key)
                self.acknowledged += 1
            elif status != 503:
                self.failures.append(f"write {key}: {status} {body[:200]!r}")
            time.sleep(0.002)

    def read(self) -> None:
        chance = random.Random(99)
        client = Client(self.cluster)
        while not self.over.is_set():
            known = list(self.ledger)
            if not known:
                continue
            key = chance.choice(known)
            before = self.ledger[key]
            _, body = client.ask("GET", key)
            settled = self.ledger[key] is before and key not in self.in_doubt
            if settled and before is not None and body != before:
                self.failures.append(f"read {key}: {body[:60]!r} for {before[:60]!r}")

    def check(self) -> None:
        """Every acknowledged object is there, every acknowledged deletion too."""
        client = Client(self.cluster)
        for key, data in self.ledger.items():
            status, body = client.ask("GET", key)
            found = body if status == 200 else None
            allowed = [data, *self.in_doubt.get(key, [])]
            assert found in allowed, f"{key}: {status} {body[:60]!r} for {str(data)[:60]}"
        assert not self.failures, self.failures[:5]

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.write, args=(n,)) for n in range(WRITERS)]
        threads.append(threading.Thread(target=self.read))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join(RETRY_SECONDS_MAX + 10)


def move(cluster: Cluster, source: Server, target: Server) -> str:
    text = (
        f"lock\nvolume.move -source={HOST}:{source.port} -target={HOST}:{target.port} "
        f"-volumeId={VOLUME}\nunlock\n"
    )
    done: Any = run(
        weed(cluster.base, "shell", f"-master={HOST}:{cluster.master.port}"), cluster.base, text
    )
    return str(done.stdout + done.stderr)


@pytest.mark.timeout(240)
def test_a_moved_volume_loses_nothing(tmp_path: Path) -> None:
    """From fastvol to weed, back to another fastvol, and on to the first."""
    cluster = Cluster.make(tmp_path, ALLOW)
    first = cluster.volume
    other, theirs = (
        volume_server(program, tmp_path, tmp_path / name, [cluster.master.port], ALLOW)
        for program, name in ((FASTVOL, "other"), (weed(tmp_path), "theirs"))
    )
    with cluster.running(), started(other, theirs):
        for server in (other, theirs):
            server.ready()
            wait_until(lambda p=server.port: cluster.node(p), "joined", START_SECONDS_MAX)
        cluster.allocate(VOLUME)
        wait_until(lambda: VOLUME in cluster.volume_ids(), "the master knows the volume")
        load = Load(cluster)
        with load.running():
            time.sleep(1)
            for source, target in ((first, theirs), (theirs, other), (other, first)):
                before = load.acknowledged
                told = move(cluster, source, target)
                wait_until(
                    lambda p=target.port: f":{p}" in cluster.lookup(VOLUME).body.decode(),
                    f"it has moved: {told}",
                )
                wait_until(lambda n=before: load.acknowledged > n + 20, "writes go on")
        load.check()
        assert load.acknowledged > 100
