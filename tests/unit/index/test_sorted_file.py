"""The sorted file: believed while it is younger than its index and says the same, else made anew."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from map_kit import MEMORY, SORTED, Indexed

from fastvol._cffi.sorted_map import SortedMap
from fastvol.formats.index_entry import iter_rows
from fastvol.index import sorted_file


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Indexed]:
    """Needles in no order, some of them deleted."""
    made = Indexed(tmp_path, MEMORY)
    for key in (9, 3, 2**63, 5, 1, 7):
        made.put(key, key % 4)
    made.delete(5)
    make_older(made)
    made.close()
    yield made
    made.close()


def make_older(index: Indexed) -> None:
    """The index, so that the sorted file is strictly younger."""
    os.utime(index.path, ns=(1, os.stat(index.path).st_mtime_ns - 10**9))


def path_of(index: Indexed) -> Path:
    return index.path.with_suffix(".sdx")


def test_its_rows(index: Indexed) -> None:
    """What weed reads: live rows in the index's layout, ascending."""
    index.open(SORTED)
    assert isinstance(index.map, SortedMap)
    rows = list(iter_rows(path_of(index).read_bytes(), 5))
    assert [row.key for row in rows] == [1, 3, 7, 9, 2**63]
    assert {row.key: (row.offset, row.size) for row in rows} == index.model
    assert not list(index.path.parent.glob("*.tmp"))


def test_a_young_one_is_kept(index: Indexed) -> None:
    index.open(SORTED)
    before = path_of(index).stat()
    index.reopen(SORTED)
    assert path_of(index).stat().st_ino == before.st_ino
    index.delete(7)
    make_older(index)
    index.reopen(SORTED)
    assert path_of(index).stat().st_ino == before.st_ino
    assert index.map.get(7) == (7, 6, -1)
    index.check([5, 7])


def test_an_older_one_is_made_anew(index: Indexed) -> None:
    index.open(SORTED)
    inode = path_of(index).stat().st_ino
    index.close()
    status = index.path.stat()
    os.utime(path_of(index), ns=(1, status.st_mtime_ns))  # as old is not younger
    index.open(SORTED)
    assert path_of(index).stat().st_ino != inode
    index.check([5])


@pytest.mark.parametrize("harm", ["row missing", "size", "order", "cut", "empty", "text"])
def test_one_that_says_something_else_is_made_anew(
    index: Indexed, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Upstream believes the times alone."""
    index.open(SORTED)
    index.close()
    content = path_of(index).read_bytes()
    path_of(index).write_bytes(
        {
            "row missing": content[17:],
            "size": content[:16] + b"\x77" + content[17:],
            "order": content[17:] + content[:17],
            "cut": content[:-1],
            "empty": b"",
            "text": b"x" * 170,
        }[harm]
    )
    with caplog.at_level(logging.WARNING):
        index.open(SORTED)
    assert "its rows are not those of the index" in caplog.text
    assert path_of(index).read_bytes() == content
    index.check([5])


def test_where_none_can_be_written_the_map_is_in_memory(
    index: Indexed, caplog: pytest.LogCaptureFixture
) -> None:
    path_of(index).mkdir()
    index.open(SORTED)
    assert not isinstance(index.map, SortedMap)
    assert "its map is kept in memory" in caplog.text
    assert not list(index.path.parent.glob("*.tmp"))
    index.check([5])


def test_a_failed_write_leaves_the_old_one(index: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    index.open(SORTED)
    index.close()
    before = path_of(index).read_bytes()
    os.utime(path_of(index), (1, 1))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(sorted_file, "write_sorted", fail)
    index.open(SORTED)
    assert not isinstance(index.map, SortedMap)
    assert path_of(index).read_bytes() == before
    assert not list(index.path.parent.glob("*.tmp"))
