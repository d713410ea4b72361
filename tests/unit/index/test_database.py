"""Opening LevelDB on use, closing it when unused, and what all of them share."""

import errno
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plyvel
import pytest
from descriptors_kit import opened_within

from fastvol._cffi._core import lib
from fastvol.errors import VolumeClosedError
from fastvol.index import database as database_module
from fastvol.index.database import Database, DatabasePool, remove_database
from fastvol.index.kinds import SIZE_CLASSES, SizeClass
from fastvol.limits import KIB, LEVELDB_CACHE_BYTES_MIN, LEVELDB_DESCRIPTORS, MIB

SIZE = SIZE_CLASSES["leveldb"]


def made(path: Path, pool: DatabasePool, idle_hours: int = 0) -> Database:
    database = Database(path, SIZE, idle_hours, pool)
    database.run(lambda db: db.put(b"key", path.name.encode()))
    return database


def value(database: Database) -> bytes:
    found = database.run(lambda db: db.get(b"key"), only_reads=True)
    assert isinstance(found, bytes)
    return found


def test_unused_ones_are_closed_when_too_many_are_open(tmp_path: Path) -> None:
    pool = DatabasePool(open_max=3)
    databases = [made(tmp_path / str(i), pool) for i in range(8)]
    assert pool.open_count == 3
    for _ in range(2):
        for i, database in enumerate(databases):
            assert value(database) == str(i).encode()
            assert pool.open_count == 3
    for database in databases:
        database.close()
    assert pool.open_count == 0


def test_the_one_used_least_recently_goes_first(tmp_path: Path) -> None:
    pool = DatabasePool(open_max=2)
    first, second = made(tmp_path / "1", pool), made(tmp_path / "2", pool)
    value(first)
    third = made(tmp_path / "3", pool)
    assert pool.memory_of(first) and pool.memory_of(third) and not pool.memory_of(second)


def test_one_in_use_is_not_closed(tmp_path: Path) -> None:
    pool = DatabasePool(open_max=1)
    busy = made(tmp_path / "busy", pool)
    inside, go_on = threading.Event(), threading.Event()

    def use(db: object) -> None:
        inside.set()
        assert go_on.wait(10)
        assert db.get(b"key") == b"busy"  # type: ignore[attr-defined]

    thread = threading.Thread(target=busy.run, args=(use,))
    thread.start()
    assert inside.wait(10)
    other = made(tmp_path / "other", pool)
    assert pool.open_count == 2
    closing = threading.Thread(target=busy.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()  # it waits for the use
    go_on.set()
    thread.join(10)
    closing.join(10)
    assert pool.open_count == 1
    with pytest.raises(VolumeClosedError):
        value(busy)
    other.close()


def test_idle_ones_are_closed_by_real_idleness(tmp_path: Path) -> None:
    pool = DatabasePool()
    used, idle = made(tmp_path / "used", pool, 2), made(tmp_path / "idle", pool, 2)
    never = made(tmp_path / "never", pool)
    now = time.monotonic()
    used.last_used = now + 3600
    assert pool.unload_idle(now + 2 * 3600 - 1) == 0
    assert pool.unload_idle(now + 2 * 3600 + 1) == 1
    assert not pool.memory_of(idle) and pool.memory_of(used) and pool.memory_of(never)
    assert value(idle) == b"idle"
    assert pool.unload_idle(now + 10 * 3600) == 2
    assert pool.open_count == 1
    for database in (used, idle, never):
        database.close()


def test_the_idle_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "LEVELDB_IDLE_CHECK_SECONDS", 0.01)
    pool = DatabasePool()
    idle = made(tmp_path / "idle", pool, 1)
    idle.last_used -= 3601
    deadline = time.monotonic() + 10
    while pool.open_count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pool.open_count == 0


def test_memory_is_shared_out_of_one_budget(tmp_path: Path) -> None:
    """The first get what their class says, later ones less, and none nothing."""
    pool = DatabasePool(memory_max=16 * MIB)
    databases = [made(tmp_path / str(i), pool) for i in range(30)]
    grants = [pool.memory_of(database) for database in databases]
    assert grants[0] == 2 * MIB
    assert grants == sorted(grants, reverse=True)
    assert grants[-1] == LEVELDB_CACHE_BYTES_MIN
    assert sum(grants) <= 16 * MIB + 30 * LEVELDB_CACHE_BYTES_MIN
    for database in databases:
        database.close()
    again = made(tmp_path / "again", pool)
    assert pool.memory_of(again) == 2 * MIB
    again.close()


def test_a_high_limit_of_descriptors_is_none_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes its least, however many there are."""
    for limit in (1 << 20, resource.RLIM_INFINITY):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        pool = DatabasePool(5 * LEVELDB_CACHE_BYTES_MIN)
        databases = [made(tmp_path / f"{limit} {i}", pool) for i in range(8)]
        assert pool.open_count == 5
        assert sum(map(pool.memory_of, databases)) <= 2 * 5 * LEVELDB_CACHE_BYTES_MIN
        for database in databases:
            database.close()


def test_size_classes_are_upstreams() -> None:
    assert {
        "leveldb": SizeClass(2 * MIB, 1 * MIB),
        "leveldbMedium": SizeClass(4 * MIB, 2 * MIB),
        "leveldbLarge": SizeClass(8 * MIB, 4 * MIB),
    } == SIZE_CLASSES
    assert SIZE.memory == 4 * MIB and LEVELDB_CACHE_BYTES_MIN == 192 * KIB


def test_descriptors_of_an_open_one(tmp_path: Path) -> None:
    """What the limit reckons with."""
    database = made(tmp_path / "db", DatabasePool())
    assert 0 < len(opened_within(tmp_path)) <= LEVELDB_DESCRIPTORS
    database.close()
    assert opened_within(tmp_path) == []


def test_a_directory_that_vanished_is_not_an_empty_database(tmp_path: Path) -> None:
    pool = DatabasePool()
    database = made(tmp_path / "db", pool)
    database.last_used -= 10
    assert database.unload_if_unused(database.last_used)
    remove_database(database.directory)
    for _ in range(2):
        with pytest.raises(OSError, match="does not exist"):
            value(database)
    database.close()


def test_an_error_is_remembered(tmp_path: Path) -> None:
    """It is used on, but nobody ever opens it again."""
    pool = DatabasePool(open_max=1)
    database = made(tmp_path / "db", pool)
    database.give_up()
    assert value(database) == b"db"
    assert not (database.directory / "CURRENT").exists()
    other = made(tmp_path / "other", pool)
    assert pool.memory_of(database)
    assert value(database) == b"db"
    database.close()
    assert not database.directory.exists()
    other.close()


def test_no_answer_is_believed_because_another_use_opened_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be between the end of a use and the look at what was lost during it."""
    counting = Counting()
    monkeypatch.setattr(database_module, "lib", counting)
    database = made(tmp_path / "db", DatabasePool())
    give_back = database._give_back

    def give_back_and_lose_the_processor() -> None:
        give_back()
        monkeypatch.setattr(database, "_give_back", give_back)
        assert value(database) == b"db"

    def lose(_: object) -> None:
        counting.lost += 1
        monkeypatch.setattr(database, "_give_back", give_back_and_lose_the_processor)

    with pytest.raises(OSError, match="a table could not be read"):
        database.run(lose)
    database.close()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_it_is_not_in_doubt(tmp_path: Path) -> None:
    """Else a flood of connections would cost every map."""
    pool = DatabasePool()
    database = made(tmp_path / "db", pool)
    for _ in range(2):  # so that the key is in a table, and that not open
        database.last_used -= 10
        assert database.unload_if_unused(database.last_used)
        database.run(lambda _: None)
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files") as raised:
        value(database)
    assert raised.value.errno == errno.EMFILE
    assert value(database) == b"db" and not database.failed
    assert database.unload_if_unused(time.monotonic())
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        value(database)
    assert value(database) == b"db" and not database.failed
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        database.run(_fill)
    assert database.failed
    database.close()


def _fill(db: Any) -> None:
    for i in range(100_000):
        db.put(b"%d" % i, bytes(100))


def test_an_idle_database_is_not_lost_for_want_of_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = DatabasePool(64 * MIB)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        database = made(tmp_path / "db", pool, idle_hours=1)
    database.close()
    assert pool.open_count == 0
    other = made(tmp_path / "other", pool, idle_hours=1)
    assert pool._watcher is not None
    other.close()


def test_a_failure_of_every_use_is_not_a_line_for_every_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pool = DatabasePool()
    databases = [made(tmp_path / str(i), pool) for i in range(2)]

    def fail(_: object) -> None:
        raise plyvel.IOError(b"disk gone")

    for _ in range(50):
        for database in databases:
            with pytest.raises(OSError, match="disk gone"):
                database.run(fail)
    assert caplog.messages == [f"{database.directory}: disk gone" for database in databases]


class Counting:
    """The core, with a count of lost pages that tests set."""

    lost = 0

    def fv_guard_install(self) -> None:
        """Not needed."""

    def fv_guard_lost_pages(self) -> int:
        return self.lost


def test_no_answer_is_believed_after_a_page_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting()
    monkeypatch.setattr(database_module, "lib", counting)
    database = made(tmp_path / "db", DatabasePool())

    def lose(_: object) -> None:
        counting.lost += 1

    with pytest.raises(OSError, match="a table could not be read"):
        database.run(lose)
    assert value(database) == b"db"  # opened anew

    def in_use(_: object) -> None:
        counting.lost += 1
        with pytest.raises(OSError, match="a table could not be read"):
            value(database)

    with pytest.raises(OSError, match="a table could not be read"):
        database.run(in_use)
    assert value(database) == b"db"
    database.close()
    monkeypatch.undo()
    assert lib.fv_guard_lost_pages() >= 0
