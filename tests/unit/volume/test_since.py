"""Finding what is newer than a moment: nothing newer is ever passed over."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_kit import create, needle, records, rows, set_append_time

from fastvol.errors import NeedleCorruptedError, StorageError
from fastvol.formats.index_entry import encode_row
from fastvol.volume.files import VolumeFiles
from fastvol.volume.live_files import live_files
from fastvol.volume.since import (
    find_first_since,
    last_append_ns_of_last_row,
    newest_append_ns,
)
from fastvol.volume.unrepaired import unrepaired
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

MAX = 2**64 - 1


def files_of(directory: Path) -> VolumeFiles:
    return VolumeFiles.of(directory, directory, "", 7)


def since(directory: Path, moment: int) -> int | None:
    with unrepaired(files_of(directory)) as raw:
        return find_first_since(raw, moment)


def timed(directory: Path, times: list[int], *, revision: int = 0, order: str = "") -> list[int]:
    """A volume of records with these append times; their offsets. ``order``: of the rows."""
    volume = create(directory)
    offsets = [
        volume.write(needle(key, b"x" * (key % 7 + 1))).offset for key in range(1, len(times) + 1)
    ]
    volume.close()
    for row, time in zip(rows(directory / "7.idx"), times, strict=True):
        set_append_time(directory / "7.dat", row.offset * 8, row.size, time)
    if revision:
        with (directory / "7.dat").open("r+b") as file:
            file.seek(4)
            file.write(struct.pack(">H", revision))
    if order == "backwards":
        entries = rows(directory / "7.idx")
        (directory / "7.idx").write_bytes(b"".join(encode_row(*e, 5) for e in reversed(entries)))
    return offsets


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_ascending_times(tmp_path: Path, count: int) -> None:
    times = [1000 + 10 * i for i in range(count)]
    offsets = timed(tmp_path, times)
    for at in range(count):
        assert since(tmp_path, times[at] - 1) == offsets[at]
        assert since(tmp_path, times[at]) == (offsets[at + 1] if at + 1 < count else None)
    assert since(tmp_path, 0) == offsets[0]
    assert since(tmp_path, MAX) is None
    with unrepaired(files_of(tmp_path)) as raw:
        assert last_append_ns_of_last_row(raw) == newest_append_ns(raw) == times[-1]


def test_nothing_in_it(tmp_path: Path) -> None:
    create(tmp_path).close()
    assert since(tmp_path, 0) is None
    with unrepaired(files_of(tmp_path)) as raw:
        assert last_append_ns_of_last_row(raw) == newest_append_ns(raw) == 0


def test_after_a_vacuum_the_lowest_newer_record_is_found(tmp_path: Path) -> None:
    """Bisecting these rows would answer with the last one, or with none."""
    offsets = timed(tmp_path, [50, 90, 10, 20, 30, 95], revision=1)
    assert since(tmp_path, 40) == offsets[0]
    assert since(tmp_path, 60) == offsets[1]
    assert since(tmp_path, 90) == offsets[5]
    assert since(tmp_path, 95) is None
    with unrepaired(files_of(tmp_path)) as raw:
        assert newest_append_ns(raw) == 95
    timed_again = tmp_path / "again"
    timed_again.mkdir()
    timed(timed_again, [50, 90, 10], revision=1)
    with unrepaired(files_of(timed_again)) as raw:
        assert (newest_append_ns(raw), last_append_ns_of_last_row(raw)) == (90, 10)


def test_rows_in_another_order_than_the_records(tmp_path: Path) -> None:
    """As an index made from a sorted one has them; the volume was never vacuumed."""
    offsets = timed(tmp_path, [10, 20, 30, 40], order="backwards")
    assert since(tmp_path, 25) == offsets[2]
    assert since(tmp_path, 5) == offsets[0]
    assert since(tmp_path, 40) is None
    with unrepaired(files_of(tmp_path)) as raw:
        assert (newest_append_ns(raw), last_append_ns_of_last_row(raw)) == (40, 10)


def test_a_real_vacuum(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in (9, 3, 7, 1, 5):
        volume.write(needle(key, b"data" * key))
    volume.delete(7, 0, 0)
    volume.write(needle(3, b"newest"))
    newest = volume.last_append_at_ns
    assert volume.compact(VacuumPlan()) is not None
    assert volume.commit_compaction()
    times = {n.append_at_ns: at for at, n in records((tmp_path / "7.dat").read_bytes())}
    for moment in [0, *times, newest]:
        wanted = [at for time, at in times.items() if time > moment]
        with live_files(volume) as raw:
            assert find_first_since(raw, moment) == (min(wanted) if wanted else None)
    volume.close()


def test_rows_without_a_position(tmp_path: Path) -> None:
    """Deletions on remote storage tell no time, wherever they stand; upstream finds nothing behind
    what is newer when they are last."""
    offsets = timed(tmp_path, [10, 20, 30])
    idx = (tmp_path / "7.idx").read_bytes()
    row = [idx[at : at + 17] for at in range(0, len(idx), 17)]
    gone = encode_row(5, 0, -1, 5)
    for content in (
        [*row, gone, gone, gone, gone],
        [gone, gone, *row],
        [row[0], gone, gone, gone, row[1], row[2]],
        [gone, row[0], gone, row[1], gone, row[2], gone],
        [row[0], *[gone] * 3000, row[1], row[2], *[gone] * 3000],
    ):
        (tmp_path / "7.idx").write_bytes(b"".join(content))
        for moment, wanted in ((5, 0), (10, 1), (19, 1), (20, 2), (29, 2)):
            assert since(tmp_path, moment) == offsets[wanted], moment
        assert since(tmp_path, 30) is None
        with unrepaired(files_of(tmp_path)) as raw:
            assert newest_append_ns(raw) == 30
            last = 0 if content[-1] == gone else 30
            assert last_append_ns_of_last_row(raw) == last
    (tmp_path / "7.idx").write_bytes(gone * 5)
    assert since(tmp_path, 0) is None


def test_tombstones_count(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"x"))
    before = volume.last_append_at_ns
    end = volume.dat_size
    volume.delete(1, 0, 0)
    with live_files(volume) as raw:
        assert find_first_since(raw, before) == end
        assert newest_append_ns(raw) == volume.last_append_at_ns
    volume.close()


@pytest.mark.parametrize("revision", [0, 1])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, revision: int) -> None:
    offsets = timed(tmp_path, [10, 20, 30], revision=revision)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(offsets[1] + 12)
        file.write(b"\0\0\x01\0")
    with pytest.raises(NeedleCorruptedError, match=f"^read entry 1 offset {offsets[1]}: size mis"):
        since(tmp_path, 5)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.truncate(offsets[1] + 3)
    with pytest.raises(NeedleCorruptedError, match=f"^read entry 1 offset {offsets[1]}: EOF"):
        since(tmp_path, 5)


def test_a_partial_row_and_old_versions_are_refused(tmp_path: Path) -> None:
    timed(tmp_path, [10, 20])
    with (tmp_path / "7.idx").open("ab") as file:
        file.write(b"xy")
    with pytest.raises(StorageError, match=r"^unexpected file .*7\.idx size: 36$"):
        since(tmp_path, 5)
    old = tmp_path / "old"
    old.mkdir()
    create(old, version=2).close()
    with pytest.raises(StorageError, match="version 2 carry no append time"):
        since(old, 5)


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    moment=st.integers(0, 41),
    vacuumed=st.booleans(),
)
def test_nothing_newer_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], moment: int, vacuumed: bool
) -> None:
    directory = tmp_path_factory.mktemp("since")
    if not vacuumed:
        times = sorted(times)
    offsets = timed(directory, times, revision=int(vacuumed))
    newer = [at for at, time in zip(offsets, times, strict=True) if time > moment]
    assert since(directory, moment) == (min(newer) if newer else None)


def test_the_files_of_a_closed_volume(tmp_path: Path) -> None:
    volume: Volume = create(tmp_path)
    volume.close()
    with pytest.raises(StorageError, match="is closed"), live_files(volume):
        pass
