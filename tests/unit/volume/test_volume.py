"""A volume's life: marks, opening anew, closing under readers and writers, syncs."""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from volume_kit import create, named, needle, now_and_reopened, open_volume, reopen, snapshot

from fastvol._cffi import volume as native
from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.volume import NativeVolume
from fastvol.errors import (
    DiskIOError,
    FastvolError,
    NeedleNotFoundError,
    StorageError,
    VolumeClosedError,
    VolumeReadOnlyError,
)
from fastvol.formats import volume_info
from fastvol.formats.ttl import TTL
from fastvol.volume.volume import BusyVolumeError, Volume

SECONDS_MAX = 20


def words(volume: Volume) -> list[str]:
    return [reason.words for reason in volume.read_only_reasons]


# --- marks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("can_delete", [False, True])
def test_marking_read_only(tmp_path: Path, persist: bool, can_delete: bool) -> None:
    volume = create(tmp_path)
    for key in (1, 2, 3):
        volume.write(named(key, b"x"))
    since = time.time()
    assert not volume.mark_read_only(can_delete=can_delete, persist=persist)
    assert volume.read_only
    assert words(volume) == ["marked read-only by an operator"]
    assert abs(volume.read_only_reasons[0].since - since) < 5
    with pytest.raises(VolumeReadOnlyError, match=r"^volume 7 is read only$"):
        volume.write(named(9, b"x"))
    if can_delete:
        assert volume.delete(1, 0, 0) > 0
    else:
        with pytest.raises(VolumeReadOnlyError, match=r"^volume 7 is read only$"):
            volume.delete(1, 0, 0)
    volume = reopen(volume)
    assert volume.read_only is persist
    assert volume.read_only_can_delete is (persist and can_delete)
    assert volume.read(2).data == b"x"


def test_marking_writable_always_persists(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.mark_read_only(can_delete=False, persist=True)
    assert not volume.mark_writable(), "its files were open for writing all the time"
    volume.write(named(1, b"x"))
    for current in now_and_reopened(volume):
        assert not current.read_only
        assert words(current) == []


def test_a_volume_opened_read_only_is_opened_anew(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"one"))
    volume.mark_read_only(can_delete=False, persist=True)
    volume.close()
    with (tmp_path / "7.dat").open("ab") as file:
        file.write(b"\x01" * 33)  # a torn write
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    assert len(words(volume)) == 2, "the mark and the damage"
    assert snapshot(tmp_path) == before
    old = volume.native
    assert volume.mark_writable()
    assert volume.native is not old
    assert (tmp_path / "7.dat").stat().st_size == volume.dat_size == 8 + 64
    volume.write(named(1, b"two"))
    with pytest.raises(NativeFaultError):
        old.delete(1, 0, 0)  # whoever still has the old one cannot change anything by it
    assert reopen(volume).read(1).data == b"two"


def test_deletes_may_be_allowed_on_a_volume_opened_read_only(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"one"))
    volume.mark_read_only(can_delete=False, persist=True)
    volume = reopen(volume)
    assert volume.mark_read_only(can_delete=True, persist=False)
    assert volume.delete(1, 0, 0) > 0
    with pytest.raises(VolumeReadOnlyError):
        volume.write(named(2, b"x"))
    volume = reopen(volume)
    assert volume.no_write_or_delete, "the allowance was not persisted"
    with pytest.raises(NeedleNotFoundError):
        volume.read(1)


def test_a_damaged_volume_takes_no_mark_that_allows_changes(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in (1, 2, 3):
        volume.write(named(key, b"x" * 50))
    volume.close()
    os.truncate(tmp_path / "7.dat", 8 + 40)  # two whole records are missing
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    with pytest.raises(StorageError, match=r"^volume 7 reopen idx for write: idx references end="):
        volume.mark_read_only(can_delete=True, persist=True)
    with pytest.raises(StorageError, match=r"^volume 7 cannot be marked writable: idx references"):
        volume.mark_writable()
    assert volume.no_write_or_delete
    volume.close()
    assert snapshot(tmp_path) == before


def test_a_mark_that_cannot_be_persisted(tmp_path: Path) -> None:
    volume = create(tmp_path)
    (tmp_path / "7.vif").chmod(0o444)
    with pytest.raises(
        StorageError, match=r"^volume 7 persist read-only: failed to check .*not wri"
    ):
        volume.mark_read_only(can_delete=False, persist=True)
    assert volume.read_only, "but it holds until the next start"
    assert not volume.info.read_only
    with pytest.raises(StorageError, match=r"^volume 7 persist writable: failed to check"):
        volume.mark_writable()
    assert volume.read_only


def test_marks_renew_the_expiry_of_a_ttl_volume(tmp_path: Path) -> None:
    volume = create(tmp_path, ttl=TTL.parse("3d"))
    volume.info.expire_at_sec = 1
    volume.mark_read_only(can_delete=False, persist=True)
    info = volume_info.load(tmp_path / "7.vif")
    assert info is not None
    assert info.expire_at_sec == pytest.approx(time.time() + 3 * 86400, abs=60)


def test_a_full_disk_forbids_writes_only(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x"))
    volume.disk_space_low = True
    assert volume.read_only
    assert words(volume) == ["free disk space is below the minimum"]
    with pytest.raises(VolumeReadOnlyError):
        volume.write(named(2, b"x"))
    assert volume.delete(1, 0, 0) > 0
    volume.disk_space_low = False
    assert not volume.read_only
    volume.write(named(2, b"x"))


def test_after_low_disk_space_was_set_no_write_comes(tmp_path: Path) -> None:
    """Whoever looks at a volume before destroying it relies on that."""
    volume = create(tmp_path)
    stop = threading.Event()

    def writer(start: int) -> None:
        key = start
        while not stop.is_set():
            try:
                volume.write(needle(key, b"x" * 300))
            except VolumeReadOnlyError:
                continue
            key += 4

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(writer, start) for start in range(1, 5)]
        try:
            for _ in range(50):
                volume.disk_space_low = True
                before = volume.dat_size
                time.sleep(0.001)
                assert volume.dat_size == before
                volume.disk_space_low = False
        finally:
            stop.set()
        for future in futures:
            future.result(SECONDS_MAX)


# --- syncs ---------------------------------------------------------------------------------------


def failing_sync(monkeypatch: pytest.MonkeyPatch, *, times: int, on_index: bool = False) -> None:
    """The kernel reports a lost page a limited number of times, then everything is fine."""
    left = [times]
    real = NativeVolume.sync

    def sync(volume: NativeVolume) -> None:
        if left[0]:
            left[0] -= 1
            raise NativeFaultError(native.IO_ERROR, sys_errno=5, on_index=on_index)
        real(volume)

    monkeypatch.setattr(NativeVolume, "sync", sync)


@pytest.mark.parametrize("on_index", [False, True])
def test_a_failed_sync_makes_the_volume_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_index: bool
) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x"))
    failing_sync(monkeypatch, times=1, on_index=on_index)
    path = tmp_path / ("7.idx" if on_index else "7.dat")
    text = f"sync {path}: input/output error"
    with pytest.raises(DiskIOError) as failed:
        volume.commit()
    assert str(failed.value) == text
    assert words(volume) == [text]
    with pytest.raises(VolumeReadOnlyError):
        volume.write(named(2, b"x"))
    assert volume.read(1).data == b"x"
    # The kernel would say that all is well now; what it lost is lost all the same.
    with pytest.raises(DiskIOError, match=text):
        volume.commit()
    with pytest.raises(DiskIOError, match=text):
        volume.sync()
    assert volume.mark_writable(), "its files are opened anew, and so checked"
    volume.write(named(2, b"x"))
    volume.commit()
    assert words(volume) == []


def test_a_failed_sync_at_close_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    volume = create(tmp_path)
    failing_sync(monkeypatch, times=1)
    volume.close()
    assert volume.closed
    assert "sync at close failed: sync" in caplog.text


def test_a_commit_covers_many_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = create(tmp_path)
    covered: list[int] = []
    real = NativeVolume.sync

    def sync(current: NativeVolume) -> None:
        at = current.stat().dat_size
        real(current)
        covered.append(at)

    monkeypatch.setattr(NativeVolume, "sync", sync)

    def writer(start: int) -> None:
        for key in range(start, start + 10):
            end = volume.write(needle(key, b"x" * 100)).offset + 136
            volume.commit()
            assert max(covered) >= end

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(writer, range(1, 81, 10)))
    assert volume.counters.file_count == 80
    assert len(covered) <= 80


# --- closing -------------------------------------------------------------------------------------


def test_a_closed_volume(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x"))
    volume.close()
    volume.close()
    with pytest.raises(NeedleNotFoundError):
        volume.read(1)
    for change in (
        lambda: volume.write(named(2, b"x")),
        lambda: volume.delete(1, 0, 0),
        volume.commit,
        volume.mark_writable,
    ):
        with pytest.raises(StorageError, match="volume 7 is closed"):
            change()
    with pytest.raises(VolumeClosedError):
        _ = volume.native
    volume.disk_space_low = True
    volume.mark_read_only(can_delete=False, persist=False)


def test_what_is_being_sent_keeps_the_files_open(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x" * 5000))
    stored = volume.load(1, meta_above=0)
    share = volume.native.share()
    volume.destroy()
    assert os.pread(share.dat_fd(), stored.data_size, stored.data_offset) == b"x" * 5000
    fd = share.dat_fd()
    share.release()
    os.fstat(fd)  # the loaded needle has a share of its own
    del stored
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(TypeError):
        share.read(1)


def test_a_write_under_way_ends_before_the_close(tmp_path: Path) -> None:
    """Else it would land in files that may have been opened again in the meantime."""
    for round_number in range(15):
        volume = create(tmp_path, volume_id=round_number + 1)
        acknowledged: list[int] = []

        def writer(start: int, volume: Volume = volume, done: list[int] = acknowledged) -> None:
            key = start
            while True:
                try:
                    volume.write(needle(key, bytes([key % 251]) * 2000))
                except VolumeClosedError:
                    return
                done.append(key)
                key += 4

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(writer, start) for start in range(1, 5)]
            deadline = time.monotonic() + SECONDS_MAX
            while len(acknowledged) < 4 and time.monotonic() < deadline:
                time.sleep(0.0005)
            volume.close()
            assert len(acknowledged) >= 4
            size = (tmp_path / f"{round_number + 1}.dat").stat().st_size
            for future in futures:
                future.result(SECONDS_MAX)
        assert (tmp_path / f"{round_number + 1}.dat").stat().st_size == size == volume.dat_size
        again = open_volume(tmp_path, round_number + 1)
        for key in acknowledged:
            assert again.read(key).data == bytes([key % 251]) * 2000
        again.close()


def test_closing_under_readers(tmp_path: Path) -> None:
    """A reader gets the right bytes or a clean error, never a freed volume."""
    for _ in range(15):
        volume = create(tmp_path)
        for key in range(1, 9):
            volume.write(needle(key, bytes([key]) * 40_000))
        started = threading.Barrier(5)

        def reader(
            start: int, volume: Volume = volume, started: threading.Barrier = started
        ) -> None:
            started.wait(SECONDS_MAX)
            while True:
                for key in range(start, 9):
                    try:
                        assert volume.read(key).data == bytes([key]) * 40_000
                        volume.verify(volume.load(key, meta_above=0))
                        volume.stat()
                    except (NeedleNotFoundError, VolumeClosedError):
                        return

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(reader, start) for start in range(1, 5)]
            started.wait(SECONDS_MAX)
            time.sleep(0.002)
            volume.destroy()
            for future in futures:
                future.result(SECONDS_MAX)
        gc.collect()


def test_reading_while_the_files_are_opened_anew(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in range(1, 9):
        volume.write(needle(key, bytes([key]) * 40_000))
    stop = threading.Event()

    def reader() -> None:
        while not stop.is_set():
            for key in range(1, 9):
                assert volume.read(key).data == bytes([key]) * 40_000

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(reader) for _ in range(3)]
        try:
            for _ in range(30):
                volume.forbid_changes("a test")
                assert volume.mark_writable()
        finally:
            stop.set()
        for future in futures:
            future.result(SECONDS_MAX)


# --- not waiting ---------------------------------------------------------------------------------


def test_nowait_finds_another_writer_at_work(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x"))
    stop = threading.Event()
    outcomes: set[type] = set()

    def busy() -> None:
        key = 100
        while not stop.is_set():
            volume.write(needle(key, b"y" * 200_000))
            key += 1

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(busy)
        deadline = time.monotonic() + SECONDS_MAX
        try:
            while BusyVolumeError not in outcomes and time.monotonic() < deadline:
                for attempt in (
                    lambda: volume.write(named(2, os.urandom(8)), nowait=True),
                    lambda: volume.delete(3, 0, 0, nowait=True),
                ):
                    try:
                        attempt()
                    except FastvolError as error:
                        outcomes.add(type(error))
        finally:
            stop.set()
        future.result(SECONDS_MAX)
    assert outcomes == {BusyVolumeError}


def test_nowait_reads_what_is_cached(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x" * 100))
    assert volume.load(1, nowait=True).needle.data == b"x" * 100
    volume.verify(volume.load(1, meta_above=0, nowait=True), nowait=True)
