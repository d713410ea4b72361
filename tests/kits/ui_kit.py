"""Servers to look at on the status page: an empty one, a busy one, and one in trouble."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from fastvol.http.ui_state import DiskRow, ServerState, ShardsRow, VolumeRow
from fastvol.observability.activity import ActivityReport, Rates, RequestTotals
from fastvol.store.loading import DamagedVolume
from fastvol.volume.reasons import DISK_LOW, MARKED, ReadOnlyReason

NOW = 1_795_550_000.0
GIB = 1 << 30


def empty_state() -> ServerState:
    """A single node that was just started."""
    return ServerState(
        taken=NOW,
        started=NOW - 7,
        version="8000GB 4.48 fastvol",
        address="127.0.0.1:8080",
        masters=(),
        notices=(),
        healthy=True,
        volume_size_limit=0,
        disks=(DiskRow(0, "/data", "hdd", 400 * GIB, 90 * GIB, 310 * GIB, 0, 8, False, False),),
        volumes=(),
        shards=(),
        damaged=(),
        activity=None,
    )


def volume_row(volume_id: int, **changes: object) -> VolumeRow:
    """A writable volume; the same for the same id."""
    chance = random.Random(volume_id)
    size = int(chance.uniform(0.02, 1) ** 0.5 * 29 * GIB)
    trash = int(size * chance.random() ** 4)
    files = max(1, size // chance.choice((90_000, 400_000, 2_000_000)))
    row = VolumeRow(
        id=volume_id,
        collection=chance.choice(("", "", "pictures", "thumbnails", "videos-2026", "backup")),
        disk_id=volume_id % 2,
        disk_type=("hdd", "ssd")[volume_id % 2],
        size=size,
        file_size=size + files * 40,
        files=files,
        trash_files=int(files * trash / size),
        trash=trash,
        ttl=("", "", "", "3d", "12h")[volume_id % 5],
        ttl_minutes=(0, 0, 0, 4320, 720)[volume_id % 5],
        state="writable",
        reasons=(),
        compacting=False,
        version=3,
        map_kind="memory",
        map_memory=files * 12,
        modified=int(NOW - chance.expovariate(1 / 90_000)),
        remote=("", ""),
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def busy_state(count: int = 40) -> ServerState:
    """Two disks, ``count`` volumes, an hour of traffic."""
    wave = [40 + 25 * math.sin(i / 4) + random.Random(i).random() * 12 for i in range(60)]
    minute = tuple(
        Rates(90 * v, 6 * v + 3 * (i % 7), v / 9, 4e6 * v, 2.2e5 * v) for i, v in enumerate(wave)
    )
    hour = tuple(Rates(70 * v, 5 * v, v / 9, 3e6 * v, 2e5 * v) for v in reversed(wave[:41]))
    return replace(
        empty_state(),
        started=NOW - 3 * 86400 - 7300,
        address="10.0.4.17:8080",
        masters=("10.0.4.1:9333", "10.0.4.2:9333", "10.0.4.3:9333"),
        volume_size_limit=30 * GIB,
        disks=(
            DiskRow(0, "/srv/disk0", "hdd", 7400 * GIB, 5100 * GIB, 2300 * GIB, count, 240, False, False),
            DiskRow(1, "/srv/nvme1", "ssd", 1800 * GIB, 400 * GIB, 1400 * GIB, count, 60, False, False),
        ),
        volumes=tuple(volume_row(number) for number in range(1, count + 1)),
        activity=ActivityReport(
            RequestTotals(184_223_912, 9_120_333, 81_220, 91 << 40, 3 << 40), minute, hour
        ),
    )  # fmt: skip


def troubled_state() -> ServerState:
    """Everything that can be wrong, and names that try to be more than names."""
    marked = ReadOnlyReason(MARKED, NOW - 86400 * 9)
    low = ReadOnlyReason(DISK_LOW, NOW - 4000)
    torn = ReadOnlyReason(
        "its index ends 24 bytes before its data: volume_index.c says so", NOW - 60
    )
    state = busy_state(30)
    rows = list(state.volumes)
    for place, changes in enumerate((
        {"state": "read-only", "reasons": (marked, low)},
        {"state": "deletes only", "reasons": (marked,)},
        {"state": "quarantined", "reasons": (torn,)},
        {"state": "unavailable", "reasons": (torn,), "modified": 0},
        {"compacting": True},
        {"collection": "<script>alert(1)</script>\"'&", "remote": ("s3.<b>", "a/'\"<i>.dat")},
    )):  # fmt: skip
        rows[place] = replace(rows[place], **changes)  # type: ignore[arg-type]
    first, second = state.disks
    return replace(
        state,
        notices=(
            "The server is stopping.",
            "Maintenance mode: administrative changes are refused.",
        ),
        healthy=False,
        disks=(
            replace(first, low=True, used=7390 * GIB, free=10 * GIB),
            replace(second, failed=True, directory="/srv/<nvme>&1"),
        ),
        volumes=tuple(rows),
        shards=(
            ShardsRow(
                901, "archive", tuple((n, 3 * GIB + n) for n in (0, 3, 7, 13)), int(NOW - 1e6)
            ),
            ShardsRow(902, "", ((1, 1 << 20),), 0),
        ),
        damaged=(
            DamagedVolume("/srv/disk0/pictures_77", "its super block is of version 9", NOW - 300),
            DamagedVolume("/srv/disk0/<x>_78", "it is <b>cut off</b>", NOW - 300),
        ),
    )
