"""One fastvol among two ``weed volume`` servers, a ledger of what was stored, and the shell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from cluster import Cluster, Server, started, volume_server, weed
from daemons import START_SECONDS_MAX, wait_until
from http_calls import HOST, get, request

ALLOW: Final = "-volume.allowUntrustedRemoteEndpoints"
COOKIE: Final = "11223344"
SHELL_SECONDS_MAX: Final = 120


@dataclass
class Mixed:
    """``ledger`` holds what every copy of an object must give; None: nothing any more."""

    cluster: Cluster
    peers: list[Server]
    ledger: dict[str, bytes | None] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def servers(self) -> list[Server]:
        """fastvol first."""
        return [self.cluster.volume, *self.peers]

    def name(self, number: int) -> str:
        return f"{HOST}:{self.servers[number].port}"

    def volume(self, *on: int, collection: str = "", replication: str = "000") -> int:
        """A new volume on the servers with these numbers, once the master knows every copy."""
        volume_id = next(self._ids)
        for number in on:
            self.cluster.allocate(volume_id, collection, self.servers[number].port)
        self.wait_for(volume_id, *on)
        return volume_id

    def wait_for(self, volume_id: int, *on: int) -> None:
        """Until the master lists exactly these servers."""
        wanted = {self.name(number) for number in on}
        wait_until(lambda: self.locations(volume_id) == wanted, f"{volume_id} is on {wanted}", 60)

    def locations(self, volume_id: int) -> set[str]:
        answer = self.cluster.lookup(volume_id)
        if answer.status != 200:
            return set()
        return {location["url"] for location in answer.json().get("locations") or ()}

    def fill(self, volume_id: int, on: int, keys: range = range(1, 9)) -> list[str]:
        """Objects on one server only, whatever other copies there are."""
        fids = []
        for key in keys:
            data = os.urandom(200 + key)
            fid = f"{volume_id},{key:02x}{COOKIE}"
            self.put(fid, data, on)
            self.ledger[fid] = data
            fids.append(fid)
        return fids

    def put(self, fid: str, data: bytes, on: int) -> None:
        kind = {"Content-Type": "application/octet-stream"}
        target = f"/{fid}?type=replicate"
        assert request(self.servers[on].port, "POST", target, data, kind).status == 201

    def delete(self, fid: str, on: int) -> None:
        target = f"/{fid}?type=replicate"
        assert request(self.servers[on].port, "DELETE", target).status == 202
        self.ledger[fid] = None

    def shell(self, *commands: str) -> str:
        printed = self.cluster.shell(*commands, seconds=SHELL_SECONDS_MAX)
        for line in printed.splitlines():
            assert not line.startswith("error:"), printed
        return printed

    def check(self, *volume_ids: int) -> None:
        """Every copy that the master knows of gives what the ledger says."""
        for volume_id in volume_ids:
            locations = self.locations(volume_id)
            assert locations, f"volume {volume_id} is nowhere"
            for fid, data in self.ledger.items():
                if not fid.startswith(f"{volume_id},"):
                    continue
                for location in locations:
                    reply = get(int(location.rpartition(":")[2]), f"/{fid}?proxied=true")
                    if data is None:
                        assert reply.status == 404, (fid, location)
                    else:
                        assert (reply.status, reply.body) == (200, data), (fid, location)


@contextmanager
def mixed(base: Path, *extra: str) -> Iterator[Mixed]:
    """Started and joined; ``extra`` are arguments of every volume server."""
    cluster = Cluster.make(base, ALLOW, *extra)
    peers = [
        volume_server(weed(base), base, base / f"weed-{n}", [cluster.master.port], ALLOW, *extra)
        for n in (1, 2)
    ]
    with cluster.running(), started(*peers):
        for peer in peers:
            peer.ready()
            wait_until(lambda port=peer.port: cluster.node(port), "joined", START_SECONDS_MAX)
        yield Mixed(cluster, peers)
