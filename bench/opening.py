"""Starting on many volumes: CPU until all are served; against ``weed volume``.

Every volume has the same 50,000 needles with real records; both servers open the same files, by
turns, with the pages cached. What a start on an empty directory costs is shown beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Bench, Server, arguments, report, request
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.volume.volume import Volume

PAYLOAD = b"opening bench payload of 64 bytes, the same in every needle. " + b"..."
VOLUMES_MAX = 1000


@dataclass(frozen=True)
class Start:
    """What one start took."""

    cpu_seconds: float
    seconds: float
    anonymous_bytes: int


def build(directory: Path, volumes: int, needles: int) -> None:
    """``volumes`` copies of one volume."""
    directory.mkdir()
    if volumes == 0:
        return
    placement = ReplicaPlacement.parse("000")
    volume = Volume.create(directory, directory, "", 1, replica_placement=placement, ttl=EMPTY)
    for key in range(1, needles + 1):
        volume.write(Needle(key, 0x1234, PAYLOAD))
    volume.close()
    for volume_id in range(2, volumes + 1):
        for extension in (".dat", ".idx", ".vif"):
            source = directory / f"1{extension}"
            if source.exists():
                shutil.copy(source, directory / f"{volume_id}{extension}")


def served(server: Server) -> int:
    """How many volumes a server says it has."""
    return len(json.loads(request(server.port, "GET", "/status")[1]).get("Volumes") or ())


def start(bench: Bench, name: str, directory: Path, volumes: int) -> Start:
    """Starts a server, waits until every volume is served and a second more, ends it."""
    began = time.monotonic()
    if name == "fastvol":
        server = bench.fastvol(f"-max={VOLUMES_MAX}", directory=directory)
    else:
        server = bench.weed_volume(f"-max={VOLUMES_MAX}", directory=directory)
    while served(server) < volumes:
        if time.monotonic() - began > 120:
            raise SystemExit(f"{name}: {served(server)} of {volumes} volumes")
        time.sleep(0.02)
    took = time.monotonic() - began
    time.sleep(1)
    result = Start(server.cpu_seconds(), took, server.anonymous_bytes())
    for running in bench.running():
        bench.stop(running)
    return result


def main() -> None:
    options = arguments(__doc__ or "", volumes=200, needles=50_000, rounds=5)
    names = ("weed volume", "fastvol")
    starts: dict[tuple[str, int], list[Start]] = {}
    with Bench() as bench:
        for count in (0, options.volumes):
            directory = bench.directory / f"{count}-volumes"
            build(directory, count, options.needles)
            os.sync()
            for _ in range(options.rounds):
                for name in names:
                    done = start(bench, name, directory, count)
                    starts.setdefault((name, count), []).append(done)

    def middle(name: str, count: int, figure: str) -> float:
        return statistics.median(getattr(done, figure) for done in starts[name, count])

    rows = []
    for name in names:
        base = middle(name, 0, "cpu_seconds")
        whole = middle(name, options.volumes, "cpu_seconds")
        memory = middle(name, options.volumes, "anonymous_bytes")
        memory -= middle(name, 0, "anonymous_bytes")
        rows.append(
            [
                name,
                f"{base:.2f}",
                f"{whole:.2f}",
                f"{whole - base:.2f}",
                f"{middle(name, options.volumes, 'seconds'):.2f}",
                f"{memory / options.volumes / 1024:.0f}",
            ]
        )
    report(
        "opening",
        f"Starting on {options.volumes} volumes of {options.needles} needles",
        [
            "server",
            "CPU s, no volume",
            f"CPU s, {options.volumes} volumes",
            "CPU s for the volumes",
            "seconds until served",
            "anonymous KB a volume",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
