"""Every kind of needle map answers alike, and each opens what another left."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from map_kit import KINDS, LEVELDB, MEMORY, SORTED, Indexed

from fastvol.errors import DiskIOError
from fastvol.index import leveldb_map

KEYS = st.one_of(st.integers(0, 40), st.integers(2**64 - 40, 2**64 - 1), st.integers(0, 2**64 - 1))
SIZES = st.one_of(st.just(0), st.integers(1, 100), st.integers(0, 2**31 - 1))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, SIZES),
        st.tuples(st.just("delete"), KEYS, st.just(0)),
        st.tuples(st.just("open"), st.sampled_from(KINDS), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, first=st.sampled_from(KINDS), width=st.sampled_from((4, 5)))
def test_all_kinds_answer_alike(
    steps: list[tuple[str, object, int]], first: str, width: int
) -> None:
    """Puts, deletions and openings in another kind, against a dict."""
    with tempfile.TemporaryDirectory() as directory:
        index = Indexed(Path(directory), first, width)
        touched: list[int] = [7]
        for what, subject, size in steps:
            if what == "open":
                index.reopen(str(subject))
                continue
            key = int(str(subject))
            touched.append(key)
            if what == "delete":
                index.delete(key)
            elif index.kind == SORTED:
                with pytest.raises(DiskIOError):
                    index.map.set(key, 1, size)
            else:
                index.put(key, size)
        index.check(touched)
        for kind in KINDS:
            index.reopen(kind)
            index.check(touched)
        index.close()


@pytest.mark.parametrize("kind", KINDS)
def test_many_needles(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one batch, one block and one watermark; deletions survive every opening."""
    monkeypatch.setattr(leveldb_map, "LEVELDB_WATERMARK_ROWS", 700)
    index = Indexed(tmp_path, MEMORY if kind == SORTED else kind)
    keys = [key * 7919 % 10_007 for key in range(5_000)]
    for key in keys:
        index.put(key, key % 50)
    index.reopen(kind)
    for key in keys[::3]:
        index.delete(key)
    index.check(keys)
    for after in KINDS:
        index.reopen(after)
        index.check(keys)
    index.close()


@pytest.mark.parametrize("kind", [MEMORY, LEVELDB])
def test_the_size_of_a_deleted_needle_is_known_until_the_map_is_made_anew(
    tmp_path: Path, kind: str
) -> None:
    index = Indexed(tmp_path, kind)
    index.put(1, 70)
    index.put(2, 0)
    index.delete(1)
    index.delete(2)
    assert index.map.get(1) == (1, 1, -70)
    assert index.map.get(2) == (2, 2, -1)
    assert index.map.delete(1) is None and index.map.remove(2) and not index.map.remove(2)
    index.close()


def counts(index: Indexed) -> tuple[int, int, int, int, int]:
    counters = index.counters
    return (
        counters.file_count,
        counters.deleted_count,
        counters.content_size,
        counters.deleted_size,
        counters.max_file_key,
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (MEMORY, (7, 5, 95, 32, 10)),
        (LEVELDB, (10, 8, 95, 32, 10)),
        (SORTED, (10, 8, 95, 32, 10)),
    ],
)
def test_counters_at_load_are_upstreams(
    tmp_path: Path, kind: str, expected: tuple[int, ...]
) -> None:
    """The rows with which weed 4.48 was asked."""
    index = Indexed(tmp_path, MEMORY)
    for key, size in (
        (1, 11), (2, 0), (2, -1), (9, 0), (9, -1), (10, 0), (10, 0), (10, 32), (10, -1), (10, 52),
    ):  # fmt: skip
        index.append(key, index.rows + 1, size)
    index.reopen(kind)
    assert counts(index) == expected
    index.close()


ROWS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3), st.integers(-3, 5)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_counting_backwards_is_exact(rows: list[tuple[int, int, int]]) -> None:
    """Against the backward walk with a set, whatever the rows are."""
    files = deletions = file_bytes = deletion_bytes = 0
    seen = set()
    for key, _, size in reversed(rows):
        files += 1
        file_bytes += max(size, 0)
        if key in seen:
            deletions += 1
            deletion_bytes += max(size, 0)
        elif size <= 0:
            deletions += 1
        seen.add(key)
    with tempfile.TemporaryDirectory() as directory:
        index = Indexed(Path(directory), MEMORY)
        for row in rows:
            index.append(*row)
        index.reopen(SORTED)
        expected = (files, deletions, file_bytes, deletion_bytes, max(seen, default=0))
        assert counts(index) == expected
        index.close()
