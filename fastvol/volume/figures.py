"""What a volume's numbers say: totals, garbage, emptiness, age."""

from dataclasses import dataclass
from typing import Final

from fastvol._cffi.volume import VolumeStat
from fastvol.formats.super_block import SUPER_BLOCK_BYTES
from fastvol.formats.ttl import TTL

_GRACE_MINUTES_MAX: Final = 10
_GRACE_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class NeedleCounters:
    """The needle map's running totals; sizes sum body sizes in bytes."""

    file_count: int
    deleted_count: int
    content_size: int
    deleted_size: int
    max_file_key: int

    @classmethod
    def of(cls, stat: VolumeStat) -> "NeedleCounters":
        """The totals at one moment."""
        return cls(
            file_count=stat.file_count,
            deleted_count=stat.deleted_count,
            content_size=stat.content_size,
            deleted_size=stat.deleted_size,
            max_file_key=stat.max_file_key,
        )


def garbage_ratio(stat: VolumeStat) -> float:
    """Share of garbage by which the master decides to vacuum (volume_vacuum.go: garbageLevel)."""
    if stat.content_size == 0:
        return 0.0
    if stat.deleted_count > 0 and stat.deleted_size == 0 and stat.dat_size > 0:
        live = stat.content_size + SUPER_BLOCK_BYTES
        return (stat.dat_size - live) / stat.dat_size
    return stat.deleted_size / stat.content_size


def is_empty(stat: VolumeStat) -> bool:
    """Never written: only a super block, and nothing counted."""
    return stat.dat_size <= SUPER_BLOCK_BYTES and stat.content_size == 0


def is_all_deleted(stat: VolumeStat) -> bool:
    """As many bytes deleted as were ever written, and some were; says nothing about empty files."""
    return stat.content_size > 0 and stat.deleted_size >= stat.content_size


def is_expired(stat: VolumeStat, ttl: TTL, size_limit: int, now: float) -> bool:
    """Whether a volume's TTL has passed (weed/storage/volume.go: expired).

    ``size_limit`` is the master's in bytes, 0 while unknown; ``now`` is Unix time in seconds.
    """
    if size_limit == 0 or stat.dat_size <= SUPER_BLOCK_BYTES or ttl.minutes == 0:
        return False
    return ttl.minutes < (int(now) - stat.last_modified_second) // 60


def is_expired_long_enough(stat: VolumeStat, ttl: TTL, now: float) -> bool:
    """Whether it passed so long ago that the files may go (expiredLongEnough)."""
    if ttl.minutes == 0:
        return False
    grace = min(ttl.minutes // _GRACE_SHARE, _GRACE_MINUTES_MAX)
    return int(now) > stat.last_modified_second + (ttl.minutes + grace) * 60
