"""A volume over each kind of needle map: the same answers, and what happens when its map changes."""

import dataclasses
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from descriptors_kit import opened_within
from volume_kit import create, needle, open_volume

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.needle_map import NeedleMap
from fastvol._cffi.sorted_map import SortedMap
from fastvol.errors import (
    DiskIOError,
    NeedleNotFoundError,
    StorageError,
    VolumeReadOnlyError,
    http_status,
)
from fastvol.index import leveldb_map
from fastvol.index.index_log import IndexLog
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.index.leveldb_map import LevelDbMap
from fastvol.volume.files import VolumeFiles
from fastvol.volume.needles import ColdReadError
from fastvol.volume.scrub import ScrubMode, scrub_files
from fastvol.volume.vacuum import Vacuum, VacuumPlan
from fastvol.volume.volume import Volume

LEVELDB = IndexOptions("leveldb")
SECONDS_MAX = 30


def kind_of(volume: Volume) -> type[NeedleMap]:
    return type(volume.native._map)


def filled(directory: Path, index: IndexOptions = LEVELDB) -> Volume:
    """Needles 1 to 60; every third deleted, every fourth written twice, one empty."""
    volume = create(directory, index=index)
    for key in range(1, 61):
        volume.write(needle(key, b"first %d" % key))
    for key in range(4, 61, 4):
        volume.write(needle(key, b"second %d" % key))
    for key in range(3, 61, 3):
        assert volume.delete(key, 0, 0) > 0
    volume.write(needle(100, b""))
    return volume


def check(volume: Volume) -> None:
    for key in range(1, 61):
        if key % 3 == 0:
            with pytest.raises(NeedleNotFoundError):
                volume.read(key)
        else:
            word = b"second" if key % 4 == 0 else b"first"
            assert volume.read(key).data == b"%b %d" % (word, key)
    assert volume.read(100).data == b""
    with pytest.raises(NeedleNotFoundError):
        volume.read(1000)


def test_opened_in_one_kind_after_the_other(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    check(volume)
    for kind in ("memory", "leveldbLarge", "leveldb", "memory", "leveldbMedium"):
        volume.close()
        volume = open_volume(tmp_path, index=IndexOptions(kind))  # type: ignore[arg-type]
        assert kind_of(volume) is (CompactMap if kind == "memory" else LevelDbMap)
        check(volume)
        volume.write(needle(60, b"x"))
        assert volume.delete(60, 0, 0) > 0
    volume.close()


@pytest.mark.parametrize("can_delete", [False, True])
def test_a_volume_marked_read_only_opens_with_a_sorted_file(
    tmp_path: Path, can_delete: bool
) -> None:
    volume = filled(tmp_path)
    volume.mark_read_only(can_delete=can_delete, persist=True)
    assert kind_of(volume) is LevelDbMap  # already there, and as good
    volume.close()
    volume = open_volume(tmp_path, index=LEVELDB)
    assert kind_of(volume) is SortedMap
    check(volume)
    with pytest.raises(VolumeReadOnlyError):
        volume.write(needle(1, b"new"))
    if can_delete:
        assert volume.delete(1, 0, 0) > 0 and volume.delete(1, 0, 0) == 0
        assert volume.delete(3, 0, 0) == 0
        with pytest.raises(NeedleNotFoundError):
            volume.read(1)
        volume.close()
        volume = open_volume(tmp_path, index=LEVELDB)
        with pytest.raises(NeedleNotFoundError):
            volume.read(1)
    volume.mark_writable()
    assert kind_of(volume) is LevelDbMap
    volume.write(needle(1, b"first 1"))
    check(volume)
    volume.close()
    check(open_volume(tmp_path))


@pytest.mark.parametrize("kind", ["memory", "leveldb"])
def test_tombstones_of_what_is_not_there(tmp_path: Path, kind: str) -> None:
    """They change the files, and nothing that a reader or a counter tells."""
    index = IndexOptions(kind)  # type: ignore[arg-type]
    volume = filled(tmp_path, index)
    before = volume.counters, volume.dat_size, volume.idx_size
    for key in (3, 1000, 2**64 - 1):
        assert volume.delete(key, 5, 77, always=True) == 0
    assert volume.counters == dataclasses.replace(before[0], max_file_key=2**64 - 1)
    assert (volume.dat_size, volume.idx_size) == (before[1] + 3 * 32, before[2] + 3 * 17)
    assert volume.delete(2, 5, 77, always=True) > 0
    volume.write(needle(2, b"first 2"))
    volume.write(needle(1000, b"now there"))
    assert volume.delete(1000, 5, 77, always=True) > 0
    check(volume)
    assert volume.compact(VacuumPlan()) is not None
    assert volume.delete(3000, 0, 0, always=True) == 0
    volume.close()
    for other in ("memory", "leveldb"):
        volume = open_volume(tmp_path, index=IndexOptions(other))  # type: ignore[arg-type]
        assert not volume.read_only and volume.counters.max_file_key == 2**64 - 1
        check(volume)
        volume.close()
    files = VolumeFiles.of(tmp_path, tmp_path, "", 7)
    assert scrub_files(files, ScrubMode.FULL).details == []
    volume = open_volume(tmp_path, index=index)
    assert volume.compact(VacuumPlan()) is not None
    assert volume.delete(3001, 0, 0, always=True) == 0
    assert volume.commit_compaction()
    check(volume)
    assert volume.counters.deleted_size == 0
    volume.close()


def test_a_sorted_file_takes_no_tombstone_of_what_is_not_there(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    volume.mark_read_only(can_delete=True, persist=True)
    volume.close()
    volume = open_volume(tmp_path, index=LEVELDB)
    assert kind_of(volume) is SortedMap
    before = volume.dat_size, volume.idx_size
    for key in (1, 3, 1000):
        with pytest.raises(VolumeReadOnlyError):
            volume.delete(key, 5, 77, always=True)
    assert (volume.dat_size, volume.idx_size) == before
    check(volume)
    volume.close()


def test_in_memory_a_read_only_volume_has_a_compact_map(tmp_path: Path) -> None:
    """The fast read stays as fast."""
    volume = filled(tmp_path, IN_MEMORY)
    volume.mark_read_only(can_delete=False, persist=True)
    volume.close()
    volume = open_volume(tmp_path)
    assert kind_of(volume) is CompactMap and not list(tmp_path.glob("*.sdx"))
    check(volume)


def test_deletes_may_be_allowed_later(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    volume.mark_read_only(can_delete=False, persist=True)
    volume.close()
    volume = open_volume(tmp_path, index=LEVELDB)
    volume.mark_read_only(can_delete=True, persist=False)
    assert kind_of(volume) is LevelDbMap
    assert volume.delete(1, 0, 0) > 0
    with pytest.raises(VolumeReadOnlyError):
        volume.write(needle(1, b"new"))
    volume.close()


def test_deletes_go_on_while_a_volume_is_made_writable(tmp_path: Path) -> None:
    """Each lands in the old files' map or in the new one's, and counts in both."""
    volume = create(tmp_path)
    for key in range(1, 2001):
        volume.write(needle(key, b"x"))
    volume.mark_read_only(can_delete=True, persist=True)
    volume.close()
    volume = open_volume(tmp_path, index=LEVELDB)
    assert kind_of(volume) is SortedMap
    deleted: list[int] = []
    started = threading.Event()

    def delete() -> None:
        for key in range(1, 2001):
            deleted.append(volume.delete(key, 0, 0))
            started.set()

    thread = threading.Thread(target=delete)
    thread.start()
    assert started.wait(SECONDS_MAX)
    volume.mark_writable()
    thread.join(SECONDS_MAX)
    assert len(deleted) == 2000 and all(deleted)
    for key in range(1, 2001):
        with pytest.raises(NeedleNotFoundError):
            volume.read(key)
    assert kind_of(volume) is LevelDbMap
    volume.close()


# --- the event loop never waits -------------------------------------------------------------------


def test_nothing_is_looked_up_where_nobody_may_wait(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    for call in (
        lambda: volume.load(1, nowait=True),
        lambda: volume.load(1000, nowait=True),
        lambda: volume.write(needle(1, b"first 1"), nowait=True),
        lambda: volume.write(needle(2000, b"new"), nowait=True),
        lambda: volume.delete(1, 0, 0, nowait=True),
    ):
        with pytest.raises(ColdReadError):
            call()
    check(volume)
    volume.close()


def test_a_sorted_file_in_the_page_cache_is_read_at_once(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    volume.mark_read_only(can_delete=False, persist=True)
    volume.close()
    volume = open_volume(tmp_path, index=LEVELDB)
    assert volume.load(1, nowait=True).needle.data == b"first 1"
    with pytest.raises(NeedleNotFoundError):
        volume.load(1000, nowait=True)


# --- vacuum -------------------------------------------------------------------------------------


@pytest.mark.parametrize("can_delete", [None, True])
def test_vacuum_under_readers(tmp_path: Path, can_delete: bool | None) -> None:
    """The map of the old files answers until nobody asks it any more; the new one is made anew."""
    volume = filled(tmp_path)
    if can_delete:
        volume.mark_read_only(can_delete=True, persist=True)
        volume.close()
        volume = open_volume(tmp_path, index=LEVELDB)
    stop = threading.Event()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                check(volume)
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        assert volume.compact(VacuumPlan()) is not None
        assert volume.commit_compaction()
        if not can_delete:
            volume.write(needle(500, b"y"))
            volume.delete(500, 0, 0)
    stop.set()
    for reader in readers:
        reader.join(SECONDS_MAX)
    assert not errors
    check(volume)
    volume.close()
    for index in (LEVELDB, IN_MEMORY):
        volume = open_volume(tmp_path, index=index)
        check(volume)
        volume.close()


def test_a_vacuum_of_a_damaged_map_fails_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable map must not look like one without needles."""
    volume = filled(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(5, "damaged")

    monkeypatch.setattr(LevelDbMap, "scan_entries", fail)
    size = volume.dat_size
    with pytest.raises(StorageError, match="reading the old files: input/output error"):
        volume.compact(VacuumPlan())
    monkeypatch.undo()
    assert volume.dat_size == size
    check(volume)
    volume.close()


def test_a_map_that_cannot_be_retired_stops_the_vacuum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled(tmp_path)
    volume.compact(VacuumPlan())

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(CompactMap, "load", fail)
    with pytest.raises(StorageError):
        volume.commit_compaction()
    monkeypatch.undo()
    assert not list(tmp_path.glob("*.cp*"))
    check(volume)
    volume.write(needle(1, b"first 1"))
    volume.close()


# --- errors -------------------------------------------------------------------------------------


def test_a_look_up_that_fails_is_an_error_of_that_needle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled(tmp_path)
    real = LevelDbMap.find_entry

    def fail(self: LevelDbMap, key: int) -> tuple[int, int] | None:
        if key in (1, 777):
            raise OSError(5, "damaged")
        return real(self, key)

    monkeypatch.setattr(LevelDbMap, "find_entry", fail)
    calls: tuple[Callable[[], object], ...] = (
        lambda: volume.read(1),
        lambda: volume.read(777),
        lambda: volume.write(needle(1, b"new")),
        lambda: volume.delete(1, 0, 0),
    )
    for call in calls:
        with pytest.raises(
            DiskIOError, match=r"needle map of .*7.idx: input/output error"
        ) as error:
            call()
        assert http_status(error.value) == 500
    assert volume.read(2).data == b"first 2"
    assert not volume.read_only
    monkeypatch.undo()
    check(volume)
    volume.close()


@pytest.mark.parametrize("change", ["write", "delete"])
def test_a_change_that_the_map_does_not_take_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """And the volume takes no other until its files are opened anew."""
    volume = filled(tmp_path)
    before = volume.stat()

    def fail(*_: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(LevelDbMap, "put_entry", fail)
    with pytest.raises(DiskIOError, match="no space left on device"):
        volume.write(needle(1, b"new")) if change == "write" else volume.delete(1, 0, 0)
    monkeypatch.undo()
    assert volume.stat() == dataclasses.replace(before, last_append_ns=volume.stat().last_append_ns)
    assert volume.read_only
    with pytest.raises(VolumeReadOnlyError):
        volume.write(needle(5, b"new"))
    check(volume)
    volume.mark_writable()
    check(volume)
    volume.write(needle(1, b"first 1"))
    volume.close()
    check(open_volume(tmp_path, index=LEVELDB))


def test_is_it_all_garbage_when_the_map_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = create(tmp_path, index=LEVELDB)
    volume.write(needle(1, b"x"))
    volume.delete(1, 0, 0)
    assert volume.is_garbage_only()

    def fail(*_: object) -> None:
        raise OSError(5, "damaged")

    monkeypatch.setattr(LevelDbMap, "scan_entries", fail)
    with pytest.raises(DiskIOError, match="needle map of"):
        volume.is_garbage_only()
    monkeypatch.undo()
    volume.write(needle(2, b""))
    assert not volume.is_garbage_only()
    volume.close()


# --- its end ------------------------------------------------------------------------------------


def test_closing_under_readers(tmp_path: Path) -> None:
    """Whoever still has the volume finds nothing, as with every kind."""
    volume = filled(tmp_path)
    errors: list[BaseException] = []
    started = threading.Event()

    def read() -> None:
        while True:
            try:
                volume.read(1)
                started.set()
            except NeedleNotFoundError:
                return
            except BaseException as error:
                errors.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    assert started.wait(SECONDS_MAX)
    volume.close()
    for reader in readers:
        reader.join(SECONDS_MAX)
    assert not errors


def test_destroying_takes_the_map_along(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    (tmp_path / "7.sdx.tmp").touch()
    volume.destroy()
    assert not os.listdir(tmp_path)


def test_a_new_volume_does_not_take_an_older_ones_map(tmp_path: Path) -> None:
    filled(tmp_path).close()
    for name in ("7.dat", "7.idx", "7.vif"):
        (tmp_path / name).unlink()
    volume = create(tmp_path, index=LEVELDB)
    with pytest.raises(NeedleNotFoundError):
        volume.read(1)
    volume.close()


def test_a_volume_that_does_not_close_in_good_order_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the index cannot be synced, the map must not say that it goes with it."""
    volume = filled(tmp_path)
    monkeypatch.setattr(Volume, "sync", lambda _: (_ for _ in ()).throw(DiskIOError("no sync")))
    volume.close()
    monkeypatch.undo()
    monkeypatch.setattr("fastvol.index.leveldb_map._boot_id", lambda: "another boot")
    with caplog.at_level(logging.WARNING):
        volume = open_volume(tmp_path, index=LEVELDB)
    assert "the machine went down while it was in use" in caplog.text
    check(volume)
    volume.close()


def test_descriptors_come_back(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    assert opened_within(tmp_path)
    volume.compact(VacuumPlan())
    volume.commit_compaction()
    volume.close()
    assert opened_within(tmp_path) == []


def test_an_index_kept_in_memory_has_its_map_there(tmp_path: Path) -> None:
    """A volume that nothing may be written to, and that has no index."""
    volume = filled(tmp_path)
    volume.mark_read_only(can_delete=False, persist=True)
    volume.close()
    (tmp_path / "7.idx").unlink()
    volume = open_volume(tmp_path, index=LEVELDB)
    assert kind_of(volume) is CompactMap
    assert volume.read(1).data == b"first 1"
    volume.close()


def test_a_vacuum_builds_its_map_before_writers_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written meanwhile is taken in when the map is opened."""
    volume = filled(tmp_path)
    volume.compact(VacuumPlan())
    replayed: list[int] = []
    real_replay = leveldb_map._replay
    real_prepare = Vacuum.prepare_commit

    def replay(database: object, index: IndexLog, start: int) -> None:
        replayed.append(index.rows() - start)
        real_replay(database, index, start)  # type: ignore[arg-type]

    def prepare(vacuum: Vacuum, *arguments: object) -> None:
        real_prepare(vacuum, *arguments)  # type: ignore[arg-type]
        volume.write(needle(700, b"meanwhile"))

    monkeypatch.setattr(leveldb_map, "_replay", replay)
    monkeypatch.setattr(Vacuum, "prepare_commit", prepare)
    volume.commit_compaction()
    assert replayed == [41, 1]
    check(volume)
    assert volume.read(700).data == b"meanwhile"
    assert not list(tmp_path.glob("*.cp*"))
    volume.close()


def test_a_vacuum_whose_map_cannot_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled(tmp_path)
    volume.compact(VacuumPlan())
    (tmp_path / "7.cpldb").write_text("in the way")
    volume.commit_compaction()
    assert kind_of(volume) is LevelDbMap
    check(volume)
    assert not list(tmp_path.glob("*.cp*"))
    volume.close()


def test_many_rows_are_replayed_by_a_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leveldb_map, "LEVELDB_BUILD_ROWS", 10)
    volume = filled(tmp_path, IN_MEMORY)
    volume.close()
    volume = open_volume(tmp_path, index=LEVELDB)
    assert volume.stat().map_memory > 1 << 20
    check(volume)
    volume.close()


def test_the_map_that_a_vacuum_built_is_the_one_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Making it anew would keep the writers waiting."""
    volume = filled(tmp_path)
    assert volume.compact(VacuumPlan()) is not None
    assert not (tmp_path / "7.cpldb").exists()
    volume.write(needle(61, b"meanwhile"))
    with caplog.at_level(logging.WARNING):
        assert volume.commit_compaction()
    assert not caplog.messages
    check(volume)
    volume.close()


LEAVE_VOLUMES = """
import gc, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from volume_kit import create, needle
from fastvol._cffi import foreign_map
from fastvol.index.database import shared_pool
from fastvol.index.kinds import IndexOptions

class Collecting(dict):
    def __setitem__(self, key, value):
        collected.append(gc.collect())
        super().__setitem__(key, value)

def volume(name):
    (base / name).mkdir()
    return create(base / name, index=IndexOptions("leveldb"))

collected = []
base = Path(sys.argv[1])
gc.disable()
foreign_map._alive = Collecting(foreign_map._alive)
shared_pool._granted = Collecting(shared_pool._granted)
for i in range(10):
    volume(f"left-{i}").write(needle(1, b"x"))
    volume(f"closed-{i}").close()
gc.collect()
print("done", sum(map(bool, collected)) > 2, shared_pool.open_count, len(foreign_map._alive))
"""


def test_collecting_volumes_while_another_is_made(tmp_path: Path) -> None:
    """A collection may come anywhere, under a lock too, and frees what nobody closed."""
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            LEAVE_VOLUMES,
            str(tmp_path),
            str(Path(create.__code__.co_filename).parent),
        ],
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (b"done True 0 0\n", b"")
