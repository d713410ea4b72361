"""The LevelDB map: what it stores, what its errors mean, and its end."""

import errno
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors_kit import opened_within
from leveldb_kit import STATE, WATERMARK, change, directory_of, files_of, fill, filled, stored, u64
from map_kit import LEVELDB, MEMORY, Indexed

from fastvol._cffi._core import lib
from fastvol.errors import DiskIOError, VolumeClosedError
from fastvol.index import leveldb_map
from fastvol.index.leveldb_map import LevelDbMap


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Indexed]:
    made = filled(tmp_path)
    yield made
    made.close()


# --- the format ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "value"), [(4, "00000003{}"), (5, "0000000300{}")])
def test_what_is_stored(tmp_path: Path, width: int, value: str) -> None:
    """As weed stores it, but for the deleted empty file, which would be alive there."""
    index = Indexed(tmp_path, LEVELDB, width)
    index.append(99, 1, 1)
    index.append(99, 1, 1)
    index.put(0x1122, 70)
    index.close()
    assert stored(index)[u64(0x1122)].hex() == value.format("00000046")
    assert stored(index)[WATERMARK] == u64(3)
    index.open(LEVELDB)
    index.delete(0x1122)
    index.put(5, 0)
    index.delete(5)
    index.close()
    found = stored(index)
    assert found[u64(0x1122)].hex() == value.format("ffffffba")
    assert found[u64(5)].hex()[-8:] == "ffffffff"
    assert found[WATERMARK] == u64(index.rows)


def test_high_offsets(tmp_path: Path) -> None:
    index = Indexed(tmp_path, LEVELDB)
    for key, offset in ((1, 2**40 - 1), (2, 2**32), (3, 2**32 - 1)):
        index.append(key, offset, 5)
        index.map.set(key, offset, 5)
        index.model[key] = (offset, 5)
    index.check([])
    index.reopen(MEMORY)
    index.reopen(LEVELDB)
    index.check([])
    index.close()


def test_the_watermark_advances_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leveldb_map, "LEVELDB_WATERMARK_ROWS", 100)
    index = Indexed(tmp_path, LEVELDB)
    fill(index, range(1, 251))
    for key in range(1, 61):
        index.delete(key)
    index.close(durable=False)
    assert stored(index)[WATERMARK] == u64(300)
    index.open(LEVELDB)
    index.check([*range(1, 61)])
    index.close()


def test_what_a_go_server_wrote(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    """No state key; its watermark is a round number, and what follows it is replayed."""
    change(index, STATE, None)
    change(index, WATERMARK, u64(1000))
    for key in range(1001, 2001):
        change(index, u64(key), None)
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert not caplog.messages
    index.check([*range(1, 2001, 7)])


# --- errors while it is open --------------------------------------------------------------------


def test_damage_is_an_error_of_its_needles_only(
    index: Indexed, caplog: pytest.LogCaptureFixture
) -> None:
    """Never "not found"; and the next opening makes it anew."""
    index.open(LEVELDB)
    index.close()
    for path in files_of(index, "*.ldb"):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0x55
        path.write_bytes(content)
    index.open(LEVELDB)
    fine = failed = 0
    for key, (offset, size) in index.model.items():
        try:
            assert index.map.get(key) == (key, offset, size)
            fine += 1
        except DiskIOError:
            failed += 1
    assert fine and failed
    assert "block checksum mismatch" in caplog.text
    with pytest.raises(DiskIOError):
        list(index.map.entries())
    index.reopen(LEVELDB)
    index.check([])


def test_a_value_of_another_length_is_an_error(index: Indexed) -> None:
    change(index, u64(6), b"1234")
    index.open(LEVELDB)
    with pytest.raises(DiskIOError):
        index.map.get(6)
    with pytest.raises(DiskIOError):
        list(index.map.entries())
    index.reopen(LEVELDB)
    index.check([])


def test_tables_cut_short_while_they_are_mapped(index: Indexed) -> None:
    """A signal that kills whoever does not expect it."""
    index.open(LEVELDB)
    index.reopen(LEVELDB)
    assert index.map.get(3)  # its block is in LevelDB's cache now, the others only in the mapping
    maps = Path("/proc/self/maps").read_text()
    assert any(str(path) in maps for path in files_of(index, "*.ldb"))
    for path in files_of(index, "*.ldb"):
        os.truncate(path, 0)
    before = lib.fv_guard_lost_pages()
    for key in range(1000, 1010):
        with pytest.raises(DiskIOError):
            index.map.get(key)
    assert lib.fv_guard_lost_pages() > before
    index.close(durable=False)
    index.open(LEVELDB)
    index.check([])


def test_what_is_no_error_of_the_map(index: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in Python arrives as an error."""
    index.open(LEVELDB)
    for error, arrives in (
        (RuntimeError("a bug"), DiskIOError),
        (MemoryError(), MemoryError),
        (OSError(errno.ENOSPC, "full"), DiskIOError),
        (VolumeClosedError(""), VolumeClosedError),
        (KeyboardInterrupt(), DiskIOError),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        for name in ("find_entry", "put_entry", "remove_entry", "scan_entries"):
            monkeypatch.setattr(LevelDbMap, name, fail)
        for call in (
            lambda: index.map.get(1),
            lambda: index.map.set(1, 1, 1),
            lambda: index.map.delete(1),
            lambda: index.map.remove(1),
            lambda: list(index.map.entries()),
        ):
            with pytest.raises(arrives):
                call()
        monkeypatch.undo()
    index.check([])


# --- its end ------------------------------------------------------------------------------------


def test_a_closed_map_says_so(index: Indexed) -> None:
    index.open(LEVELDB)
    index.map.close(durable=True)
    index.map.close(durable=True)
    with pytest.raises(VolumeClosedError):
        index.map.get(1)
    with pytest.raises(VolumeClosedError):
        list(index.map.entries())
    with pytest.raises(VolumeClosedError):
        index.map.set(1, 1, 1)


def test_a_retired_map_answers_from_memory(index: Indexed) -> None:
    """Its directory is free for another map, and is not touched any more."""
    index.open(LEVELDB)
    old = index.map
    assert old.delete(2) is not None
    index.append(2, index.rows + 1, -1)
    index.model.pop(2)
    old.retire()
    old.retire()
    shutil.rmtree(directory_of(index))
    index.open(LEVELDB)
    index.check([])
    fresh, index.map = index.map, old
    index.put(5000, 3)
    index.check([2])
    assert old.get(2) == (2, 2, -2)
    assert [entry.id for entry in old.entries(1999)][:2] == [1999, 2000]
    assert old.remove(5000)
    del index.model[5000]
    old.close(durable=True)
    index.map = fresh
    index.check([])


def test_a_failed_one_is_retired_even_if_it_cannot_be_removed(
    index: Indexed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who retires it is in the middle of replacing files; and the next one finds it in the way."""
    index.open(LEVELDB)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    assert isinstance(index.map, LevelDbMap)
    index.map._database.give_up()
    with monkeypatch.context() as patch:
        patch.setattr("fastvol.index.database.rmtree", refuse)
        index.map.retire()
    assert "no" in caplog.text
    index.check([])
    index.reopen(LEVELDB)
    index.check([])


def test_retiring_while_it_is_read(index: Indexed) -> None:
    index.open(LEVELDB)
    stop = threading.Event()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                for key in (3, 4, 1500):
                    assert index.map.get(key) == (key, *index.model[key])
                assert next(index.map.entries(4)).id == 4
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    index.map.retire()
    stop.wait(0.1)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert not errors


def test_nothing_is_leaked(index: Indexed, tmp_path: Path) -> None:
    before = opened_within(tmp_path)
    for _ in range(3):
        index.open(LEVELDB)
        index.close()
        index.open(LEVELDB)
        index.map.discard()  # without a close
    assert opened_within(tmp_path) == before
    index.open(LEVELDB)
