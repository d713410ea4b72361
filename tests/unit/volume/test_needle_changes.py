"""Needles written over and deleted: who may, and what is written at all."""

from pathlib import Path

import pytest
from volume_kit import (
    create,
    dat_of,
    named,
    needle,
    now_and_reopened,
    records,
    reopen,
    set_append_time,
)

from fastvol.errors import CookieMismatchError, NeedleDeletedError, StorageError
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL

# --- writing over --------------------------------------------------------------------------------


def test_the_last_write_of_a_needle_is_read(tmp_path: Path) -> None:
    volume = create(tmp_path)
    first = volume.write(named(1, b"one"))
    second = volume.write(named(1, b"another one"))
    assert second.offset > first.offset
    assert not second.unchanged
    for current in now_and_reopened(volume):
        assert current.read(1).data == b"another one"


@pytest.mark.parametrize("gone", [False, True])
def test_overwrite_needs_the_same_cookie(tmp_path: Path, gone: bool) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"one", cookie=0xAA))
    if gone:
        volume.delete(1, 0xAA, 0)
    size = volume.dat_size
    with pytest.raises(CookieMismatchError, match=r"^mismatching cookie bb$"):
        volume.write(named(1, b"two", cookie=0xBB))
    with pytest.raises(CookieMismatchError, match=r"^mismatching cookie 0$"):
        volume.write(named(1, b"two", cookie=0))
    assert volume.dat_size == size == len(dat_of(tmp_path))
    volume.write(named(1, b"two", cookie=0), check_cookie=False)
    assert (volume.read(1).cookie, volume.read(1).data) == (0xAA, b"two")


def test_overwriting_an_empty_file_needs_its_cookie(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"", cookie=0xAA))
    with pytest.raises(CookieMismatchError):
        volume.write(named(1, b"two", cookie=0xBB))
    volume.write(named(1, b"two", cookie=0xAA))
    assert volume.read(1).data == b"two"


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    """Only cookie and payload count: another name is not noticed (doWriteRequest)."""
    volume = create(tmp_path)
    first = volume.write(named(1, b"same"))
    before = volume.dat_size, volume.idx_size, volume.counters
    again = volume.write(named(1, b"same", name=b"other.txt"))
    assert again == type(again)(first.offset, first.size, True)
    assert (volume.dat_size, volume.idx_size, volume.counters) == before
    assert volume.read(1).name == b"a.bin"


def test_the_same_content_is_written_again_where_it_must(tmp_path: Path) -> None:
    (tmp_path / "ttl").mkdir()
    (tmp_path / "plain").mkdir()
    with_ttl = create(tmp_path / "ttl", ttl=TTL.parse("3d"))
    with_ttl.write(named(1, b"same"))
    assert not with_ttl.write(named(1, b"same")).unchanged  # its life begins anew
    volume = create(tmp_path / "plain")
    volume.write(named(1, b""))
    assert not volume.write(named(1, b"")).unchanged
    volume.write(named(2, b"same"))
    volume.delete(2, 0, 0)
    assert not volume.write(named(2, b"same")).unchanged
    assert volume.read(2).data == b"same"


def test_content_equal_to_a_damaged_record_is_written(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"hello"))
    volume.write(named(2, b"later"))
    dat = tmp_path / "7.dat"
    with dat.open("r+b") as file:
        file.seek(28)
        file.write(b"J")
    assert not volume.write(named(1, b"hello")).unchanged
    assert volume.read(1).data == b"hello"


def test_fields_that_no_record_can_hold(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for bad in (
        named(1, b"x", mime=b"m" * 256),
        named(1, b"x", flags=Needle.HAS_PAIRS, pairs=b"p" * 65536),
    ):
        with pytest.raises(StorageError, match=r"^needle 1 does not fit a record$"):
            volume.write(bad)
    assert len(dat_of(tmp_path)) == volume.dat_size == 8
    volume.write(named(1, b"x", name=b"n" * 300))
    assert volume.read(1).name == b"n" * 255


def test_append_times_strictly_increase(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in range(1, 50):
        volume.write(needle(key, b"x"))
        volume.delete(key, 0, 0)
    times = [item.append_at_ns for _, item in records(dat_of(tmp_path))]
    assert times == sorted(set(times))
    assert volume.last_append_at_ns == times[-1]


def test_append_times_continue_from_a_last_record_in_the_future(tmp_path: Path) -> None:
    volume = create(tmp_path)
    first = volume.write(needle(1, b"x"))
    volume.close()
    future = volume.last_append_at_ns + 10**15
    set_append_time(tmp_path / "7.dat", first.offset, first.size, future)
    volume = reopen(volume)
    assert volume.last_append_at_ns == future
    volume.write(needle(2, b"y"))
    assert volume.read(2).append_at_ns == future + 1


# --- deleting ------------------------------------------------------------------------------------


def test_a_deleted_needle_is_read_only_on_demand(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"hello"))
    volume.write(named(2, b"other"))
    assert volume.delete(1, 0xABCD, 0) == 32
    for current in now_and_reopened(volume):
        with pytest.raises(NeedleDeletedError, match=r"^already deleted$"):
            current.read(1)
        assert current.read(1, read_deleted=True).data == b"hello"
        assert current.read(2).data == b"other"


def test_deleting_nothing_writes_nothing(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"hello"))
    volume.delete(1, 0, 0)
    before = dat_of(tmp_path), (tmp_path / "7.idx").read_bytes()
    assert volume.delete(1, 0, 0) == 0
    assert volume.delete(99, 0, 0) == 0
    assert (dat_of(tmp_path), (tmp_path / "7.idx").read_bytes()) == before


def test_a_deleted_needle_can_be_written_again(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"one"))
    volume.delete(1, 0, 0)
    volume.write(named(1, b"two"))
    for current in now_and_reopened(volume):
        assert current.read(1).data == b"two"
