"""Scrubbing a volume whose pages are cached: CPU a gigabyte; fastvol against ``weed volume``.

Both check the same two files: weed by its ScrubVolume call, fastvol by the function that its own call
and ``fastvol scrub`` use.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from pathlib import Path

import grpc

from bench.harness import Bench, Server, arguments, report, size_text
from fastvol._cffi.crc32c import crc32c
from fastvol.cluster.stub import Stub
from fastvol.formats.index_entry import encode_row
from fastvol.formats.needle import Needle, encode
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.files import VolumeFiles
from fastvol.volume.scrub import ScrubMode, scrub_files

SIZES = (1024, 4096, 65536, 1 << 20)
GIGABYTE = 10**9
HEADER = ("needles of", "scrubbed by", "CPU s/GB", "CPU / fastvol's", "GB/s")


def build(directory: Path, volume_id: int, size: int, total: int) -> None:
    """A volume of equal needles, ``total`` bytes of payload."""
    data = os.urandom(size)
    checksum = crc32c(data)
    at = 8
    with (
        (directory / f"{volume_id}.dat").open("wb") as dat,
        (directory / f"{volume_id}.idx").open("wb") as idx,
    ):
        dat.write(SuperBlock(3, ReplicaPlacement.parse("000"), TTL(0, 0)).to_bytes())
        first = Needle(1, 1, data, checksum=checksum, append_at_ns=time.time_ns())
        template = bytearray(encode(first, 3))
        for key in range(1, total // size + 1):
            template[4:12] = key.to_bytes(8)
            dat.write(template)
            idx.write(encode_row(key, at // 8, first.size, 5))
            at += len(template)


def scrubbed_by_weed(server: Server, volume_id: int) -> tuple[float, float]:
    """(CPU seconds, seconds)."""
    grpc_port = server.port + 10_000
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        stub = Stub(channel, pb.DESCRIPTOR.services_by_name["VolumeServer"])
        before, began = server.cpu_seconds(), time.monotonic()
        answer = stub.ScrubVolume(
            pb.ScrubVolumeRequest(mode=2, volume_ids=[volume_id]), timeout=600, wait_for_ready=True
        )
        used, took = server.cpu_seconds() - before, time.monotonic() - began
    if answer.details:
        raise SystemExit(f"weed found {answer.details[:3]}")
    return used, took


def scrubbed_by_fastvol(directory: Path, volume_id: int) -> tuple[float, float]:
    """(CPU seconds, seconds)."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    result = scrub_files(VolumeFiles.of(directory, directory, "", volume_id), ScrubMode.FULL)
    after, took = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    if result.findings:
        raise SystemExit(f"fastvol found {result.details[:3]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def measure(bench: Bench, number: int, size: int, total: int, rounds: int) -> list[list[str]]:
    """The rows of one needle size."""
    directory = bench.directory / "data"
    directory.mkdir()
    build(directory, number, size, total)
    server = bench.weed_volume(directory=directory)
    gigabytes = (directory / f"{number}.dat").stat().st_size / GIGABYTE
    runs: dict[str, list[tuple[float, float]]] = {"weed volume": [], "fastvol": []}
    for _ in range(rounds):
        runs["weed volume"].append(scrubbed_by_weed(server, number))
        runs["fastvol"].append(scrubbed_by_fastvol(directory, number))
    ours = statistics.median(cpu for cpu, _ in runs["fastvol"])
    rows = []
    for name, samples in runs.items():
        cpu = statistics.median(cpu for cpu, _ in samples)
        took = statistics.median(took for _, took in samples)
        figures = [f"{cpu / gigabytes:.3f}", f"{cpu / ours:.2f}", f"{gigabytes / took:.2f}"]
        rows.append([size_text(size), name, *figures])
    return rows


def main() -> None:
    options = arguments(__doc__ or "", rounds=5, megabytes=1024)
    total = options.megabytes << 20
    rows: list[list[str]] = []
    for number, size in enumerate(SIZES, start=1):
        with Bench() as bench:
            rows += measure(bench, number, size, total, options.rounds)
    report("scrub", "Scrubbing a cached volume", HEADER, rows)


if __name__ == "__main__":
    main()
