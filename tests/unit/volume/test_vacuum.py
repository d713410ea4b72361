"""Vacuum of one volume: what is kept, what goes, and that nobody notices."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from volume_kit import (
    APPEND_TIME,
    cookie_of,
    create,
    named,
    needle,
    now_and_reopened,
    open_volume,
    records,
    reopen,
    rows,
    set_append_time,
    snapshot,
)

from fastvol._cffi.vacuum import Order
from fastvol.errors import (
    NeedleCorruptedError,
    NeedleNotFoundError,
    NoSpaceError,
    StorageError,
    VolumeReadOnlyError,
)
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL
from fastvol.volume import vacuum, vacuum_files
from fastvol.volume import volume as volume_module
from fastvol.volume.vacuum import VacuumPlan, VacuumReport
from fastvol.volume.volume import Volume

HOUR_NS = 3600 * 10**9
BOTH_ORDERS = pytest.mark.parametrize("order", list(Order))


def vacuumed(volume: Volume, **plan: Any) -> VacuumReport:
    report = volume.compact(VacuumPlan(**plan))
    assert report is not None
    assert volume.commit_compaction()
    return report


def temporary_files(directory: Path) -> set[str]:
    return {path.suffix for path in directory.iterdir()} - {".dat", ".idx", ".vif"}


@BOTH_ORDERS
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
def test_only_what_is_alive_is_kept(tmp_path: Path, order: Order, version: int, width: int) -> None:
    volume = create(tmp_path, version=version, offset_width=width)
    for key in (9, 3, 5, 7, 1):
        volume.write(needle(key, b"first %d" % key))
    volume.write(needle(5, b"second 5"))
    volume.write(needle(6))
    volume.delete(3, cookie_of(3), 0)
    before = {key: volume.read(key) for key in (1, 5, 7, 9)}
    report = vacuumed(volume, order=order)
    assert (report.records, report.unreadable, report.carried) == (5, 0, 0)
    for found in now_and_reopened(volume):
        assert {key: found.read(key) for key in before} == before
        assert found.read(6).size == 0
        with pytest.raises(NeedleNotFoundError):
            found.read(3)
        assert found.super_block.compaction_revision == 1
        assert found.garbage_ratio() == 0
        assert not found.read_only
    kept = [row.key for row in rows(tmp_path / "7.idx", width)]
    assert kept == ([1, 5, 6, 7, 9] if order is Order.BY_KEY else [9, 7, 1, 5, 6])
    assert [one.id for _, one in records((tmp_path / "7.dat").read_bytes(), version)] == kept
    assert temporary_files(tmp_path) == set()


def test_fields_and_times_are_kept(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"gone"))
    flags = Needle.HAS_PAIRS | Needle.HAS_TTL
    volume.write(named(2, b"kept", flags=flags, pairs=b'{"A":"b"}', ttl=TTL(3, 3)))
    volume.delete(1, cookie_of(1), 0)
    before = volume.read(2)
    vacuumed(volume)
    assert volume.read(2) == before


def test_an_empty_volume(tmp_path: Path) -> None:
    volume = create(tmp_path)
    assert vacuumed(volume).records == 0
    assert (volume.dat_size, volume.idx_size) == (8, 0)
    volume.write(needle(1, b"first"))
    assert reopen(volume).read(1).data == b"first"


def test_many_needles_and_large_ones(tmp_path: Path) -> None:
    """More than a batch of the copy, and records larger than its buffer."""
    volume = create(tmp_path)
    large = os.urandom(3 << 20)
    for key in range(1, 5001):
        volume.write(needle(key, b"%d" % key))
    volume.write(needle(6000, large))
    for key in range(1, 5001, 2):
        volume.delete(key, cookie_of(key), 0)
    assert vacuumed(volume).records == 2501
    for found in now_and_reopened(volume):
        assert all(found.read(key).data == b"%d" % key for key in range(2, 5001, 2))
        assert found.read(6000).data == large
        assert found.counters.file_count == 2501


@BOTH_ORDERS
def test_what_happens_meanwhile_is_not_lost(tmp_path: Path, order: Order) -> None:
    volume = create(tmp_path)
    for key in range(1, 6):
        volume.write(needle(key, b"old %d" % key))
    volume.compact(VacuumPlan(order=order))
    volume.write(needle(2, b"new 2"))
    volume.delete(3, cookie_of(3), 0)
    volume.delete(4, cookie_of(4), 0)
    volume.write(needle(4, b"again 4"))
    volume.write(needle(8))
    volume.write(needle(9, b"young"))
    volume.delete(9, cookie_of(9), 0)
    volume.commit_compaction()
    for found in now_and_reopened(volume):
        assert {key: found.read(key).data for key in (1, 2, 4, 5)} == {
            1: b"old 1",
            2: b"new 2",
            4: b"again 4",
            5: b"old 5",
        }
        assert found.read(8).size == 0
        for key in (3, 9):
            with pytest.raises(NeedleNotFoundError):
                found.read(key)
    reopened = open_volume(tmp_path)
    reopened.write(needle(8, b"its cookie is still known"))


def test_changes_to_a_volume_whose_index_was_empty(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.compact(VacuumPlan())
    volume.write(needle(1, b"first"))
    volume.commit_compaction()
    assert reopen(volume).read(1).data == b"first"


def test_readers_and_writers_work_throughout(tmp_path: Path) -> None:
    volume = create(tmp_path)
    content = {key: os.urandom(2000) for key in range(1, 301)}
    for key, data in content.items():
        volume.write(needle(key, data))
    stop = threading.Event()
    failures: list[BaseException] = []
    written: dict[int, bytes] = {}

    def guarded(work: Callable[[int], None]) -> threading.Thread:
        def run() -> None:
            turn = 0
            try:
                while not stop.is_set():
                    work(turn)
                    turn += 1
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def read(turn: int) -> None:
        key = turn % 300 + 1
        stored = volume.load(key, meta_above=0)
        volume.verify(stored)
        assert volume.read(key).data == content[key]

    def write(turn: int) -> None:
        key = 1000 + turn % 50
        data = b"%d %d" % (key, turn)
        volume.write(needle(key, data))
        written[key] = data
        if turn % 7 == 0:
            volume.delete(key, cookie_of(key), 0)
            del written[key]

    def commit(_: int) -> None:
        volume.write(needle(5000, os.urandom(8)))
        volume.commit()

    threads = [guarded(work) for work in (read, write, commit)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        vacuumed(volume)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures
    for found in now_and_reopened(volume):
        assert {key: found.read(key).data for key in content | written} == content | written


# --- what a vacuum does not keep, and what it does ---------------------------------------------


def test_a_needle_goes_when_a_read_would_call_it_expired(tmp_path: Path) -> None:
    """By its own TTL and append time; upstream goes by the volume's and drops too much."""
    volume = create(tmp_path)
    for key in (1, 2):
        flags = Needle.HAS_TTL
        volume.write(named(key, b"x", flags=flags, ttl=TTL(1, 2), last_modified=1))
    offsets = {one.id: (at, one.size) for at, one in records((tmp_path / "7.dat").read_bytes())}
    set_append_time(tmp_path / "7.dat", *offsets[1], time.time_ns() - 2 * HOUR_NS)
    volume = reopen(volume)
    report = vacuumed(volume)
    assert (report.records, report.expired) == (1, 1)
    assert volume.read(2).data == b"x"


def test_a_damaged_payload_is_carried_over_as_it_is(tmp_path: Path) -> None:
    """It may be the only copy of what can still be saved of it."""
    volume = create(tmp_path)
    for key in (1, 2, 3):
        volume.write(needle(key, b"payload %d" % key))
    offset = next(at for at, one in records((tmp_path / "7.dat").read_bytes()) if one.id == 2)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(offset + 22)
        file.write(b"\xff")
    report = vacuumed(volume)
    assert (report.records, report.carried, report.unreadable) == (3, 1, 0)
    with pytest.raises(NeedleCorruptedError, match="invalid CRC"):
        volume.read(2)
    assert volume.read(3).data == b"payload 3"


def test_an_entry_that_leads_to_no_record_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = create(tmp_path)
    for key in (1, 2, 3):
        volume.write(needle(key, b"payload %d" % key))
    offset = next(at for at, one in records((tmp_path / "7.dat").read_bytes()) if one.id == 2)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(offset + 12)
        file.write((999).to_bytes(4, "big"))
    report = vacuumed(volume)
    assert (report.records, report.unreadable) == (2, 1)
    assert f"dropping unreadable needle key=2 offset={offset}" in caplog.text
    with pytest.raises(NeedleNotFoundError):
        volume.read(2)


def test_an_index_in_another_directory(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    data.mkdir()
    index.mkdir()
    volume = create(data, index_directory=index)
    volume.write(needle(1, b"one"))
    volume.write(needle(2, b"two"))
    volume.delete(1, cookie_of(1), 0)
    vacuumed(volume)
    assert [row.key for row in rows(index / "7.idx")] == [2]
    assert {path.name for path in data.iterdir()} == {"7.dat", "7.vif"}
    assert {path.name for path in index.iterdir()} == {"7.idx"}
    assert reopen(volume).read(2).data == b"two"


def test_maps_of_the_old_index_go(tmp_path: Path) -> None:
    volume = create(tmp_path)
    (tmp_path / "7.ldb").mkdir()
    (tmp_path / "7.sdx").write_bytes(b"x")
    vacuumed(volume)
    assert temporary_files(tmp_path) == set()


def test_the_new_files_have_the_owner_and_mode_of_the_old_ones(tmp_path: Path) -> None:
    volume = create(tmp_path)
    (tmp_path / "7.dat").chmod(0o600)
    (tmp_path / "7.idx").chmod(0o640)
    vacuumed(volume)
    assert (tmp_path / "7.dat").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "7.idx").stat().st_mode & 0o777 == 0o640


# --- marks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("reopened", [False, True])
def test_a_marked_volume_stays_marked(tmp_path: Path, persist: bool, reopened: bool) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"one"))
    volume.write(needle(2, b"two"))
    volume.delete(2, cookie_of(2), 0)
    volume.mark_read_only(can_delete=False, persist=persist)
    if reopened:
        volume = reopen(volume)
    vacuumed(volume)
    assert volume.read(1).data == b"one"
    assert volume.read_only == (persist or not reopened)
    if volume.read_only:
        with pytest.raises(VolumeReadOnlyError):
            volume.write(needle(3, b"three"))
        volume.mark_writable()
    volume.write(needle(3, b"three"))
    assert reopen(volume).read(3).data == b"three"


def test_a_damaged_volume_is_left_alone(tmp_path: Path) -> None:
    """Its index does not tell what is alive: the rest would be gone for good."""
    volume = create(tmp_path)
    for key in (1, 2, 3):
        volume.write(needle(key, b"payload %d" % key))
    volume.close()
    os.truncate(tmp_path / "7.dat", 60)
    volume = open_volume(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(StorageError, match="is damaged and must be repaired first: idx references"):
        volume.compact(VacuumPlan())
    assert snapshot(tmp_path) == before


# --- driving it ----------------------------------------------------------------------------------


def test_progress_and_pace_see_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vacuum, "VACUUM_STEP_BYTES", 1000)
    volume = create(tmp_path)
    for key in range(1, 101):
        volume.write(needle(key, b"x" * 100))
    offsets: list[int] = []
    paced: list[int] = []
    volume.compact(VacuumPlan(progress=lambda at: not offsets.append(at), pace=paced.append))
    assert sum(paced) == volume.dat_size - 8
    assert max(paced) < 1200
    assert offsets == sorted(offsets)
    assert len(offsets) > 10


def test_a_vacuum_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"one"))
    before = snapshot(tmp_path)
    with pytest.raises(StorageError, match="interrupted"):
        volume.compact(VacuumPlan(progress=lambda _: False))
    assert snapshot(tmp_path) == before
    vacuumed(volume)


def test_cleanup_takes_back_what_was_built(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"one"))
    before = snapshot(tmp_path)
    volume.compact(VacuumPlan())
    assert temporary_files(tmp_path) == {".cpd", ".cpx"}
    volume.cleanup_compaction()
    volume.cleanup_compaction()
    assert snapshot(tmp_path) == before
    with pytest.raises(StorageError, match=r"volume 7 compact swap aborted: missing \.cpd/\.cpx"):
        volume.commit_compaction()
    (tmp_path / "7.cpc").touch()
    with pytest.raises(StorageError, match="refusing cleanup while commit marker present"):
        volume.cleanup_compaction()


def test_a_stray_marker_goes_before_the_copy_begins(tmp_path: Path) -> None:
    """With a half-written .cpd beside it the next start would roll that one forward."""
    volume = create(tmp_path)
    (tmp_path / "7.cpc").touch()
    seen = []
    volume.compact(VacuumPlan(progress=lambda _: not seen.append((tmp_path / "7.cpc").exists())))
    assert seen
    assert not any(seen)


def test_one_vacuum_at_a_time(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"one"))
    answers: list[object] = []

    def progress(_: int) -> bool:
        answers.append(volume.compact(VacuumPlan()))
        answers.append(volume.commit_compaction())
        with pytest.raises(StorageError, match="volume 7 is compacting"):
            volume.destroy()
        with pytest.raises(StorageError, match="volume 7 is compacting"):
            volume.cleanup_compaction()
        return True

    volume.compact(VacuumPlan(progress=progress))
    assert answers[:2] == [None, False]
    volume.commit_compaction()


def test_no_room(tmp_path: Path) -> None:
    volume = create(tmp_path)
    with pytest.raises(NoSpaceError, match=r"insufficient free space for compaction: need \d+ "):
        volume.compact(VacuumPlan(preallocate=1 << 60))
    assert temporary_files(tmp_path) == set()


def test_closing_takes_back_what_was_built(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.compact(VacuumPlan())
    volume.close()
    assert temporary_files(tmp_path) == set()


# --- failures ------------------------------------------------------------------------------------


class _Failing:
    """Fails the n-th call of any of some functions, once."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named_ones: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                raise OSError(5, "Input/output error")
            return real(*arguments, **named_ones)

        return call


def test_an_error_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call fails, then the second, and so on, until a run passes clean."""
    for at in range(1, 100):
        directory = tmp_path / str(at)
        directory.mkdir()
        if not _vacuum_with_failing_call(directory, monkeypatch, at):
            break
    assert 15 < at < 60


def _vacuum_with_failing_call(directory: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> bool:
    """Either the old files go on as if nothing had been, or the volume is read-only until the
    swap is finished; each reader gets its bytes whatever happens.  Whether a call failed."""
    volume = create(directory)
    for key in range(1, 21):
        volume.write(needle(key, b"payload %d" % key))
    for key in range(1, 11):
        volume.delete(key, cookie_of(key), 0)
    failing = _Failing(at)
    with monkeypatch.context() as patched:
        for owner, name in (
            (os, "fsync"),
            (os, "open"),
            (Path, "replace"),
            (Path, "unlink"),
            (vacuum_files, "sync_directory"),
            (vacuum, "create_built"),
            (vacuum, "open_file"),
        ):
            patched.setattr(owner, name, failing.wrap(getattr(owner, name)))
        try:
            vacuumed(volume)
        except StorageError as error:
            assert "nput/output error" in str(error)
    for key in range(11, 21):
        assert volume.read(key).data == b"payload %d" % key
    if volume.read_only:
        assert "a vacuum could not be ended" in volume.read_only_reasons[0].words
        with pytest.raises(VolumeReadOnlyError):
            volume.write(needle(30, b"more"))
        volume.mark_writable()
    volume.write(needle(30, b"more"))
    vacuumed(volume)
    volume = reopen(volume)
    assert not volume.read_only
    assert sorted(row.key for row in rows(directory / "7.idx")) == [*range(11, 21), 30]
    assert volume.read(30).data == b"more"
    assert temporary_files(directory) == set()
    volume.close()
    return failing.calls >= at


def test_writers_are_told_when_the_swap_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that waits for the swap must not end up in the old, nameless file."""
    volume = create(tmp_path)
    volume.write(needle(1, b"one"))
    volume.compact(VacuumPlan())
    outcome: list[BaseException] = []

    def write() -> None:
        try:
            volume.write(needle(2, b"two"))
        except StorageError as error:
            outcome.append(error)

    waiting = threading.Thread(target=write)

    def fail(*_: object, **__: object) -> None:
        waiting.start()
        time.sleep(0.1)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(vacuum, "swap_in", fail)
    with pytest.raises(StorageError, match="a vacuum could not be ended"):
        volume.commit_compaction()
    waiting.join(10)
    assert [type(error) for error in outcome] == [VolumeReadOnlyError]
    assert volume.read(1).data == b"one"


def test_append_times_keep_rising_over_a_vacuum(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(needle(5, b"five"))
    volume.write(needle(1, b"one, later and with a smaller key"))
    newest = volume.last_append_at_ns
    vacuumed(volume)
    assert volume.last_append_at_ns >= newest
    volume.write(needle(6, b"six"))
    dat = (tmp_path / "7.dat").read_bytes()
    assert int.from_bytes(dat[APPEND_TIME], "big") > newest


def test_whatever_fails_after_the_swap_the_old_files_take_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug, too: what is acknowledged in a nameless file is gone with the process."""
    volume = create(tmp_path)
    volume.write(needle(1, b"one"))
    volume.compact(VacuumPlan())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(volume_module, "open_volume", fail)
        with pytest.raises(StorageError, match="a vacuum could not be ended: a bug"):
            volume.commit_compaction()
    with pytest.raises(VolumeReadOnlyError):
        volume.write(needle(2, b"two"))
    assert volume.read(1).data == b"one"
    volume.mark_writable()
    volume.write(needle(2, b"two"))
    assert reopen(volume).read(2).data == b"two"
