"""Free space: the grammar of the minimum, when it is low, and the watch's states."""

from pathlib import Path

import pytest

from fastvol.limits import DISK_STAT_FAILURES_MAX
from fastvol.store import free_space
from fastvol.store.free_space import DiskStatus, MinFreeSpace, SpaceWatch, disk_status


@pytest.mark.parametrize(
    ("text", "minimum"),
    [
        *[("1", MinFreeSpace(1.0)), (" 2.5 ", MinFreeSpace(2.5)), ("0", MinFreeSpace(0.0))],
        *[("100", MinFreeSpace(100.0)), ("1e1", MinFreeSpace(10.0))],
        *[("10GiB", MinFreeSpace(None, 10 * 2**30)), ("10 gb", MinFreeSpace(None, 10**10))],
        *[("1.5K", MinFreeSpace(None, 1500)), ("101b", MinFreeSpace(None, 101))],
        *[("1,000mi", MinFreeSpace(None, 1000 * 2**20)), ("1,000", MinFreeSpace(None, 1000))],
        *[("2t", MinFreeSpace(None, 2 * 10**12)), ("1EiB", MinFreeSpace(None, 2**60))],
    ],
)
def test_minimum_texts(text: str, minimum: MinFreeSpace) -> None:
    assert MinFreeSpace.parse(text) == minimum


@pytest.mark.parametrize(
    "text", ["", "101", "-1", "nan", "inf", "100b", "1xb", "GB", "1 2", "99eib", "1.2.3kb", "5%"]
)
def test_minimum_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        MinFreeSpace.parse(text)


def figures(free: int) -> DiskStatus:
    return DiskStatus("/d", all=1000, used=1000 - free, free=free, percent_free=free / 10)


def test_low_is_below_the_minimum() -> None:
    assert [MinFreeSpace(5.0).is_low(figures(f)) for f in (49, 50, 51)] == [True, False, False]
    assert [MinFreeSpace(None, 200).is_low(figures(f)) for f in (199, 200)] == [True, False]
    assert MinFreeSpace(5.0).reserved(figures(1)) == 50
    assert MinFreeSpace(None, 200).reserved(figures(1)) == 200


@pytest.mark.parametrize(
    ("minimum", "still_low", "enough"),
    [
        (MinFreeSpace(5.0), 54, 55),
        (MinFreeSpace(None, 200), 219, 220),
        (MinFreeSpace(99.0), 994, 995),
        (MinFreeSpace(100.0), 999, 1000),
        (MinFreeSpace(0.0), -1, 0),
    ],
)
def test_a_low_disk_recovers_with_a_little_more_than_the_minimum(
    minimum: MinFreeSpace, still_low: int, enough: int
) -> None:
    assert not minimum.is_recovered(figures(still_low))
    assert minimum.is_recovered(figures(enough))


def test_figures_of_a_real_disk(tmp_path: Path) -> None:
    status = disk_status(tmp_path, "ssd")
    assert status.all == status.used + status.free > 0
    assert status.percent_free + status.percent_used == pytest.approx(100, abs=0.001)
    assert (status.dir, status.disk_type, status.error) == (str(tmp_path), "ssd", "")


def test_figures_of_a_missing_directory(tmp_path: Path) -> None:
    status = disk_status(tmp_path / "gone")
    assert status.all == 0
    assert "No such file" in status.error


class Disk:
    """A file system whose answers a test dictates."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: DiskStatus | None = figures(500)
        monkeypatch.setattr(free_space._TimedStatus, "ask", lambda timed, seconds: self.answer)


def test_low_space_comes_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, watch = Disk(monkeypatch), SpaceWatch(tmp_path, "", MinFreeSpace(10.0))
    assert (watch.check(), watch.low, watch.available_bytes) == (False, False, 400)
    disk.answer = figures(99)
    assert (watch.check(), watch.low, watch.available_bytes) == (True, True, 0)
    assert (watch.check(), watch.low) == (False, True)
    disk.answer = figures(109)
    assert (watch.check(), watch.low) == (False, True)
    disk.answer = figures(110)
    assert (watch.check(), watch.low) == (True, False)


def test_a_silent_disk_becomes_unavailable_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, watch = Disk(monkeypatch), SpaceWatch(tmp_path, "", MinFreeSpace(10.0))
    watch.check()
    disk.answer = None
    for _ in range(DISK_STAT_FAILURES_MAX - 1):
        watch.check()
    assert not watch.unavailable
    watch.check()
    assert watch.unavailable
    assert watch.status == figures(500), "the last good figures hold"
    disk.answer = figures(300)
    for _ in range(DISK_STAT_FAILURES_MAX - 1):
        watch.check()
        assert watch.unavailable
    disk.answer = None
    watch.check()  # one failure starts the count of good checks anew
    disk.answer = figures(300)
    for _ in range(DISK_STAT_FAILURES_MAX):
        watch.check()
        assert watch.unavailable
    watch.check()
    assert not watch.unavailable


def test_a_hanging_file_system_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event

    release, calls = Event(), []

    def hang(directory: Path, disk_type: str) -> DiskStatus:
        calls.append(directory)
        release.wait(20)
        return figures(500)

    monkeypatch.setattr(free_space, "disk_status", hang)
    timed = free_space._TimedStatus(tmp_path, "")
    assert timed.ask(0.01) is None
    assert timed.ask(0.01) is None
    assert len(calls) == 1
    release.set()
    assert timed.ask(10) == figures(500)
