"""Rows overwritten by the tombstones of an old bug come back from the data file."""

import errno
import os
from pathlib import Path

import pytest
from volume_kit import create, named, open_volume, reopen, rows, snapshot

from fastvol.errors import NeedleNotFoundError
from fastvol.formats import volume_info
from fastvol.formats.index_entry import encode_row
from fastvol.volume import head_tombstones
from fastvol.volume.volume import Volume


def damaged(directory: Path, *deleted: int, version: int = 3, width: int = 5) -> Volume:
    """Needles 1..5, the first rows overwritten by deletions of ``deleted``."""
    volume = create(directory, version=version, offset_width=width)
    for key in range(1, 6):
        volume.write(named(key, bytes([key]) * 30))
    volume.close()
    with (directory / "7.idx").open("r+b") as file:
        for key in deleted:
            file.write(encode_row(key, 0, -1, width))
    return volume


def readable(volume: Volume) -> list[int]:
    found = []
    for key in range(1, 6):
        try:
            assert volume.read(key).data == bytes([key]) * 30
        except NeedleNotFoundError:
            continue
        found.append(key)
    return found


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
def test_overwritten_rows_are_recovered(tmp_path: Path, version: int, width: int) -> None:
    volume = damaged(tmp_path, 4, 5, version=version, width=width)
    before = rows(tmp_path / "7.idx", width)
    (tmp_path / "7.idx").chmod(0o640)
    (tmp_path / "7.sdx").write_bytes(b"of the old index")
    volume = reopen(volume)
    assert readable(volume) == [1, 2, 3, 4, 5], "a deletion before its needle's row is none"
    assert not volume.read_only
    after = rows(tmp_path / "7.idx", width)
    assert after[2:] == before
    assert [row.key for row in after[:2]] == [1, 2]
    assert (tmp_path / "7.idx").stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"7.dat", "7.idx", "7.vif"}
    volume.write(named(6, b"more"))
    assert readable(reopen(volume)) == [1, 2, 3, 4, 5]
    assert len(rows(tmp_path / "7.idx", width)) == 8, "and it was done once"


def test_needles_that_the_index_knows_are_left_alone(tmp_path: Path) -> None:
    volume = damaged(tmp_path, 1, 2)
    before = snapshot(tmp_path)
    assert readable(reopen(volume)) == [3, 4, 5], "1 and 2 were deleted themselves"
    assert snapshot(tmp_path) == before


def test_nothing_is_written_to_a_read_only_volume(tmp_path: Path) -> None:
    damaged(tmp_path, 4, 5)
    info = volume_info.load(tmp_path / "7.vif")
    assert info is not None
    info.read_only = True
    volume_info.save(tmp_path / "7.vif", info)
    before = snapshot(tmp_path)
    assert readable(open_volume(tmp_path)) == [3, 4, 5]
    assert snapshot(tmp_path) == before


def test_a_recovery_that_fails_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = damaged(tmp_path, 4, 5)
    before = snapshot(tmp_path)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(head_tombstones.os, "fsync", full)
        volume = reopen(volume)
    assert readable(volume) == [3, 4, 5]
    assert snapshot(tmp_path) == before
