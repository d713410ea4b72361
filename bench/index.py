"""Opening a volume of many needles: CPU to load, memory a needle; fastvol against ``weed volume``.

The data file is sparse but for its last record, so only the index is really read; both servers load
the same two files.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from array import array
from pathlib import Path

from bench.harness import Bench, arguments, report
from fastvol.formats.needle import Needle, actual_size, body_size, encode
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL

BODY = 100
BLOCK = 100_000


def build(directory: Path, needles: int) -> None:
    """Volume 1 with ``needles`` ascending ids."""
    directory.mkdir()
    step = actual_size(BODY, 3)
    with (directory / "1.idx").open("wb") as index:
        for first in range(0, needles, BLOCK):
            rows = bytearray()
            for number in range(first, min(first + BLOCK, needles)):
                units = (8 + number * step) // 8
                rows += (number + 1).to_bytes(8)
                rows += (units & 0xFFFFFFFF).to_bytes(4) + bytes((units >> 32,))
                rows += BODY.to_bytes(4)
            index.write(rows)
    data = b"x" * (BODY - 5)
    last = Needle(id=needles, cookie=1, data=data, append_at_ns=time.time_ns())
    last.size = body_size(last, 3)
    super_block = SuperBlock(3, ReplicaPlacement.parse("000"), TTL(0, 0))
    with (directory / "1.dat").open("wb") as dat:
        dat.write(super_block.to_bytes())
        dat.seek(8 + (needles - 1) * step)
        dat.write(encode(last, 3))


def measure(bench: Bench, name: str, directory: Path) -> tuple[float, int]:
    """(CPU seconds until it answers, anonymous bytes) of a server on a directory."""
    if name == "fastvol":
        server = bench.fastvol("-max=100", directory=directory)
    else:
        server = bench.weed_volume(directory=directory)
    time.sleep(1.0)
    result = server.cpu_seconds(), server.anonymous_bytes()
    bench.stop(server)
    return result


def main() -> None:
    options = arguments(__doc__ or "", rounds=3, needles=10_000_000)
    with Bench() as bench:
        full, empty = bench.directory / "full", bench.directory / "empty"
        build(full, options.needles)
        empty.mkdir()
        rows = []
        figures: dict[str, tuple[float, float]] = {}
        for name in ("weed volume", "fastvol"):
            cpu, memory = array("d"), array("d")
            for number in range(options.rounds):
                work = bench.directory / f"work-{name.split()[0]}-{number}"
                shutil.copytree(empty, work)
                base = measure(bench, name, work)
                shutil.rmtree(work)
                shutil.copytree(full, work, copy_function=_clone)
                loaded = measure(bench, name, work)
                shutil.rmtree(work)
                cpu.append(loaded[0] - base[0])
                memory.append((loaded[1] - base[1]) / options.needles)
            figures[name] = (sorted(cpu)[len(cpu) // 2], sorted(memory)[len(memory) // 2])
        for name, (seconds, size) in figures.items():
            ratio = seconds / figures["fastvol"][0]
            rows.append([name, f"{seconds:.2f}", f"{ratio:.2f}", f"{size:.1f}"])
        report(
            "index",
            f"Opening a volume of {options.needles} needles",
            ["server", "CPU s", "CPU / fastvol's", "anonymous bytes a needle"],
            rows,
        )


def _clone(source: str, target: str) -> None:
    """Copies without filling the holes of a sparse file."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


if __name__ == "__main__":
    main()
