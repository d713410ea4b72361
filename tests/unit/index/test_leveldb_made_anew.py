"""The LevelDB map is trusted while it can be, and made anew from the index when not."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import plyvel
import pytest
from leveldb_kit import STATE, WATERMARK, change, directory_of, files_of, filled, u64
from map_kit import LEVELDB, MEMORY, Indexed

from fastvol.index import leveldb_map
from fastvol.index.leveldb_map import LevelDbMap


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Indexed]:
    made = filled(tmp_path)
    yield made
    made.close()


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


def test_another_index_after_a_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing but the file itself tells it apart: no row was noted when the map was new."""
    index = Indexed(tmp_path, LEVELDB)
    for key in range(1, 60):
        index.put(key, key)
    index.close(durable=False)
    os.close(index.fd)
    index.path.rename(tmp_path / "old")
    other = Indexed(tmp_path, MEMORY)
    for key in range(100, 200):
        other.put(key, 7)
    other.close()
    change(other, u64(0xDEAD), bytes(9))
    opens_anew(other, caplog, "it belongs to another index")
    os.close(other.fd)


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


def test_without_descriptors_it_is_kept_for_the_next_time(
    index: Indexed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = directory_of(index).stat().st_ino

    def refuse(*_: object, **__: object) -> None:
        raise plyvel.IOError(b"000005.ldb: Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("fastvol.index.database.plyvel.DB", refuse)
        index.open(LEVELDB)
    assert not isinstance(index.map, LevelDbMap)
    assert "its map is kept in memory" in caplog.text
    index.put(3000, 5)
    index.delete(2)
    index.reopen(LEVELDB)
    assert isinstance(index.map, LevelDbMap)
    assert directory_of(index).stat().st_ino == inode
    index.check([2])


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
