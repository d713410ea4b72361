"""VolumeCopy of one large volume, by server and side; and what readers feel of it meanwhile.

Each pair copies the same volume: from ``weed volume`` to either, and from either to ``weed volume``.
MB/s is that of the pair, CPU that of the side that is named.  The 99th percentile is of 1 KB objects
on the target, read by one client, idle and during copies.
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
from bench.streams import LARGE, LARGE_BYTES, build
from fastvol.cluster.stub import Stub
from fastvol.pb import volume_server_pb2 as pb

ALLOW = "-volume.allowUntrustedRemoteEndpoints"
_SERVICE = pb.DESCRIPTOR.services_by_name["VolumeServer"]


def copy(target: Server, source: Server) -> float:
    """Copies the volume; seconds."""
    began = time.monotonic()
    options = (("grpc.enable_http_proxy", 0),)
    with grpc.insecure_channel(f"127.0.0.1:{target.port + 10000}", options=options) as channel:
        asked = pb.VolumeCopyRequest(
            volume_id=LARGE, source_data_node=f"127.0.0.1:{source.port}.{source.port + 10000}"
        )
        list(Stub(channel, _SERVICE).VolumeCopy(asked))
    return time.monotonic() - began


def forget(target: Server) -> None:
    """Deletes the copy."""
    options = (("grpc.enable_http_proxy", 0),)
    with grpc.insecure_channel(f"127.0.0.1:{target.port + 10000}", options=options) as channel:
        Stub(channel, _SERVICE).VolumeDelete(pb.VolumeDeleteRequest(volume_id=LARGE))
    os.sync()  # what is still dirty is not to be paid for by the next one


def timed(target: Server, source: Server, watched: Server, rounds: int) -> tuple[float, float]:
    """Medians: seconds, and CPU seconds of the server that is watched."""
    samples = []
    for _ in range(rounds):
        before = watched.cpu_seconds()
        seconds = copy(target, source)
        samples.append((seconds, watched.cpu_seconds() - before))
        forget(target)
    first, second = (statistics.median(column) for column in zip(*samples, strict=True))
    return first, second


def felt(target: Server, source: Server, rounds: int) -> tuple[float, float]:
    """Medians of the 99th percentile in us: idle, and during a copy, sampled in turn."""
    idle: list[float] = []
    under: list[float] = []
    for _ in range(rounds):
        idle.append(load(target, target.url(1024), seconds=1, connections=1).p99_us)
        worker = threading.Thread(target=copy, args=(target, source))
        worker.start()
        under.append(load(target, target.url(1024), seconds=1, connections=1).p99_us)
        worker.join()
        forget(target)
    return statistics.median(idle), statistics.median(under)


def main() -> None:
    options = arguments(__doc__ or "", megabytes=1024, rounds=3)
    rows = []
    with Bench() as bench:
        source_directory = bench.directory / "source"
        source_directory.mkdir()
        build(source_directory, LARGE, options.megabytes, LARGE_BYTES)
        for name in ("weed volume", "fastvol"):
            sides = {}
            for side in ("target", "source"):
                directory = bench.directory / f"{name.replace(' ', '-')}-{side}"
                directory.mkdir()
                if side == "source":
                    shutil.copytree(source_directory, directory, dirs_exist_ok=True)
                sides[side] = started(bench, name, directory)
            peer_directory = bench.directory / "peer"
            shutil.copytree(source_directory, peer_directory)
            peer_source = bench.weed_volume(ALLOW, directory=peer_directory)
            empty = bench.directory / "empty"
            empty.mkdir()
            peer_target = bench.weed_volume(ALLOW, directory=empty)
            put(sides["target"], 1024, os.urandom(1024))
            to = timed(sides["target"], peer_source, sides["target"], options.rounds)
            out = timed(peer_target, sides["source"], sides["source"], options.rounds)
            idle, under = felt(sides["target"], peer_source, options.rounds * 2)
            rows.append(
                [
                    name,
                    f"{options.megabytes / to[0]:.0f}",
                    f"{to[1]:.2f}",
                    f"{options.megabytes / out[0]:.0f}",
                    f"{out[1]:.2f}",
                    f"{idle:.0f}",
                    f"{under:.0f}",
                    f"{under / idle:.2f}",
                ]
            )
            for server in bench.running():
                bench.stop(server)
            for path in (peer_directory, empty):
                shutil.rmtree(path)
        report(
            "copying",
            f"VolumeCopy of {options.megabytes} MB; the other side is weed volume",
            [
                "server",
                "as target MB/s",
                "its CPU s",
                "as source MB/s",
                "its CPU s",
                "idle p99 us",
                "p99 us meanwhile",
                "ratio",
            ],
            rows,
        )


def started(bench: Bench, name: str, directory: Path) -> Server:
    """A server of the kind on a directory."""
    if name == "fastvol":
        return bench.fastvol_volume(ALLOW, directory=directory)
    return bench.weed_volume(ALLOW, directory=directory)


if __name__ == "__main__":
    main()
