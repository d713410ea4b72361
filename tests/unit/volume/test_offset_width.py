"""The width of offsets: from the .vif, from the rows, and when the two disagree."""

import json
import os
from pathlib import Path

import pytest
from volume_kit import create, named, open_volume, snapshot

from fastvol.errors import StorageError, VolumeDamagedError
from fastvol.volume.offset_width import find_offset_width


def fill(directory: Path, version: int, width: int, count: int) -> None:
    volume = create(directory, version=version, offset_width=width)
    for key in range(1, count + 1):
        volume.write(named(key, bytes([key]) * 9))
    volume.delete(1, 0, 0)
    volume.close()


def state_width(directory: Path, width: int | None) -> None:
    path = directory / "7.vif"
    info = json.loads(path.read_text())
    info["bytesOffset"] = width
    path.write_text(json.dumps(info))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
@pytest.mark.parametrize("count", [1, 2, 16, 40])
@pytest.mark.parametrize("default", [4, 5])
def test_rows_tell_when_the_vif_does_not(
    tmp_path: Path, version: int, width: int, count: int, default: int
) -> None:
    fill(tmp_path, version, width, count)
    state_width(tmp_path, None)
    volume = open_volume(tmp_path, default_offset_width=default)
    assert volume.offset_width == width
    assert not volume.read_only
    assert volume.read(count, read_deleted=True).data == bytes([count]) * 9
    volume.write(named(99, b"more"))
    # Never another width in the .vif than in the rows.
    volume.mark_read_only(can_delete=False, persist=True)
    assert json.loads((tmp_path / "7.vif").read_text())["bytesOffset"] == width


@pytest.mark.parametrize("default", [4, 5])
def test_an_empty_volume_has_the_default_width(tmp_path: Path, default: int) -> None:
    create(tmp_path, offset_width=5).close()
    state_width(tmp_path, 0)
    assert open_volume(tmp_path, default_offset_width=default).offset_width == default


@pytest.mark.parametrize("width", [4, 5])
@pytest.mark.parametrize("count", [2, 16, 33])
def test_a_wrong_vif_is_not_believed_and_nothing_is_changed(
    tmp_path: Path, width: int, count: int
) -> None:
    fill(tmp_path, 3, width, count)
    state_width(tmp_path, 9 - width)
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    assert volume.offset_width == width
    assert volume.read(count).data == bytes([count]) * 9
    assert volume.read_only
    words = f"its .vif says bytesOffset {9 - width}, but its index has {width}-byte offsets"
    assert [reason.words for reason in volume.read_only_reasons] == [words]
    with pytest.raises(StorageError, match=words):
        volume.mark_writable()
    volume.close()
    assert snapshot(tmp_path) == before


def test_impossible_width_in_the_vif(tmp_path: Path) -> None:
    fill(tmp_path, 3, 5, 3)
    state_width(tmp_path, 7)
    (tmp_path / "7.idx").unlink()
    before = snapshot(tmp_path)
    with pytest.raises(VolumeDamagedError, match="bytesOffset 7 is neither 4 nor 5"):
        open_volume(tmp_path)
    assert snapshot(tmp_path) == before


def test_one_damaged_row_does_not_change_the_width(tmp_path: Path) -> None:
    fill(tmp_path, 3, 5, 12)
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[-10] ^= 0xFF
    (tmp_path / "7.idx").write_bytes(content)
    dat = os.open(tmp_path / "7.dat", os.O_RDONLY)
    idx = os.open(tmp_path / "7.idx", os.O_RDONLY)
    try:
        assert find_offset_width(dat, idx, stated=5, default=4) == (5, "")
        assert find_offset_width(dat, idx, stated=0, default=4) == (5, "")
    finally:
        os.close(dat)
        os.close(idx)


@pytest.mark.parametrize("width", [4, 5])
def test_rows_of_empty_files_prove_nothing(tmp_path: Path, width: int) -> None:
    """Cut in the wrong place they read the same."""
    volume = create(tmp_path, offset_width=width)
    volume.write(named(1, b""))
    volume.close()
    os.truncate(tmp_path / "7.idx", 16)
    volume = open_volume(tmp_path)
    assert volume.offset_width == width
    assert not volume.read_only
