"""Totals, garbage, emptiness and age, from numbers alone and from live volumes."""

from dataclasses import replace
from pathlib import Path

import pytest
from volume_kit import NS, create, named, needle, now_and_reopened, reopen

from fastvol._cffi.volume import VolumeStat
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.volume import figures

STAT = VolumeStat(
    dat_size=1000,
    idx_size=0,
    last_append_ns=0,
    modified_second=0,
    last_modified_second=600_000,
    file_count=0,
    deleted_count=0,
    content_size=0,
    deleted_size=0,
    max_file_key=0,
    max_end=0,
    map_memory=0,
    map_count=0,
)


@pytest.mark.parametrize(
    ("content", "deleted_count", "deleted", "ratio"),
    [
        (0, 5, 0, 0.0),
        (400, 0, 0, 0.0),
        (400, 1, 100, 0.25),
        (400, 4, 400, 1.0),
        (400, 3, 0, (1000 - 400 - 8) / 1000),
    ],
)
def test_garbage_ratio(content: int, deleted_count: int, deleted: int, ratio: float) -> None:
    stat = replace(STAT, content_size=content, deleted_count=deleted_count, deleted_size=deleted)
    assert figures.garbage_ratio(stat) == ratio


def test_counters_while_running_and_after_a_reload(tmp_path: Path) -> None:
    """The two rules differ for empty files and repeated deletes, as upstream's do."""
    volume = create(tmp_path)

    def put(key: int, size: int) -> None:
        data = b"x" * (size - 5) if size else b""
        assert volume.write(needle(key, data)).size == size

    put(1, 11)
    put(2, 0)
    volume.delete(2, 0, 0)
    put(9, 0)
    volume.delete(9, 0, 0)
    put(10, 0)
    put(10, 0)
    put(10, 32)
    volume.delete(10, 0, 0)
    put(10, 52)
    assert volume.counters == figures.NeedleCounters(7, 1, 95, 32, 10)
    volume = reopen(volume)
    assert volume.counters == figures.NeedleCounters(7, 5, 95, 32, 10)


def test_counters_survive_closing(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(3, b"hello"))
    before = volume.counters, volume.dat_size, volume.idx_size
    volume.close()
    assert (volume.counters, volume.dat_size, volume.idx_size) == before


def test_empty_and_garbage_only(tmp_path: Path) -> None:
    volume = create(tmp_path)
    assert volume.is_empty()
    assert not volume.is_garbage_only()
    volume.write(named(1, b"x"))
    assert not volume.is_empty()
    volume.write(named(2, b""))
    volume.delete(1, 0, 0)
    for volume in now_and_reopened(volume):  # noqa: B020
        assert not volume.is_garbage_only(), "a live empty file keeps it"
    volume.delete(2, 0, 0)
    for volume in now_and_reopened(volume):  # noqa: B020
        assert volume.is_garbage_only()
        assert not volume.is_empty()


@pytest.mark.parametrize(
    ("minutes_ago", "limit", "size", "text", "expired", "long_enough"),
    [
        (4, 1000, 1000, "3m", True, True),
        (3, 1000, 1000, "3m", False, True),
        (2, 1000, 1000, "3m", False, False),
        (4, 0, 1000, "3m", False, True),
        (4, 1000, 8, "3m", False, True),
        (10**6, 1000, 1000, "", False, False),
        (62, 1000, 1000, "1h", True, False),
        (67, 1000, 1000, "1h", True, True),
        (60 * 24 + 8, 1000, 1000, "1d", True, False),
        (60 * 24 + 11, 1000, 1000, "1d", True, True),
    ],
)
def test_expiry_of_a_volume(
    minutes_ago: int, limit: int, size: int, text: str, expired: bool, long_enough: bool
) -> None:
    stat = replace(STAT, dat_size=size)
    ttl = TTL.parse(text) if text else EMPTY
    now = stat.last_modified_second + minutes_ago * 60 + 1.5
    assert figures.is_expired(stat, ttl, limit, now) is expired
    assert figures.is_expired_long_enough(stat, ttl, now) is long_enough


def test_the_age_grows_from_the_largest_last_modified(tmp_path: Path) -> None:
    """Neither a delete nor an append with an old time makes a volume younger."""
    volume = create(tmp_path, ttl=TTL.parse("3m"))
    born = volume.last_modified_second
    future = born + 10**6
    volume.write(named(1, b"x", last_modified=5))
    assert volume.last_modified_second == born
    volume.write(named(2, b"y", last_modified=future))
    volume.delete(2, 0, 0)
    assert volume.last_modified_second == future
    assert not volume.expired(10**9, future + 60)
    assert volume.expired(10**9, future + 4 * 60)
    assert volume.expired_long_enough(future + 4 * 60)
    assert abs(volume.modified_at_second - volume.last_append_at_ns // NS) <= 1
    assert not (volume.read(1).flags & Needle.IS_COMPRESSED)
