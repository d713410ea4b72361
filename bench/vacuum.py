"""Vacuum of a volume half full of garbage: its CPU, and what readers feel; against ``weed volume``.

Two equal volumes for each server: one is vacuumed alone, for the CPU; the other while one client
reads 1 KB objects of a third volume as fast as it can, for the 99th percentile.
"""

from __future__ import annotations

import os
import shutil
import statistics
import threading
import time
from pathlib import Path

import grpc

from bench.harness import Bench, Server, arguments, load, put, report
from fastvol._cffi.crc32c import crc32c
from fastvol.cluster.stub import Stub
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.volume import Volume

PAYLOAD_BYTES = 4096
ALONE, READ_FROM = 101, 102
COOKIE = 0x1234
ROUNDS = 7


def build(directory: Path, volume_id: int, megabytes: int) -> None:
    """A volume of 4 KB needles, every other one deleted."""
    volume = Volume.create(
        directory,
        directory,
        "",
        volume_id,
        replica_placement=ReplicaPlacement.parse("000"),
        ttl=EMPTY,
    )
    block = os.urandom(PAYLOAD_BYTES * 64)
    count = (megabytes << 20) // PAYLOAD_BYTES
    for key in range(1, count + 1):
        at = key % 63 * PAYLOAD_BYTES
        data = block[at : at + PAYLOAD_BYTES - 8] + key.to_bytes(8)
        volume.write(Needle(key, COOKIE, data, checksum=crc32c(data)))
    for key in range(1, count + 1, 2):
        volume.delete(key, COOKIE, 0)
    volume.close()


def vacuum(server: Server, volume_id: int) -> float:
    """Compact and commit as the master does; seconds."""
    service = pb.DESCRIPTOR.services_by_name["VolumeServer"]
    options = (("grpc.enable_http_proxy", 0),)
    began = time.monotonic()
    with grpc.insecure_channel(f"127.0.0.1:{server.port + 10000}", options=options) as channel:
        rpc = Stub(channel, service)
        list(rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=volume_id)))
        rpc.VacuumVolumeCommit(pb.VacuumVolumeCommitRequest(volume_id=volume_id))
    return time.monotonic() - began


def measure(server: Server, seconds: int) -> list[str]:
    """Row of one server."""
    put(server, 1024, os.urandom(1024))
    before = server.cpu_seconds()
    took = vacuum(server, ALONE)
    used = server.cpu_seconds() - before
    idle: list[float] = []
    under: list[float] = []
    for _ in range(ROUNDS):  # in turn: what else the machine does changes from minute to minute
        idle.append(load(server, server.url(1024), seconds=1, connections=1).p99_us)
        worker = threading.Thread(target=vacuum, args=(server, READ_FROM))
        worker.start()
        while worker.is_alive():
            under.append(load(server, server.url(1024), seconds=1, connections=1).p99_us)
        worker.join(seconds)
    idle_p99 = statistics.median(idle)
    return [
        server.name,
        f"{took:.2f}",
        f"{used:.2f}",
        f"{idle_p99:.0f}",
        f"{statistics.median(under):.0f}",
        f"{statistics.median(under) / idle_p99:.2f}",
    ]


def main() -> None:
    options = arguments(__doc__ or "", megabytes=1024, seconds=60)
    with Bench() as bench:
        source = bench.directory / "source"
        source.mkdir()
        for volume_id in (ALONE, READ_FROM):
            build(source, volume_id, options.megabytes)
        rows = []
        for name in ("weed volume", "fastvol"):
            directory = bench.directory / name.replace(" ", "-")
            shutil.copytree(source, directory)
            os.sync()
            if name == "fastvol":
                server = bench.fastvol("-max=100", directory=directory)
            else:
                server = bench.weed_volume(directory=directory)
            rows.append(measure(server, options.seconds))
            bench.stop(server)
            shutil.rmtree(directory)
        report(
            "vacuum",
            f"vacuum of {options.megabytes} MB of 4 KB needles, half of them deleted",
            ["server", "seconds", "CPU s", "idle read p99 us", "p99 us meanwhile", "ratio"],
            rows,
        )


if __name__ == "__main__":
    main()
