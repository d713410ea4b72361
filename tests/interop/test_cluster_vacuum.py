"""Vacuum as the real master orders it, beside the real volume server's."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cluster import (
    FASTVOL,
    Cluster,
    Server,
    allocate,
    master_server,
    started,
    volume_rpc,
    volume_server,
    volume_status,
    weed,
)
from daemons import wait_until
from http_calls import CALL_SECONDS_MAX, get, put, request

from fastvol.formats.index_entry import iter_rows
from fastvol.formats.needle import actual_size, decode
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

COOKIE = "11223344"


def fid(volume_id: int, key: int) -> str:
    return f"{volume_id},{key:02x}{COOKIE}"


def fill(port: int, volume_id: int) -> dict[int, bytes]:
    """Twenty objects, every other one deleted again; what is left."""
    content = {key: b"%d " % key * 500 for key in range(1, 21)}
    for key, data in content.items():
        assert put(port, fid(volume_id, key), data).status == 201
    for key in range(1, 21, 2):
        assert request(port, "DELETE", f"/{fid(volume_id, key)}").status == 202
        del content[key]
    return content


def check(port: int, volume_id: int, content: dict[int, bytes]) -> None:
    for key in range(1, 31):
        reply = get(port, f"/{fid(volume_id, key)}")
        if key in content:
            assert (reply.status, reply.body) == (200, content[key]), key
        else:
            assert reply.status == 404, key


def test_the_master_vacuums_while_clients_read_and_write(cluster: Cluster) -> None:
    cluster.allocate(5)
    wait_until(lambda: 5 in cluster.writables(), "the master may write to volume 5")
    port = cluster.volume.port
    content = fill(port, 5)
    stop = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not stop.is_set():
            for key in (2, 4, 6):
                reply = get(port, f"/{fid(5, key)}")
                if reply.body != content[key]:
                    wrong.append(f"{key}: {reply.status}")

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            data = b"turn %d" % turn
            if put(port, fid(5, 30), data).status != 201:
                wrong.append(f"write {turn}")
            content[30] = data

    workers = [threading.Thread(target=work) for work in (read, write)]
    for worker in workers:
        worker.start()
    for revision in (1, 2, 3):
        get(cluster.master.port, "/vol/vacuum?garbageThreshold=0.0001")
        wait_until(
            lambda wanted=revision: volume_status(cluster.volume)[5]["CompactRevision"] >= wanted,
            "the volume is vacuumed",
        )
    stop.set()
    for worker in workers:
        worker.join(CALL_SECONDS_MAX)
    assert not wrong
    check(port, 5, content)


@contextmanager
def both(base: Path) -> Iterator[tuple[Server, Server, Server]]:
    """A master with weed's volume server and fastvol."""
    master = master_server(base)
    theirs = volume_server(weed(base), base, base / "theirs", [master.port])
    ours = volume_server(FASTVOL, base, base / "ours", [master.port])
    with started(master, theirs, ours):
        theirs.ready()
        ours.ready()
        yield master, theirs, ours


def outcome(rpc: Any, method: str, request: Any) -> tuple[str, str] | Any:
    """Answer, or code and text of the refusal."""
    try:
        answer = getattr(rpc, method)(request, timeout=CALL_SECONDS_MAX)
        return list(answer) if method == "VacuumVolumeCompact" else answer
    except grpc.RpcError as error:
        return error.code().name, error.details()


def logical(directory: Path, volume_id: int) -> list[tuple[int, int, bytes]]:
    """(key, size, payload) by row of the index."""
    dat = (directory / f"{volume_id}.dat").read_bytes()
    found = []
    for row in iter_rows((directory / f"{volume_id}.idx").read_bytes(), 5):
        size = max(row.size, 0)
        record = dat[row.offset * 8 :][: actual_size(size, 3)]
        found.append((row.key, row.size, bytes(decode(record, size, 3).data)))
    return found


def test_both_servers_vacuum_alike_and_open_what_the_other_left(tmp_path: Path) -> None:
    with both(tmp_path) as (_, theirs, ours):
        answers = []
        for server in (theirs, ours):
            with volume_rpc(server.port) as rpc:
                for volume_id in (1, 2):
                    allocate(rpc, volume_id)
                    content = fill(server.port, volume_id)
                steps: list[Any] = [
                    outcome(rpc, "VacuumVolumeCompact", pb.VacuumVolumeCompactRequest(volume_id=9)),
                    outcome(rpc, "VacuumVolumeCommit", pb.VacuumVolumeCommitRequest(volume_id=9)),
                    outcome(rpc, "VacuumVolumeCleanup", pb.VacuumVolumeCleanupRequest(volume_id=9)),
                    outcome(rpc, "VacuumVolumeCheck", pb.VacuumVolumeCheckRequest(volume_id=1)),
                ]
                for volume_id in (1, 2):
                    compact = pb.VacuumVolumeCompactRequest(volume_id=volume_id)
                    steps.append(outcome(rpc, "VacuumVolumeCompact", compact))
                # Made good at the commit: an overwrite, a new object, a deletion.
                content |= {2: b"again", 25: b"young"}
                del content[4]
                for volume_id in (1, 2):
                    put(server.port, fid(volume_id, 2), b"again")
                    put(server.port, fid(volume_id, 25), b"young")
                    request(server.port, "DELETE", f"/{fid(volume_id, 4)}")
                    commit = pb.VacuumVolumeCommitRequest(volume_id=volume_id)
                    steps.append(outcome(rpc, "VacuumVolumeCommit", commit))
                    cleanup = pb.VacuumVolumeCleanupRequest(volume_id=volume_id)
                    steps.append(outcome(rpc, "VacuumVolumeCleanup", cleanup))
                    check(server.port, volume_id, content)
            answers.append(steps)
            server.stop()
        assert answers[0] == answers[1]
        # Upstream replays in any order, and invents tombstones of its own.
        live = [
            sorted(logical(tmp_path / name, 1), key=lambda one: one[0])
            for name in ("theirs", "ours")
        ]
        assert [(k, d) for k, s, d in live[0] if s > 0] == [(k, d) for k, s, d in live[1] if s > 0]
        os.rename(tmp_path / "theirs", tmp_path / "left by weed")
        os.rename(tmp_path / "ours", tmp_path / "theirs")
        os.rename(tmp_path / "left by weed", tmp_path / "ours")
        with started(theirs.start(), ours.start()):
            for server in (theirs, ours):
                server.ready()
                for volume_id in (1, 2):
                    check(server.port, volume_id, content)
                    assert not volume_status(server)[volume_id]["ReadOnly"]
