"""The ends of data and index at open: what is healed, what is left alone, and why."""

import errno
import logging
import os
from pathlib import Path

import pytest
from volume_kit import create, named, needle, open_volume, reopen, rows, snapshot

from fastvol.errors import NeedleCorruptedError, NeedleNotFoundError, VolumeReadOnlyError
from fastvol.formats import volume_info
from fastvol.formats.needle import Needle, encode
from fastvol.index.kinds import IndexOptions
from fastvol.volume import index_repair
from fastvol.volume.volume import Volume


def filled(directory: Path, *, version: int = 3, width: int = 5) -> Volume:
    volume = create(directory, version=version, offset_width=width)
    for key in range(1, 7):
        volume.write(named(key, bytes([key]) * key * 11))
    volume.close()
    return volume


def append(directory: Path, content: bytes, name: str = "7.dat") -> None:
    with (directory / name).open("ab") as file:
        file.write(content)


def cut_rows(directory: Path, count: int, width: int = 5) -> None:
    path = directory / "7.idx"
    os.truncate(path, path.stat().st_size - count * (12 + width))


def problem(volume: Volume) -> str:
    assert volume.read_only
    return "; ".join(reason.words for reason in volume.read_only_reasons)


def check_content(volume: Volume, *keys: int) -> None:
    for key in keys or range(1, 7):
        assert volume.read(key).data == bytes([key]) * key * 11


def record(item: Needle, version: int = 3) -> bytes:
    item.append_at_ns = 1_800_000_000_000_000_000
    return encode(item, version)


# --- the data is ahead ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
@pytest.mark.parametrize("lost", [1, 3, 6])
def test_records_without_a_row_get_one(
    tmp_path: Path, version: int, width: int, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    volume = filled(tmp_path, version=version, width=width)
    before = snapshot(tmp_path)
    last_append = volume.last_append_at_ns if version == 3 else 0
    cut_rows(tmp_path, lost, width)
    with caplog.at_level(logging.WARNING):
        volume = reopen(volume)
    assert not volume.read_only
    check_content(volume)
    assert snapshot(tmp_path) == before
    assert volume.last_append_at_ns == last_append
    assert volume.counters.file_count == 6
    assert f"indexed {lost} records" in caplog.text


def test_a_delete_without_a_row_stays_a_delete(tmp_path: Path) -> None:
    volume = reopen(filled(tmp_path))
    volume.delete(2, 0, 0)
    volume.close()
    cut_rows(tmp_path, 1)
    volume = reopen(volume)
    with pytest.raises(NeedleNotFoundError):
        volume.read(2)
    assert rows(tmp_path / "7.idx")[-1].size == -1


def test_a_partial_row_is_cut_and_its_record_indexed_again(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    before = snapshot(tmp_path)
    for length in range(1, 17):
        os.truncate(tmp_path / "7.idx", 5 * 17 + length)
        volume = reopen(volume)
        check_content(volume)
        volume.close()
        assert snapshot(tmp_path) == before


def test_a_partial_row_behind_whole_files_is_cut(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    before = snapshot(tmp_path)
    append(tmp_path, b"\x01" * 7, "7.idx")
    volume = reopen(volume)
    check_content(volume)
    assert not volume.read_only
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "tail",
    [b"x", b"\0" * 5, b"\0" * 8, b"\0" * 4096, b"\xff" * 33, record(needle(9, b"y" * 99))[:-1]],
    ids=["a byte", "5 zeros", "8 zeros", "a page of zeros", "ones", "a torn record"],
)
def test_a_torn_tail_is_cut(tmp_path: Path, tail: bytes, caplog: pytest.LogCaptureFixture) -> None:
    volume = filled(tmp_path)
    before = snapshot(tmp_path)
    append(tmp_path, tail)
    with caplog.at_level(logging.WARNING):
        volume = reopen(volume)
    check_content(volume)
    assert not volume.read_only
    assert f"cut {len(tail)} bytes behind offset" in caplog.text
    volume.close()
    assert snapshot(tmp_path) == before


def test_a_last_record_with_a_bad_checksum_is_cut(tmp_path: Path) -> None:
    """A torn write whose pages came out of order; an earlier version of the needle is valid."""
    volume = filled(tmp_path)
    before = snapshot(tmp_path)
    append(tmp_path, record(named(3, b"newer" * 30)).replace(b"newer", b"\0" * 5, 2))
    volume = reopen(volume)
    check_content(volume)
    volume.close()
    assert snapshot(tmp_path) == before


def test_a_damaged_record_before_a_whole_one_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = filled(tmp_path)
    append(tmp_path, record(named(3, b"newer" * 30)).replace(b"newer", b"\0" * 5, 1))
    append(tmp_path, record(named(9, b"whole")))
    size = (tmp_path / "7.dat").stat().st_size
    with caplog.at_level(logging.ERROR):
        volume = reopen(volume)
    assert not volume.read_only
    check_content(volume)
    assert volume.read(9).data == b"whole"
    assert "passed over 1 damaged records" in caplog.text
    assert (tmp_path / "7.dat").stat().st_size == size
    volume.write(named(10, b"after"))
    volume = reopen(volume)
    check_content(volume)
    assert [volume.read(key).data for key in (9, 10)] == [b"whole", b"after"]


@pytest.mark.parametrize("gap", [8, 24, 40, 4096])
@pytest.mark.parametrize("filler", [b"\0", b"\x7f"])
def test_nothing_is_cut_when_a_whole_record_lies_behind(
    tmp_path: Path, gap: int, filler: bytes
) -> None:
    volume = filled(tmp_path)
    append(tmp_path, filler * gap + record(named(9, b"whole")) + b"\0" * 64)
    dat = (tmp_path / "7.dat").read_bytes()
    for _ in range(2):
        volume = reopen(volume)
        check_content(volume)
        assert "whole record behind it at offset" in problem(volume)
        with pytest.raises(VolumeReadOnlyError):
            volume.write(named(10, b"x"))
    volume.close()
    assert (tmp_path / "7.dat").read_bytes() == dat


def test_records_before_the_damage_are_indexed_even_so(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    append(tmp_path, record(named(8, b"eight")) + b"\x7f" * 24 + record(named(9, b"nine")))
    volume = reopen(volume)
    check_content(volume)
    assert volume.read(8).data == b"eight"
    assert problem(volume)


@pytest.mark.parametrize("shift", [0, 4])
def test_a_torn_payload_that_looks_like_a_volume(tmp_path: Path, shift: int) -> None:
    """A torn upload of a volume's own data file: its records do not lie where ours can begin.

    Where they do, by a prefix of 4 bytes, it is careful.
    """
    volume = filled(tmp_path)
    image = b"x" * shift + (tmp_path / "7.dat").read_bytes()
    before = snapshot(tmp_path)
    append(tmp_path, record(named(9, image))[: len(image) - 50])
    volume = reopen(volume)
    check_content(volume)
    assert volume.read_only is bool(shift)
    if shift:
        assert "whole record behind it" in problem(volume)
        return
    volume.close()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("behind", ["nothing", "a torn record", "a whole record"])
def test_a_tombstone_without_a_row_counts_when_something_vouches_for_it(
    tmp_path: Path, behind: str
) -> None:
    volume = filled(tmp_path)
    append(tmp_path, record(needle(2)) + record(needle(3)))
    if behind == "a torn record":
        append(tmp_path, record(named(9, b"torn"))[:-9])
    elif behind == "a whole record":
        append(tmp_path, record(named(9, b"whole")))
    volume = reopen(volume)
    assert not volume.read_only
    check_content(volume, 1, 4, 5, 6)
    if behind == "a torn record":
        check_content(volume, 2, 3)  # nobody was told that it was durable
        return
    for key in (2, 3):
        with pytest.raises(NeedleNotFoundError):
            volume.read(key)


def test_a_long_torn_tail_is_judged_quickly(tmp_path: Path) -> None:
    """Headers that promise a lot must not make it read the tail again and again."""
    volume = filled(tmp_path)
    fake = b"\0\0\0\1" + (5).to_bytes(8) + (2 << 20).to_bytes(4) + ((2 << 20) - 9).to_bytes(4)
    append(tmp_path, (fake + b"\1\2\3\4") * ((8 << 20) // 24))
    volume = reopen(volume)
    check_content(volume)
    assert "what may be a whole record" in problem(volume)


# --- the data is behind --------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("missing", [1, 20, 60])
def test_a_last_record_cut_short_is_dropped(
    tmp_path: Path, version: int, missing: int, caplog: pytest.LogCaptureFixture
) -> None:
    volume = reopen(filled(tmp_path, version=version))
    before = snapshot(tmp_path)
    (tmp_path / "7.ldb").mkdir()
    volume.write(named(3, b"newer" * 20))
    volume.close()
    os.truncate(tmp_path / "7.dat", (tmp_path / "7.dat").stat().st_size - missing)
    with caplog.at_level(logging.WARNING):
        volume = reopen(volume)
    assert not volume.read_only
    check_content(volume)
    assert "dropped its last record (needle 3 at offset" in caplog.text
    assert snapshot(tmp_path) == before, "and the map of the longer index went with it"
    assert not (tmp_path / "7.ldb").exists()


def test_the_map_of_the_longer_index_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the server killed in between, the next start would find a row in it that is gone."""
    leveldb = IndexOptions("leveldb")
    volume = create(tmp_path, index=leveldb)
    volume.write(named(1, b"older"))
    volume.write(named(2, b"newer"))
    volume.native.close_map(durable=False)  # as if it had been killed
    volume.close()
    os.truncate(tmp_path / "7.dat", (tmp_path / "7.dat").stat().st_size - 1)
    cut = os.ftruncate

    def cut_and_die(fd: int, size: int) -> None:
        cut(fd, size)
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".dat"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("fastvol.volume.index_repair.os.ftruncate", cut_and_die)
        open_volume(tmp_path, index=leveldb)
    volume = open_volume(tmp_path, index=leveldb)
    assert volume.read(1).data == b"older"
    assert volume.entry(2) is None
    volume.close()


def test_the_only_record_cut_short(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x"))
    volume.close()
    os.truncate(tmp_path / "7.dat", 20)
    volume = reopen(volume)
    assert not volume.read_only
    assert volume.is_empty()
    assert (tmp_path / "7.idx").stat().st_size == 0


@pytest.mark.parametrize("records_gone", [1, 2, 5])
def test_whole_records_missing_change_nothing(tmp_path: Path, records_gone: int) -> None:
    volume = filled(tmp_path)
    at = rows(tmp_path / "7.idx")[-records_gone].offset * 8
    os.truncate(tmp_path / "7.dat", at)
    before = snapshot(tmp_path)
    volume = reopen(volume)
    assert "idx references end=" in problem(volume)
    check_content(volume, *range(1, 7 - records_gone))
    for key in range(7 - records_gone, 7):
        with pytest.raises(NeedleCorruptedError, match=r"^EOF$"):
            volume.read(key)
    volume.close()
    assert snapshot(tmp_path) == before


def test_a_row_with_a_wrong_size_does_not_cut_a_whole_record(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[-3] = 1  # 64 KiB more than the record has
    (tmp_path / "7.idx").write_bytes(content)
    before = snapshot(tmp_path)
    volume = reopen(volume)
    assert "idx references end=" in problem(volume)
    check_content(volume, 1, 2, 3, 4, 5)
    volume.close()
    assert snapshot(tmp_path) == before


def test_a_row_with_a_wrong_offset_does_not_cut_a_whole_record(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    size = (tmp_path / "7.dat").stat().st_size
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[-9:-5] = ((size - 8) // 8).to_bytes(4)
    (tmp_path / "7.idx").write_bytes(content)
    before = snapshot(tmp_path)
    volume = reopen(volume)
    assert problem(volume)
    volume.close()
    assert snapshot(tmp_path) == before


# --- the last row --------------------------------------------------------------------------------


def test_a_last_row_with_another_size_than_its_record(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[-1] -= 1
    (tmp_path / "7.idx").write_bytes(content)
    before = snapshot(tmp_path)
    volume = reopen(volume)
    assert "does not match its record" in problem(volume)
    check_content(volume, 1, 2, 3, 4, 5)
    with pytest.raises(NeedleCorruptedError):
        volume.read(6)
    volume.close()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_last_record_stored_under_another_key(tmp_path: Path, version: int) -> None:
    """WriteNeedleBlob can do that; upstream minds it in versions 1 and 2 only."""
    volume = filled(tmp_path, version=version)
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[5 * 17 + 7] = 0x66
    (tmp_path / "7.idx").write_bytes(content)
    volume = reopen(volume)
    assert volume.read_only is (version < 3)
    with pytest.raises(NeedleCorruptedError, match="index key 66 does not match needle's Id 6"):
        volume.read(0x66)


def test_a_last_tombstone_of_another_key(tmp_path: Path) -> None:
    volume = reopen(filled(tmp_path))
    volume.delete(6, 0, 0)
    volume.close()
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[6 * 17 + 7] = 5
    (tmp_path / "7.idx").write_bytes(content)
    volume = reopen(volume)
    assert "found needle 6" in problem(volume)


# --- what may not, or cannot be repaired ---------------------------------------------------------


@pytest.mark.parametrize("damage", ["torn tail", "no row", "partial row", "short record"])
def test_a_volume_that_is_read_only_by_its_vif_is_left_as_it_is(
    tmp_path: Path, damage: str
) -> None:
    filled(tmp_path)
    info = volume_info.load(tmp_path / "7.vif")
    assert info is not None
    info.read_only = True
    volume_info.save(tmp_path / "7.vif", info)
    if damage == "torn tail":
        append(tmp_path, b"torn")
    elif damage == "no row":
        cut_rows(tmp_path, 1)
    elif damage == "partial row":
        os.truncate(tmp_path / "7.idx", 5 * 17 + 3)
    else:
        os.truncate(tmp_path / "7.dat", (tmp_path / "7.dat").stat().st_size - 3)
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    check_content(volume, 1, 2, 3, 4, 5)
    problem(volume)
    volume.close()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("step", ["ftruncate", "fsync", "scan_to_index", "find_record"])
@pytest.mark.parametrize("damage", ["torn tail", "partial row"])
def test_a_repair_that_fails_leaves_the_volume_readable_and_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, step: str
) -> None:
    volume = filled(tmp_path)
    if damage == "torn tail":
        append(tmp_path, b"torn!")
    else:
        os.truncate(tmp_path / "7.idx", 5 * 17 + 3)
    before = snapshot(tmp_path)
    real_truncate = os.ftruncate
    calls = [0]

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail_once(fd: int, length: int) -> None:
        calls[0] += 1
        if calls[0] == 1:
            fail()
        real_truncate(fd, length)

    if step == "find_record" and damage == "partial row":
        step = "scan_to_index"
    with monkeypatch.context() as patched:
        if step == "ftruncate":
            patched.setattr(index_repair.os, "ftruncate", fail_once)
        elif step == "fsync":
            patched.setattr(index_repair.os, "fsync", fail)
        else:
            patched.setattr(index_repair, step, fail)
        volume = open_volume(tmp_path)
    assert "cannot be repaired: [Errno 28] No space left on device" in problem(volume)
    check_content(volume, 1, 2, 3, 4, 5)
    assert snapshot(tmp_path) == before
    assert volume.mark_writable(), "there is room again"
    check_content(volume)
    volume.write(named(9, b"x"))
    check_content(reopen(volume))


def test_a_dropped_record_that_cannot_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled(tmp_path)
    os.truncate(tmp_path / "7.dat", (tmp_path / "7.dat").stat().st_size - 3)

    def fail(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(index_repair.os, "ftruncate", fail)
        volume = reopen(volume)
    assert "it cannot be repaired: [Errno 5]" in problem(volume)
    check_content(volume, 1, 2, 3, 4, 5)
