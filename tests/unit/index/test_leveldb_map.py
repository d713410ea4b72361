"""The LevelDB map as a cache of the index: trusted while it can be, made anew when not."""

import errno
import logging
import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import plyvel
import pytest
from map_kit import LEVELDB, MEMORY, Indexed

from fastvol._cffi._core import lib
from fastvol.errors import DiskIOError, VolumeClosedError
from fastvol.index import leveldb_map
from fastvol.index.leveldb_map import LevelDbMap

WATERMARK = b"idx_entry_watermark"
STATE = b"fastvol_state"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Indexed]:
    """2,000 needles, some overwritten and some deleted, closed in good order."""
    made = Indexed(tmp_path, LEVELDB)
    fill(made, range(1, 2001))
    for key in range(1, 2001, 7):
        made.delete(key)
    for key in range(1, 2001, 5):
        made.put(key, 1000)
    made.close()
    yield made
    made.close()


def fill(index: Indexed, keys: range) -> None:
    for key in keys:
        index.put(key, key % 60)


def directory_of(index: Indexed) -> Path:
    return index.path.with_suffix(".ldb")


def stored(index: Indexed) -> dict[bytes, bytes]:
    with closing(plyvel.DB(str(directory_of(index)), paranoid_checks=True)) as db:
        return dict(db.iterator(verify_checksums=True))


def change(index: Indexed, key: bytes, value: bytes | None) -> None:
    with closing(plyvel.DB(str(directory_of(index)))) as db:
        db.delete(key) if value is None else db.put(key, value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


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


# --- made anew ----------------------------------------------------------------------------------


def opens_anew(index: Indexed, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """A key that only a map of another index would have must be gone."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert reason in caplog.text
    index.check([*range(1, 2001, 7), 0xDEAD])
    assert index.map.get(0xDEAD) is None
    index.close()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert not caplog.messages
    index.check([])


def damage(index: Indexed, key: bytes, value: bytes | None) -> None:
    change(index, u64(0xDEAD), bytes(9))
    change(index, key, value)


def test_a_watermark_beyond_the_index(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    change(index, STATE, None)
    damage(index, WATERMARK, u64(index.rows + 1))
    opens_anew(index, caplog, f"its watermark is {index.rows + 1}")


def test_a_state_that_cannot_be_read(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    for value in (b"", b"[]", b"{", b"\xff", b"null"):
        damage(index, STATE, value)
        opens_anew(index, caplog, "its state cannot be read")
        index.close()


def test_another_index(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    """As long as the old one, but with other offsets."""
    damage(index, b"unknown", b"")
    rows, index.rows, index.model = index.rows, 0, {}
    os.ftruncate(index.fd, 0)
    for key in range(rows):
        index.append(key + 10_000, key + 7, 5)
        index.model[key + 10_000] = (key + 7, 5)
    opens_anew(index, caplog, "it belongs to another index")


def test_a_shorter_index(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    damage(index, WATERMARK, u64(10))
    last = index.rows - 1
    gone = next(key for key, (offset, _) in index.model.items() if offset == last + 1)
    os.ftruncate(index.fd, last * 17)
    index.rows = last
    offset = (gone - 1) + 1
    index.model[gone] = (offset, gone % 60)
    if (gone - 1) % 7 == 0:
        del index.model[gone]
    opens_anew(index, caplog, "it belongs to another index")


def test_another_width(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    """All of its values would be of the wrong length."""
    index.path.unlink()
    shutil.move(directory_of(index), index.path.parent / "kept")
    narrow = Indexed(index.path.parent, MEMORY, 4)
    for key in range(index.rows):
        narrow.append(key, key + 1, 5)
        narrow.model[key] = (key + 1, 5)
    shutil.move(index.path.parent / "kept", directory_of(index))
    narrow.close()
    opens_anew(narrow, caplog, "its offsets are not 4 bytes wide")
    narrow.close()


def test_a_crash_of_the_process_needs_no_new_one(
    index: Indexed, caplog: pytest.LogCaptureFixture
) -> None:
    index.open(LEVELDB)
    index.put(3000, 5)
    index.append(3001, 77, 8)  # the row was written, and the map not told
    index.model[3001] = (77, 8)
    index.close(durable=False)
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert not caplog.messages
    index.check([])


def test_a_crash_of_the_machine(
    index: Indexed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry whose row is gone must not hide the version before it."""
    index.open(LEVELDB)
    index.put(3000, 5)
    index.put(5, 55)
    index.close(durable=False)
    kept = index.rows - 2
    os.ftruncate(index.fd, kept * 17)
    index.rows = kept
    index.append(4000, 1234, 9)
    index.append(4001, 1235, 9)
    index.append(4002, 1236, 9)
    del index.model[3000]
    index.model.update({4000: (1234, 9), 4001: (1235, 9), 4002: (1236, 9), 5: (0, 0)})
    change(index, u64(0xDEAD), bytes(9))
    monkeypatch.setattr(leveldb_map, "_boot_id", lambda: "another boot")
    index.reopen(MEMORY)
    entry = index.map.get(5)
    assert entry is not None
    index.model[5] = entry[1:]
    index.close()
    opens_anew(index, caplog, "the machine went down while it was in use")


def test_a_good_end_outlives_the_machine(
    index: Indexed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leveldb_map, "_boot_id", lambda: "another boot")
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert not caplog.messages
    index.check([])


def files_of(index: Indexed, pattern: str) -> list[Path]:
    return sorted(directory_of(index).glob(pattern))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 3, len(content), 997):
        content[at] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("pattern", "harm"),
    [
        ("CURRENT", Path.unlink),
        ("CURRENT", _truncate),
        ("CURRENT", _empty),
        ("MANIFEST-*", Path.unlink),
        ("MANIFEST-*", _flip),
        ("*.ldb", Path.unlink),
    ],
)
def test_a_damaged_database_is_made_anew(
    index: Indexed,
    caplog: pytest.LogCaptureFixture,
    pattern: str,
    harm: Callable[[Path], None],
) -> None:
    index.open(LEVELDB)  # so that what the log held is in a table
    index.close()
    damage(index, b"unknown", b"")
    paths = files_of(index, pattern)
    assert paths
    for path in paths:
        harm(path)
    opens_anew(index, caplog, "making")


def test_flipped_bytes_in_a_log(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    """Without care LevelDB opens with what is before the damage, and says nothing."""
    logs = [path for path in files_of(index, "*.log") if path.stat().st_size > 20_000]
    assert logs
    for path in logs:
        _flip(path)
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert "making" in caplog.text
    index.check([])


def test_a_log_cut_short_loses_nothing(index: Indexed) -> None:
    """Its watermark is that of an earlier moment."""
    for path in files_of(index, "*.log"):
        _truncate(path)
    index.open(LEVELDB)
    index.check([])


def test_lost_logs_lose_nothing(index: Indexed) -> None:
    for path in files_of(index, "*.log"):
        path.unlink()
    index.open(LEVELDB)
    index.check([])


def test_half_of_a_removed_database(index: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    for path in files_of(index, "*"):
        if path.name != "LOCK":
            path.unlink()
    with caplog.at_level(logging.WARNING):
        index.open(LEVELDB)
    assert "it is not complete" in caplog.text
    index.check([])


def test_where_no_database_can_be_the_map_is_in_memory(
    index: Indexed, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(directory_of(index))
    directory_of(index).write_text("in the way")
    index.open(LEVELDB)
    assert not isinstance(index.map, LevelDbMap)
    assert "its map is kept in memory" in caplog.text
    index.check([])


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
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        index.open(LEVELDB)
        index.close()
        index.open(LEVELDB)
        index.map.discard()  # without a close
    assert len(os.listdir("/proc/self/fd")) == before
    index.open(LEVELDB)
