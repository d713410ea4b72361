"""A missing index comes back from the data file; where nothing may be written, in memory."""

import errno
import os
from pathlib import Path

import pytest
from volume_kit import create, named, needle, open_volume, reopen, rows, snapshot

from fastvol.errors import NeedleNotFoundError
from fastvol.formats import volume_info
from fastvol.volume import index_rebuild
from fastvol.volume.index_rebuild import rebuild_index
from fastvol.volume.volume import Volume


def filled(directory: Path, *, version: int = 3, width: int = 5) -> Volume:
    volume = create(directory, version=version, offset_width=width)
    for key in range(1, 8):
        volume.write(named(key, bytes([key]) * key * 11))
    volume.write(named(2, b"overwritten"))
    volume.delete(3, 0, 0)
    volume.write(named(8, b""))
    volume.close()
    return volume


def check_content(volume: Volume) -> None:
    for key in (1, 4, 5, 6, 7):
        assert volume.read(key).data == bytes([key]) * key * 11
    assert volume.read(2).data == b"overwritten"
    for gone in (3, 8):  # an empty file looks like a tombstone
        with pytest.raises(NeedleNotFoundError):
            volume.read(gone)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
def test_a_missing_index_is_rebuilt(tmp_path: Path, version: int, width: int) -> None:
    volume = filled(tmp_path, version=version, width=width)
    idx = tmp_path / "7.idx"
    before = rows(idx, width)
    idx.unlink()
    volume = reopen(volume)
    check_content(volume)
    assert not volume.read_only
    assert rows(idx, width) == [*before[:-1], (8, before[-1].offset, -1)]
    assert volume.last_append_at_ns == (0 if version < 3 else volume.last_append_at_ns)
    volume.write(named(9, b"more"))
    assert reopen(volume).read(9).data == b"more"
    assert not list(tmp_path.glob("*.tmp"))


def test_maps_of_the_old_index_go_with_it(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    (tmp_path / "7.idx").unlink()
    (tmp_path / "7.sdx").write_bytes(b"stale")
    (tmp_path / "7.ldb").mkdir()
    (tmp_path / "7.ldb" / "LOG").write_bytes(b"stale")
    check_content(reopen(volume))
    assert {path.name for path in tmp_path.iterdir()} == {"7.dat", "7.idx", "7.vif"}


def test_the_index_directory_is_made(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "7.idx").unlink()
    volume = open_volume(tmp_path, index_directory=tmp_path / "new" / "index")
    check_content(volume)
    assert (tmp_path / "new" / "index" / "7.idx").exists()


@pytest.mark.parametrize("how", ["mark", "mode"])
def test_on_a_read_only_volume_it_stays_in_memory(tmp_path: Path, how: str) -> None:
    filled(tmp_path)
    (tmp_path / "7.idx").unlink()
    if how == "mark":
        info = volume_info.load(tmp_path / "7.vif")
        assert info is not None
        info.read_only = True
        volume_info.save(tmp_path / "7.vif", info)
    else:
        (tmp_path / "7.dat").chmod(0o444)
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    check_content(volume)
    assert volume.read_only
    volume.close()
    assert snapshot(tmp_path) == before
    (tmp_path / "7.dat").chmod(0o644)
    volume = open_volume(tmp_path)
    volume.mark_writable()
    volume.write(named(9, b"more"))
    check_content(reopen(volume))


def test_without_room_for_it_the_volume_is_served_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    (tmp_path / "7.idx").unlink()
    before = snapshot(tmp_path)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(index_rebuild.os, "fsync", full)
        volume = open_volume(tmp_path)
    check_content(volume)
    assert "No space left on device" in volume.read_only_reasons[0].words
    volume.close()
    assert snapshot(tmp_path) == before


def test_a_leftover_of_an_earlier_try_is_no_obstacle(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    (tmp_path / "7.idx").rename(tmp_path / "7.idx.tmp")
    with (tmp_path / "7.idx.tmp").open("ab") as file:
        file.write(b"x" * 1000)
    check_content(reopen(volume))


@pytest.mark.parametrize("tail", [bytes(4096), bytes(4096) + b"x" * 5])
def test_behind_the_records_only_zeros(tmp_path: Path, tail: bytes) -> None:
    volume = filled(tmp_path)
    size = (tmp_path / "7.dat").stat().st_size
    (tmp_path / "7.idx").unlink()
    with (tmp_path / "7.dat").open("ab") as file:
        file.write(tail)
    volume = reopen(volume)
    check_content(volume)
    assert not volume.read_only
    assert (tmp_path / "7.dat").stat().st_size == size


def test_an_unreadable_header_in_the_middle(tmp_path: Path) -> None:
    """What lies before it is served; nothing is cut, because whole records lie behind it."""
    volume = filled(tmp_path)
    at = rows(tmp_path / "7.idx")[3].offset * 8
    (tmp_path / "7.idx").unlink()
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(at + 12)
        file.write(b"\xff\xff\xff\xf0")
    dat = (tmp_path / "7.dat").read_bytes()
    volume = reopen(volume)
    assert volume.read(1).data == b"\x01" * 11
    assert volume.read_only
    assert "a record that is cut short" in volume.read_only_reasons[0].words
    assert "behind it at offset" in volume.read_only_reasons[0].words
    assert (tmp_path / "7.dat").read_bytes() == dat


def make_sparse(path: Path, size: int, last: bytes) -> None:
    """Extends a data file to ``size``: records that are headers and holes, then ``last``."""
    with path.open("r+b") as file:
        at = file.seek(0, os.SEEK_END)
        while at < size - len(last):
            length = min(size - len(last) - at, 1 << 30)
            file.seek(at)
            file.write(b"\0\0\0\1" + (77).to_bytes(8) + (length - 32).to_bytes(4))
            at += length
        file.seek(at)
        file.write(last)


@pytest.mark.parametrize("where", ["missing index", "tail"])
def test_a_record_beyond_the_reach_of_four_bytes(tmp_path: Path, where: str) -> None:
    """A data file of more than 32 GiB in a volume with 4-byte offsets."""
    reach = 1 << 35
    volume = create(tmp_path, offset_width=4)
    volume.write(needle(1, b"near"))
    volume.close()
    dat = tmp_path / "7.dat"
    record = dat.read_bytes()[8:]
    make_sparse(dat, reach, record)
    if where == "tail":
        fd = os.open(dat, os.O_RDONLY)
        rebuild_index(volume.files, fd, dat_size=reach, first=8, version=3, width=4)
        os.close(fd)
    else:
        (tmp_path / "7.idx").unlink()
    with dat.open("ab") as file:
        file.write(record)
    volume = reopen(volume)
    assert volume.read_only
    assert f"beyond the reach of the index's offsets at offset {reach}" in (
        volume.read_only_reasons[0].words
    )
    assert volume.read(1).data == b"near"
    assert os.stat(dat).st_size == reach + len(record)
