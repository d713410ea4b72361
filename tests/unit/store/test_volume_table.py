"""The volume table: which copy serves, and what a mirror is told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_volume import FakeVolume

from fastvol.errors import VolumeExistsError
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import EMPTY
from fastvol.store.keyed_locks import KeyedLocks
from fastvol.store.volume_table import VolumeTable


def volume(volume_id: int, disk_id: int = 0) -> FakeVolume:
    block = SuperBlock(3, ReplicaPlacement(), EMPTY)
    return FakeVolume(volume_id, "", Path("/d"), Path("/d"), block, disk_id=disk_id)


class Mirror:
    """What the fast read's table would hold."""

    def __init__(self, table: VolumeTable) -> None:
        self.serving: dict[int, FakeVolume] = {}
        self.added = 0
        table.on_add = self.add
        table.on_remove = self.remove

    def add(self, volume: FakeVolume) -> None:
        self.added += 1
        self.serving[volume.id] = volume

    def remove(self, volume: FakeVolume) -> None:
        del self.serving[volume.id]


def test_the_copy_on_the_first_disk_serves() -> None:
    table = VolumeTable()
    mirror = Mirror(table)
    second, first = volume(7, disk_id=1), volume(7, disk_id=0)
    table.add(second)
    assert table.find(7) is second
    table.add(first)
    assert table.find(7) is first
    assert mirror.serving == {7: first}
    assert table.copies(7) == [first, second]
    assert table.remove(first)
    assert (table.find(7), mirror.serving) == (second, {7: second})
    assert table.remove(second)
    assert (table.find(7), mirror.serving, table.copies(7)) == (None, {}, [])
    assert not table.remove(second)


def test_a_disk_has_one_copy_of_an_id() -> None:
    table = VolumeTable()
    table.add(volume(7))
    with pytest.raises(VolumeExistsError, match=r"^Volume Id 7 already exists!$"):
        table.add(volume(7))
    assert not table.remove(volume(7)), "another object is not the one that is held"


def test_listings() -> None:
    table = VolumeTable()
    for volume_id, disk_id in ((9, 0), (3, 1), (3, 0), (5, 1)):
        table.add(volume(volume_id, disk_id))
    assert [(v.id, v.disk_id) for v in table.volumes()] == [(3, 0), (3, 1), (5, 1), (9, 0)]
    assert (table.count(0), table.count(1), table.count(2)) == (2, 2, 0)
    assert sorted(v.id for v in table.on_disk(1)) == [3, 5]


def test_refresh_tells_the_mirror_only_about_what_serves() -> None:
    table = VolumeTable()
    mirror = Mirror(table)
    first, second = volume(7, 0), volume(7, 1)
    table.add(first)
    table.add(second)
    table.refresh(second)
    assert mirror.added == 1
    table.refresh(first)
    assert mirror.added == 2


def test_readers_beside_writers_see_a_volume_or_none() -> None:
    table = VolumeTable()
    mirror = Mirror(table)
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            found = table.find(1)
            if found is not None and found.id != 1:
                wrong.append(found)
            table.volumes()

    def write(disk_id: int) -> None:
        for _ in range(2000):
            mine = volume(1, disk_id)
            table.add(mine)
            table.remove(mine)

    with ThreadPoolExecutor(5) as pool:  # hands on what a thread raises
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, disk_id) for disk_id in range(3)]
        try:
            for writer in writers:
                writer.result(30)
        finally:
            stop.set()
        for reader in readers:
            reader.result(30)
    assert wrong == []
    assert mirror.serving == {}


def test_keyed_locks_exclude_per_key_and_are_dropped() -> None:
    locks = KeyedLocks()
    order: list[str] = []
    entered = threading.Event()

    def other() -> None:
        entered.set()
        with locks.hold(1):
            order.append("second")

    with locks.hold(1), locks.hold(1), locks.hold(2):
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(10)
        order.append("first")
        assert len(locks) == 2
    thread.join(10)
    assert order == ["first", "second"]
    assert len(locks) == 0
