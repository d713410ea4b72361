"""What is read of a remote object is right, fetched once, and bounded."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastvol.errors import RemoteStorageError
from fastvol.remote import block_cache
from fastvol.remote.block_cache import BlockCache, CachedObject

SECONDS = 10
BLOCK = 16


class Source:
    """An object, and what was fetched of it."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.data = random.Random(size + seed).randbytes(size)
        self.fetched: list[tuple[int, int]] = []
        self.failing = False
        self.gate: threading.Event | None = None
        self.object = CachedObject(size, self.fetch)

    def fetch(self, offset: int, length: int) -> bytes:
        self.fetched.append((offset, length))
        if self.gate is not None:
            assert self.gate.wait(SECONDS)
        if self.failing:
            raise RemoteStorageError("no answer")
        return self.data[offset : offset + length]


@pytest.fixture(name="cache")
def cache_fixture(tmp_path: Path) -> Iterator[BlockCache]:
    cache = BlockCache(bytes_max=8 * BLOCK, block_bytes=BLOCK, fetch_bytes=4 * BLOCK)
    cache.open(tmp_path)
    yield cache
    cache.close()
    assert not list(tmp_path.iterdir())


def test_any_range_is_as_in_the_object(cache: BlockCache) -> None:
    source = Source(1000)
    chance = random.Random(1)
    for _ in range(500):
        offset, length = chance.randrange(1100), chance.randrange(200)
        assert cache.read(source.object, offset, length) == source.data[offset : offset + length]


def test_blocks_are_fetched_together_and_once(cache: BlockCache) -> None:
    source = Source(1000)
    cache.read(source.object, 20, 40)
    assert source.fetched == [(16, 48)]
    cache.read(source.object, 0, 100)
    assert source.fetched[1:] == [(0, 16), (64, 48)]
    cache.read(source.object, 3, 90)
    assert len(source.fetched) == 3
    cache.read(source.object, 990, 100)
    assert source.fetched[3:] == [(976, 24)]


def test_no_more_is_kept_than_allowed(cache: BlockCache) -> None:
    """The block that was read last stays; what went is fetched again."""
    source, other = Source(1000), Source(1000, seed=1)
    for at in range(0, 1000, BLOCK):
        cache.read(other.object, 0, 1)
        cache.read(source.object, at, 1)
        assert cache.bytes_kept <= 8 * BLOCK
    assert other.fetched == [(0, BLOCK)]
    assert cache.read(source.object, 5, 10) == source.data[5:15]
    assert source.fetched.count((0, BLOCK)) == 2


def test_many_readers_fetch_a_block_once(cache: BlockCache) -> None:
    source = Source(64)
    source.gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(cache.read, source.object, 1, 60) for _ in range(8)]
        source.gate.set()
        assert {read.result(SECONDS) for read in reads} == {source.data[1:61]}
    assert source.fetched == [(0, 64)]


def test_a_failure_is_that_of_the_read_and_nothing_is_kept_of_it(cache: BlockCache) -> None:
    source = Source(64)
    source.failing = True
    source.gate = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(cache.read, source.object, 1, 60) for _ in range(4)]
        source.gate.set()
        for read in reads:
            with pytest.raises(RemoteStorageError, match="no answer"):
                read.result(SECONDS)
    source.failing = False
    assert cache.read(source.object, 0, 64) == source.data


def test_a_forgotten_object_leaves_its_room(cache: BlockCache) -> None:
    source = Source(100)
    cache.read(source.object, 0, 100)
    cache.forget(source.object)
    assert cache.bytes_kept == 0
    assert cache.read(source.object, 0, 100) == source.data


def test_objects_do_not_share_blocks(cache: BlockCache) -> None:
    sources = [Source(50, seed) for seed in range(3)]
    for source in sources * 2:
        assert cache.read(source.object, 0, 50) == source.data


def test_readers_and_evictions_at_once(cache: BlockCache) -> None:
    """Nobody ever sees the bytes of another block."""
    sources = [Source(700, seed) for seed in range(3)]

    def read(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(400):
            source = chance.choice(sources)
            offset, length = chance.randrange(700), chance.randrange(150)
            found = cache.read(source.object, offset, length)
            assert found == source.data[offset : offset + length]
            if chance.random() < 0.01:
                cache.forget(source.object)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(read, seed) for seed in range(6)]:
            done.result(SECONDS * 3)
    assert cache.bytes_kept <= 8 * BLOCK


def test_a_full_disk_costs_the_cache_only(
    cache: BlockCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes, at: int) -> int:
        raise OSError(28, "No space left on device")

    source = Source(300)
    monkeypatch.setattr(block_cache.os, "pwrite", full)
    assert cache.read(source.object, 0, 300) == source.data
    assert cache.bytes_kept == 0
    monkeypatch.undo()
    cache.read(source.object, 0, 300)
    assert cache.bytes_kept > 0


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    cache = BlockCache(block_bytes=BLOCK)
    cache.open(tmp_path / "missing")
    source = Source(40)
    assert cache.read(source.object, 0, 40) == source.data == cache.read(source.object, 0, 40)
    assert cache.bytes_kept == 0
    cache.close()


def test_a_file_system_without_nameless_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refusing(path: object, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return real(path, flags, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(block_cache.os, "open", refusing)
    fd = block_cache.nameless_file(tmp_path)
    os.close(fd)
    assert not list(tmp_path.iterdir())
