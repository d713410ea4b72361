"""Scrubbing: what is found, what it costs, how it is watched and ended. The words for every kind of
damage are compared with the real server's in tests/interop."""

import os
import threading
from pathlib import Path

import pytest
from volume_kit import create, named, needle

from fastvol.errors import StorageError, VolumeDamagedError
from fastvol.volume.files import VolumeFiles
from fastvol.volume.scrub import (
    ScrubCancelledError,
    ScrubControl,
    ScrubMode,
    ScrubProgress,
    ScrubResult,
    parse_mode,
    scrub_files,
    scrub_volume,
)
from fastvol.volume.throttle import Throttle
from fastvol.volume.volume import Volume


def filled(directory: Path, count: int = 10, **fields: int) -> Volume:
    volume = create(directory, **fields)  # type: ignore[arg-type]
    for key in range(1, count + 1):
        volume.write(named(key, bytes([key & 0xFF]) * (key * 37)))
    volume.delete(3, 0, 0)
    return volume


def files_of(directory: Path) -> VolumeFiles:
    return VolumeFiles.of(directory, directory, "", 7)


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
def test_a_sound_volume_live_and_on_disk(tmp_path: Path, version: int, width: int) -> None:
    volume = filled(tmp_path, version=version, offset_width=width)
    for result in (
        scrub_volume(volume, ScrubMode.FULL),
        scrub_volume(volume, ScrubMode.INDEX),
        scrub_files(files_of(tmp_path), ScrubMode.LOCAL),
    ):
        assert (result.total_volumes, result.total_files) == (1, 11)
        assert (result.broken_volume_ids, result.details) == ([], [])
    full = scrub_volume(volume, ScrubMode.READS)
    assert full.bytes_read >= volume.dat_size - 8 - 11 * 8  # all but the paddings
    volume.close()


def test_live_and_on_disk_find_the_same(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    overwrite(tmp_path / "7.dat", 8 + 20, b"??")
    overwrite(tmp_path / "7.dat", 8 + 96 + 4, b"\x11")
    live = scrub_volume(volume, ScrubMode.FULL)
    volume.close()
    assert live.details == scrub_files(files_of(tmp_path), ScrubMode.FULL).details
    assert live.broken_volume_ids == [7]
    assert live.details[0].startswith("failed to read needle 1 on volume 7: invalid CRC")
    assert live.details[1].endswith("does not match needle's Id 1100000000000002 on volume 7")
    assert scrub_files(files_of(tmp_path), ScrubMode.INDEX).findings == 0


def test_nothing_is_changed(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with (tmp_path / "7.dat").open("ab") as file:
        file.write(b"torn")
    with (tmp_path / "7.idx").open("ab") as file:
        file.write(b"torn")
    (tmp_path / "7.vif").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = scrub_files(files_of(tmp_path), ScrubMode.FULL)
    assert result.findings == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_live_volume_that_grows_meanwhile_is_sound(tmp_path: Path) -> None:
    volume = filled(tmp_path, 200)
    stop = threading.Event()

    def write() -> None:
        key = 1000
        while not stop.is_set():
            key += 1
            volume.write(needle(key, b"more" * 9))
            volume.delete(key - 3, 0, 0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            result = scrub_volume(volume, ScrubMode.FULL)
            assert result.details == []
            assert result.total_files >= 201
    finally:
        stop.set()
        writer.join()
    volume.close()


def test_data_cut_behind_the_server_is_compared_with_what_it_knows(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    os.truncate(tmp_path / "7.dat", volume.dat_size - 40)
    result = scrub_volume(volume, ScrubMode.FULL)
    assert result.details == [
        "failed to read needle 10 on volume 7: EOF",
        "failed to read needle 3 on volume 7: EOF",
    ]


def test_index_damaged_behind_the_server(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    with (tmp_path / "7.idx").open("ab") as file:
        file.write(b"xy")
    size = 11 * 17
    assert scrub_volume(volume, ScrubMode.INDEX).details == [
        f"expected an index file of size {size + 2}, got {size}"
    ]
    os.truncate(tmp_path / "7.idx", 0)
    assert scrub_volume(volume, ScrubMode.FULL).details == [
        f"zero-size IDX file for volume 7 with store size {volume.dat_size}"
    ]
    (tmp_path / "7.idx").unlink()
    (detail,) = scrub_volume(volume, ScrubMode.FULL).details
    path = tmp_path / "7.idx"
    assert detail == (
        f"failed to open IDX file {path} for volume 7: open {path}: no such file or directory"
    )


def test_an_empty_volume_needs_no_rows(tmp_path: Path) -> None:
    create(tmp_path).close()
    assert scrub_files(files_of(tmp_path), ScrubMode.FULL).findings == 0


def test_files_that_are_not_there(tmp_path: Path) -> None:
    filled(tmp_path).close()
    (tmp_path / "7.idx").unlink()
    assert "failed to open IDX file" in scrub_files(files_of(tmp_path), ScrubMode.FULL).details[0]
    (tmp_path / "7.idx").touch()
    (tmp_path / "7.dat").unlink()
    with pytest.raises(VolumeDamagedError, match=r"7\.dat: No such file or directory"):
        scrub_files(files_of(tmp_path), ScrubMode.FULL)
    (tmp_path / "7.dat").write_bytes(b"short")
    with pytest.raises(VolumeDamagedError, match="super block has only 5 bytes"):
        scrub_files(files_of(tmp_path), ScrubMode.FULL)


def test_data_replaced_under_a_live_volume(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    content = (tmp_path / "7.dat").read_bytes()
    (tmp_path / "7.dat").unlink()
    (tmp_path / "7.dat").write_bytes(content)
    with pytest.raises(VolumeDamagedError, match="is not the file that volume 7 has open"):
        scrub_volume(volume, ScrubMode.FULL)


def test_a_closed_volume(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    volume.close()
    with pytest.raises(StorageError, match="volume 7 is closed"):
        scrub_volume(volume, ScrubMode.FULL)


def broken(directory: Path, count: int) -> VolumeFiles:
    """Every record's payload is damaged."""
    volume = create(directory)
    offsets = [volume.write(needle(key, b"payload")).offset for key in range(1, count + 1)]
    volume.close()
    for offset in offsets:
        overwrite(directory / "7.dat", offset + 20, b"P")
    return files_of(directory)


def test_more_findings_than_are_described(tmp_path: Path) -> None:
    files = broken(tmp_path, 500)
    for limit in (0, 1, 128, 200, 499, 500, 1000):
        result = scrub_files(files, ScrubMode.FULL, ScrubControl(details_max=limit))
        assert (len(result.details), result.findings) == (min(limit, 500), 500)


def test_results_add_up(tmp_path: Path) -> None:
    total = ScrubResult(details_max=3)
    result = scrub_files(broken(tmp_path, 2), ScrubMode.FULL)
    total.add(result)
    total.add(result)
    assert (total.total_volumes, total.total_files) == (2, 4)
    assert total.broken_volume_ids == [7, 7]
    assert (len(total.details), total.omitted, total.findings) == (3, 1, 4)
    assert total.bytes_read == 2 * result.bytes_read


def test_progress_and_throttle_account_for_every_byte(tmp_path: Path) -> None:
    filled(tmp_path, 100).close()
    seen: list[ScrubProgress] = []
    slept: list[float] = []
    control = ScrubControl(
        throttle=Throttle(20_000, clock=lambda: 0.0, sleep=slept.append),
        on_progress=seen.append,
    )
    result = scrub_files(files_of(tmp_path), ScrubMode.FULL, control)
    assert len(seen) > 20
    assert [now.bytes_read for now in seen] == sorted(now.bytes_read for now in seen)
    assert (seen[-1].rows, seen[-1].rows_read) == (101, 101)
    assert seen[-1].bytes_read == result.bytes_read
    assert max(slept) == pytest.approx(result.bytes_read / 20_000)  # this clock stands still


def test_a_cancelled_scrub_ends_at_its_next_step(tmp_path: Path) -> None:
    filled(tmp_path, 100).close()
    steps: list[ScrubProgress] = []
    control = ScrubControl(
        throttle=Throttle(10_000, sleep=lambda _: None),
        on_progress=steps.append,
        cancelled=lambda: len(steps) == 3,
    )
    with pytest.raises(ScrubCancelledError):
        scrub_files(files_of(tmp_path), ScrubMode.FULL, control)
    assert len(steps) == 3


def test_modes() -> None:
    assert parse_mode(5) is ScrubMode.READS
    for number in (0, 4, 9):
        with pytest.raises(StorageError, match=f"^unsupported volume scrub mode {number}$"):
            parse_mode(number)
