"""Writes needles until it is killed, telling each step on its standard output.

One line a step: ``begin <thread> <operation> <key> <version>`` before, ``done <thread>`` after;
``vacuumed`` when the files were replaced.
A pipe keeps what a killed process wrote into it.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import cast

from volume_kit import needle, open_volume

from fastvol._cffi.vacuum import Order
from fastvol.index.kinds import IndexKind, IndexOptions
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

THREADS = 3
KEYS_PER_THREAD = 40
SIZES = (0, 1, 7, 100, 4_096, 30_000, 400_000)
SIZE_WEIGHTS = (1, 2, 4, 6, 4, 3, 1)


def payload(key: int, version: int) -> bytes:
    """The bytes of one version of a needle, known to the writer and to the checker."""
    chance = random.Random(key * 1_000_003 + version)
    size = chance.choices(SIZES, SIZE_WEIGHTS)[0]
    return (b"%d/%d " % (key, version) + chance.randbytes(97)) * (size // 100 + 1) if size else b""


def cookie(key: int) -> int:
    """Never zero."""
    return key * 7919 + 1


def tell(line: str) -> None:
    """In one piece, whatever other threads do."""
    os.write(1, (line + "\n").encode())


def work(volume: Volume, thread: int, seed: int, version: int) -> None:
    chance = random.Random(seed * 31 + thread)
    while True:
        key = 1 + thread * KEYS_PER_THREAD + chance.randrange(KEYS_PER_THREAD)
        version += 1
        operation = chance.choices(("write", "delete", "durable"), (6, 2, 1))[0]
        tell(f"begin {thread} {operation} {key} {version}")
        if operation == "delete":
            volume.delete(key, cookie(key), 0)
        else:
            data = payload(key, version)
            volume.write(needle(key, data, cookie=cookie(key)))
            if operation == "durable":
                volume.commit()
        tell(f"done {thread}")


def vacuum(volume: Volume, seed: int) -> None:
    chance = random.Random(seed)
    while True:
        volume.compact(VacuumPlan(order=chance.choice(list(Order))))
        time.sleep(chance.choice([0, 0.005]))
        volume.commit_compaction()
        tell("vacuumed")


def main() -> None:
    directory, seed, version = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    index = IndexOptions(cast(IndexKind, sys.argv[4]))
    volume = open_volume(directory, 1, index=index)
    if volume.read_only:
        tell(f"refused: {volume.read_only_reasons}")
        sys.exit(1)
    threading.Thread(target=vacuum, args=(volume, seed)).start()
    for thread in range(THREADS):
        threading.Thread(target=work, args=(volume, thread, seed, version)).start()


if __name__ == "__main__":
    main()
