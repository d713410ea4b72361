"""Bulk RPCs: copying, following and reading whole volumes, deleting in bulk; against ``weed volume``.

One volume of small needles and one of large ones are made once and copied for each server.  A client
in this process takes what comes without decoding it, so that wall time is bound by the client where
messages are small: the server's CPU tells.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from bench.harness import Bench, Server, arguments, report
from fastvol._cffi.crc32c import crc32c
from fastvol.cluster.stub import method_path
from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.volume import Volume

SMALL, LARGE = 101, 102
SMALL_BYTES, LARGE_BYTES = 1024, 1 << 20
COOKIE = 0x1234
_METHODS = pb.DESCRIPTOR.services_by_name["VolumeServer"].methods_by_name
_ANY_REVISION = 0xFFFFFFFF


def build(directory: Path, volume_id: int, count: int, size: int) -> None:
    """A volume of ``count`` needles of ``size`` bytes."""
    none = ReplicaPlacement.parse("000")
    volume = Volume.create(directory, directory, "", volume_id, replica_placement=none, ttl=EMPTY)
    block = os.urandom(size)
    for key in range(1, count + 1):
        data = block[8:] + key.to_bytes(8)
        volume.write(Needle(key, COOKIE, data, checksum=crc32c(data)))
    volume.close()


class Client:
    """Calls one server and throws its answers away."""

    def __init__(self, server: Server) -> None:
        options = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1))
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.port + 10000}", options=options)

    def stream(self, name: str, request: object) -> int:
        """Bytes of all messages of a call."""
        method = _METHODS[name]
        call = self._channel.unary_stream(method_path(method))
        return sum(len(message) for message in call(request.SerializeToString()))  # type: ignore[attr-defined]

    def call(self, name: str, request: object) -> bytes:
        """The answer of a call."""
        method = _METHODS[name]
        return self._channel.unary_unary(method_path(method))(request.SerializeToString())  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def works(directory: Path, needles: int) -> dict[str, Callable[[Client], object]]:
    """What is measured, by name."""
    size = (directory / f"{LARGE}.dat").stat().st_size
    fids = [format_file_id(SMALL, key, COOKIE) for key in range(1, needles // 2 + 1)]
    return {
        "CopyFile": lambda client: client.stream(
            "CopyFile",
            pb.CopyFileRequest(
                volume_id=LARGE,
                ext=".dat",
                stop_offset=size,
                compaction_revision=_ANY_REVISION,
            ),
        ),
        "VolumeIncrementalCopy": lambda client: client.stream(
            "VolumeIncrementalCopy", pb.VolumeIncrementalCopyRequest(volume_id=LARGE)
        ),
        "ReadAllNeedles": lambda client: client.stream(
            "ReadAllNeedles", pb.ReadAllNeedlesRequest(volume_ids=[SMALL])
        ),
        "VolumeTailSender": lambda client: client.stream(
            "VolumeTailSender", pb.VolumeTailSenderRequest(volume_id=SMALL, idle_timeout_seconds=1)
        ),
        "BatchDelete": lambda client: client.call(
            "BatchDelete", pb.BatchDeleteRequest(file_ids=fids)
        ),
    }


def measure(server: Server, directory: Path, needles: int, rounds: int) -> dict[str, list[float]]:
    """Median seconds and CPU seconds of each work."""
    found = {}
    client = Client(server)
    for name, work in works(directory, needles).items():
        samples = []
        for _ in range(1 if name == "BatchDelete" else rounds):
            before, began = server.cpu_seconds(), time.monotonic()
            work(client)
            samples.append((time.monotonic() - began, server.cpu_seconds() - before))
        found[name] = [statistics.median(column) for column in zip(*samples, strict=True)]
    client.close()
    return found


def main() -> None:
    options = arguments(__doc__ or "", needles=200_000, megabytes=1024, rounds=3)
    with Bench() as bench:
        source = bench.directory / "source"
        source.mkdir()
        build(source, SMALL, options.needles, SMALL_BYTES)
        build(source, LARGE, options.megabytes, LARGE_BYTES)
        found = {}
        for name in ("weed volume", "fastvol"):
            directory = bench.directory / name.replace(" ", "-")
            shutil.copytree(source, directory)
            if name == "fastvol":
                server = bench.fastvol("-max=100", directory=directory)
            else:
                server = bench.weed_volume(directory=directory)
            found[name] = measure(server, directory, options.needles, options.rounds)
            bench.stop(server)
            shutil.rmtree(directory)
        rows = []
        for work, theirs in found["weed volume"].items():
            ours = found["fastvol"][work]
            figures = [f"{value:.2f}" for value in (*theirs, *ours)]
            ratios = [f"{t / o:.2f}" for t, o in zip(theirs, ours, strict=True)]
            rows.append([work, *figures, *ratios])
        report(
            "streams",
            f"{options.needles} needles of 1 KB, {options.megabytes} MB of 1 MB needles",
            ["RPC", "weed s", "weed CPU s", "fastvol s", "fastvol CPU s", "s ratio", "CPU ratio"],
            rows,
        )


if __name__ == "__main__":
    main()
