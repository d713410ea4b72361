"""The compact map: a dict as twin, the loader's counters, memory bounds, threads."""

import os
import random
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.compact_map import CompactMap, MapEntry, NeedleCounters
from fastvol.errors import DiskIOError

# Few keys, so that they meet; spread, so that every width of delta and both splits occur.
KEYS = st.one_of(
    st.integers(0, 60),
    st.sampled_from([2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
OFFSETS = st.one_of(st.integers(0, 100), st.integers(0, 2**40 - 1))
SIZES = st.one_of(st.just(0), st.integers(0, 2**31 - 1))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, OFFSETS, SIZES),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("remove"), KEYS),
    ),
    max_size=120,
)


def negated(size: int) -> int:
    return -1 if size == 0 else -size


@given(STEPS)
def test_behaves_like_a_dict(steps: list[tuple]) -> None:
    needles, twin = CompactMap(), {}
    for step in steps:
        key = step[1]
        before = twin.get(key)
        if step[0] == "set":
            assert needles.set(*step[1:]) == before
            twin[key] = MapEntry(*step[1:])
        elif step[0] == "delete":
            live = before is not None and before.size >= 0
            assert needles.delete(key) == (before if live else None)
            if live:
                twin[key] = before._replace(size=negated(before.size))
        else:
            assert needles.remove(key) == (before is not None)
            twin.pop(key, None)
        assert needles.get(key) == twin.get(key)
    assert len(needles) == len(twin)
    assert list(needles.entries()) == [twin[key] for key in sorted(twin)]


@pytest.mark.parametrize("order", ["ascending", "descending", "random", "nearly ascending"])
def test_many_leaves_in_any_order(order: str) -> None:
    rng = random.Random(order)
    ids = [3 * i for i in range(20_000)]
    if order == "descending":
        ids.reverse()
    elif order == "random":
        rng.shuffle(ids)
    elif order == "nearly ascending":
        ids.sort(key=lambda i: i + rng.randrange(60))
    needles = CompactMap()
    for i in ids:
        assert needles.set(i, i + 1, 5) is None
    assert [e.id for e in needles.entries()] == sorted(ids)
    assert [e.id for e in needles.entries(first=31_000)] == list(range(31_002, 60_000, 3))
    assert needles.get(31_001) is None
    assert needles.memory_bytes / len(ids) < 13


def test_an_offset_beyond_five_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        CompactMap().set(1, 2**40, 1)


# ---- loading -----------------------------------------------------------------------------------


def encode(rows: list[tuple[int, int, int]], width: int) -> bytes:
    out = bytearray()
    for key, units, size in rows:
        high = bytes([units >> 32]) if width == 5 else b""
        out += struct.pack(">QI", key, units & 0xFFFFFFFF) + high + struct.pack(">i", size)
    return bytes(out)


def record_end(units: int, size: int, version: int) -> int:
    length = 20 + size + (8 if version == 3 else 0)
    return units * 8 + length + (8 - length % 8)


def model_load(rows: list[tuple[int, int, int]], version: int) -> tuple[dict, tuple]:
    """``needle_map_memory.go: doLoading`` in plain Python."""
    table: dict[int, tuple[int, int]] = {}
    files = deleted = content = garbage = max_key = end = 0
    for key, units, size in rows:
        max_key = max(max_key, key)
        old = table.get(key)
        if units and size > 0:
            end = max(end, record_end(units, size, version))
        if units and size >= 0:
            files += 1
            content += size
            table[key] = (units, size)
            if old and old[0] and old[1] >= 0:
                deleted += 1
                garbage += old[1]
        else:
            deleted += 1
            if old and old[1] >= 0:
                garbage += old[1]
                table[key] = (old[0], negated(old[1]))
    return table, (files, deleted, content, garbage, max_key, end, len(rows))


def numbers(counters: NeedleCounters) -> tuple:
    return (
        counters.file_count,
        counters.deleted_count,
        counters.content_size,
        counters.deleted_size,
        counters.max_file_key,
        counters.max_needle_end,
        counters.rows,
    )


def load(image: bytes, path: Path, width: int, version: int = 3) -> tuple[CompactMap, tuple]:
    path.write_bytes(image)
    needles = CompactMap()
    fd = os.open(path, os.O_RDONLY)
    try:
        return needles, numbers(needles.load(fd, width, version))
    finally:
        os.close(fd)


EXAMPLE = [
    *[(1, 1, 11), (2, 5, 0), (2, 9, -1), (9, 13, 0), (9, 17, -1)],
    *[(10, 21, 0), (10, 25, 0), (10, 29, 32), (10, 36, -1), (10, 40, 52)],
]


@pytest.mark.parametrize("width", [4, 5])
def test_load_counts_what_upstream_counts(tmp_path: Path, width: int) -> None:
    """The counters that weed shows after a restart: 7 files, 5 deletions."""
    needles, got = load(encode(EXAMPLE, width), tmp_path / "1.idx", width)
    assert got == (7, 5, 95, 32, 10, 40 * 8 + 88, 10)
    assert needles.get(2) == MapEntry(2, 5, -1)
    assert needles.get(10) == MapEntry(10, 40, 52)


ROWS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1)),
        st.one_of(st.just(0), st.integers(0, 2**32 - 1)),
        st.one_of(st.sampled_from([0, -1, -7]), st.integers(-(2**31), 2**31 - 1)),
    ),
    max_size=60,
)


@given(ROWS, st.sampled_from([4, 5]), st.sampled_from([1, 2, 3]), st.integers(0, 15))
@settings(deadline=None)
def test_load_agrees_with_the_model(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int, int]],
    width: int,
    version: int,
    ragged: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "model.idx"
    image = encode(rows, width) + b"\xff" * ragged
    needles, got = load(image, path, width, version)
    table, want = model_load(rows, version)
    assert got == want
    assert list(needles.entries()) == [MapEntry(k, *table[k]) for k in sorted(table)]


def test_load_spans_several_blocks(tmp_path: Path) -> None:
    rows = [(i, i + 1, i % 100) for i in range(1, 200_001)]
    rows += [(i, 300_000 + i, -1) for i in range(5, 200_001, 10)]
    needles, got = load(encode(rows, 5), tmp_path / "1.idx", 5)
    table, want = model_load(rows, 3)
    assert got == want
    assert list(needles.entries()) == [MapEntry(k, *table[k]) for k in sorted(table)]


def test_a_ragged_tail_is_ignored(tmp_path: Path) -> None:
    image = encode([(1, 1, 11), (2, 5, 12)], 5)
    for cut in range(1, 17):
        needles, got = load(image[:-cut], tmp_path / "1.idx", 5)
        assert (len(needles), got[-1]) == (1, 1)


def test_load_says_what_is_wrong(tmp_path: Path) -> None:
    needles = CompactMap()
    with pytest.raises(DiskIOError, match="Bad file descriptor"):
        needles.load(-1, 5, 3)
    with pytest.raises(ValueError, match="offset width 6"):
        needles.load(0, 6, 3)
    (tmp_path / "1.idx").write_bytes(encode([(1, 1, 11)], 5))
    fd = os.open(tmp_path / "1.idx", os.O_RDONLY)
    try:
        needles.load(fd, 5, 3)
        with pytest.raises(ValueError, match="a map of 1 entries"):
            needles.load(fd, 5, 3)
    finally:
        os.close(fd)


# ---- memory ------------------------------------------------------------------------------------


def test_a_million_ascending_entries_stay_below_13_bytes_each(tmp_path: Path) -> None:
    count = 1_000_000
    image = b"".join(struct.pack(">QIBi", i, i * 4, 0, 100) for i in range(1, count + 1))
    needles, _ = load(image, tmp_path / "1.idx", 5)
    assert len(needles) == count
    assert needles.memory_bytes / count <= 13


def test_half_a_million_random_entries_stay_below_20_bytes_each() -> None:
    rng = random.Random(1)
    needles = lib.fv_map_new()
    for _ in range(500_000):
        lib.fv_map_set(needles, rng.getrandbits(64), 2**32 + 5, 100, ffi.NULL)
    per_entry = lib.fv_map_memory(needles) / lib.fv_map_count(needles)
    lib.fv_map_free(needles)
    assert per_entry <= 20


# ---- threads -----------------------------------------------------------------------------------


def test_readers_see_whole_entries_beside_a_writer() -> None:
    needles = CompactMap()
    stop = threading.Event()
    wrong: list[MapEntry] = []

    def read(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            entry = needles.get(rng.randrange(5000))
            if entry is not None and entry[1:] != (entry.id * 2, entry.id % 100):
                wrong.append(entry)
            ids = [e.id for e in needles.entries(first=rng.randrange(5000))]
            if ids != sorted(set(ids)):
                wrong.append(MapEntry(-1, -1, -1))

    with ThreadPoolExecutor(3) as pool:  # hands on what a reader raises
        readers = [pool.submit(read, seed) for seed in range(3)]
        try:
            rng = random.Random(99)
            for _ in range(30_000):
                key = rng.randrange(5000)
                if rng.random() < 0.3:
                    needles.remove(key)
                else:
                    needles.set(key, key * 2, key % 100)
        finally:
            stop.set()
        for reader in readers:
            reader.result(20)
    assert wrong == []


# ---- counters ----------------------------------------------------------------------------------


def test_runtime_counters_ignore_empty_files_and_second_deletes() -> None:
    """What weed shows before a restart for the same rows: 7 files, 1 deletion."""
    counters, needles = NeedleCounters(), CompactMap()
    for key, units, size in EXAMPLE:
        if size >= 0:
            old = needles.set(key, units, size)
            counters.put(key, old.size if old else 0, size)
        else:
            old = needles.delete(key)
            counters.delete(old.size if old else 0)
    assert numbers(counters)[:5] == (7, 1, 95, 32, 10)


def test_counters_roll_back() -> None:
    counters = NeedleCounters()
    counters.put(1, 0, 10)
    saved = counters.copy()
    counters.put(2, 0, 10)
    counters.restore(saved)
    assert numbers(counters)[:5] == (1, 0, 10, 0, 1)
    with pytest.raises(ValueError, match="size -1"):
        counters.put(1, 0, -1)
