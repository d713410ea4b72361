"""Needles read back: all that was written, only while it lives, and never damaged."""

from pathlib import Path

import pytest
from volume_kit import create, dat_of, named, needle, now_and_reopened, reopen

from fastvol.errors import (
    NeedleCorruptedError,
    NeedleDeletedError,
    NeedleNotFoundError,
    SizeMismatchError,
)
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL

MINUTE_NS = 60 * 10**9


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2, 3])
def test_reads_all_fields_back_also_after_a_reload(tmp_path: Path, version: int) -> None:
    volume = create(tmp_path, version=version)
    stored = named(
        1,
        b"hello" * 1000,
        flags=Needle.HAS_PAIRS | Needle.IS_COMPRESSED,
        pairs=b'{"A":"b"}',
    )
    volume.write(stored)
    for current in now_and_reopened(volume):
        found = current.read(1)
        assert (found.id, found.cookie, found.data) == (1, stored.cookie, stored.data)
        assert found.checksum == stored.checksum
        if version == 1:
            assert found.flags == 0
            continue
        assert (found.name, found.mime, found.pairs) == (b"a.bin", b"text/x-foo", b'{"A":"b"}')
        assert (found.flags, found.last_modified) == (stored.flags, 1700000000)
        assert bool(found.append_at_ns) == (version == 3)


def test_an_absent_needle_is_not_found(tmp_path: Path) -> None:
    volume = create(tmp_path)
    with pytest.raises(NeedleNotFoundError, match=r"^not found$"):
        volume.read(1)


def test_metadata_only_above_a_body_size(tmp_path: Path) -> None:
    volume = create(tmp_path)
    data = bytes(range(256)) * 10
    volume.write(named(1, data))
    volume.write(named(2, b"small"))
    large = volume.load(1, meta_above=100)
    assert large.meta_only
    assert large.needle.data == b""
    assert (large.data_size, large.needle.name) == (len(data), b"a.bin")
    at = large.data_offset
    assert dat_of(tmp_path)[at : at + large.data_size] == data
    volume.verify(large)
    assert large.needle.checksum == volume.read(1).checksum
    small = volume.load(2, meta_above=100)
    assert not small.meta_only
    assert small.needle.data == b"small"


def test_a_checksum_in_the_legacy_form_is_right_too(tmp_path: Path) -> None:
    from fastvol.formats.needle import legacy_checksum

    volume = create(tmp_path)
    volume.write(named(1, b"hello seaweed"))
    volume.close()
    raw, legacy = (0xE19F6EF3).to_bytes(4), legacy_checksum(0xE19F6EF3).to_bytes(4)
    assert legacy.hex() == "806aae16"
    dat = tmp_path / "7.dat"
    dat.write_bytes(dat.read_bytes().replace(raw, legacy))
    volume = reopen(volume)
    assert volume.read(1).checksum == 0xE19F6EF3
    meta = volume.load(1, meta_above=0)
    assert meta.needle.checksum == 0x806AAE16
    volume.verify(meta)
    assert meta.needle.checksum == 0xE19F6EF3


def test_a_damaged_payload_is_an_error_of_that_needle_only(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(0x4D, b"hello"))
    volume.write(named(2, b"whole"))
    volume.close()
    dat = tmp_path / "7.dat"
    dat.write_bytes(dat.read_bytes().replace(b"hello", b"jello"))
    volume = reopen(volume)
    with pytest.raises(NeedleCorruptedError, match=r"^invalid CRC for needle 4d \(got [0-9a-f]{8}"):
        volume.read(0x4D)
    meta = volume.load(0x4D, meta_above=0)
    with pytest.raises(NeedleCorruptedError, match=r"want 9a71bb4c.*: needle data corrupted$"):
        volume.verify(meta)
    assert volume.read(2).data == b"whole"


def test_damaged_lengths_are_errors_that_name_them(tmp_path: Path) -> None:
    volume = create(tmp_path)
    at = volume.write(named(1, b"hello")).offset
    volume.write(named(2, b"whole"))
    volume.close()
    dat = tmp_path / "7.dat"
    content = bytearray(dat.read_bytes())
    content[at + 19] = 0xFF  # data size
    dat.write_bytes(content)
    volume = reopen(volume)
    with pytest.raises(
        NeedleCorruptedError, match=r"^index out of range 1: needle data corrupted$"
    ):
        volume.read(1)
    content[at + 15] += 1  # size
    dat.write_bytes(content)
    with pytest.raises(
        SizeMismatchError,
        match=r"^size mismatch: entry not found: offset 8 found id 31 size 33, expected size 32$",
    ):
        volume.read(1)


def test_a_record_that_lost_its_data_size_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    volume = create(tmp_path)
    at = volume.write(named(1, b"hello")).offset
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(at + 16)
        file.write(bytes(4))
    for meta_above in (None, 0):
        with pytest.raises(NeedleCorruptedError, match=r"^index out of range "):
            volume.load(1, meta_above=meta_above)


# --- empty files ---------------------------------------------------------------------------------


def test_an_empty_file_is_read_until_it_is_deleted(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b""))
    for current in now_and_reopened(volume):
        found = current.read(1)
        assert (found.data, found.size, found.flags) == (b"", 0, 0)
    volume = current
    assert volume.delete(1, 0, 0) == 0
    for current in now_and_reopened(volume):
        with pytest.raises(NeedleDeletedError):
            current.read(1)
        with pytest.raises(NeedleDeletedError):
            current.read(1, read_deleted=True)


def test_a_row_that_lost_its_size_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"hello"))
    volume.write(named(2, b"later"))
    volume.close()
    idx = tmp_path / "7.idx"
    content = bytearray(idx.read_bytes())
    content[16] = 0
    idx.write_bytes(content)
    with pytest.raises(SizeMismatchError):
        reopen(volume).read(1)


# --- TTL -----------------------------------------------------------------------------------------


def test_needles_inherit_the_volumes_ttl(tmp_path: Path) -> None:
    volume = create(tmp_path, ttl=TTL.parse("3d"))
    volume.write(named(1, b"x"))
    volume.write(named(2, b"x", flags=Needle.HAS_TTL, ttl=TTL.parse("5m")))
    assert (volume.read(1).ttl, volume.read(2).ttl) == (TTL.parse("3d"), TTL.parse("5m"))
    assert volume.read(1).has_ttl


@pytest.mark.parametrize(
    ("minutes_later", "flags", "text", "alive"),
    [
        (2, Needle.HAS_TTL, "3m", True),
        (4, Needle.HAS_TTL, "3m", False),
        (10**6, 0, "3m", True),
        (10**6, Needle.HAS_TTL, "", True),
    ],
)
def test_a_needles_ttl_counts_from_its_append(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    minutes_later: int,
    flags: int,
    text: str,
    alive: bool,
) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x", flags=flags, ttl=TTL.parse(text), last_modified=1))
    then = volume.last_append_at_ns + minutes_later * MINUTE_NS
    monkeypatch.setattr("fastvol.volume.needles.time.time_ns", lambda: then)
    if alive:
        assert volume.read(1).data == b"x"
        return
    with pytest.raises(NeedleNotFoundError, match=r"^not found$"):
        volume.read(1)
    with pytest.raises(NeedleNotFoundError, match=r"^not found$"):
        volume.load(1, meta_above=0)


def test_without_a_last_modified_time_a_needle_never_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"x", flags=Needle.HAS_TTL, ttl=TTL.parse("3m")))
    then = volume.last_append_at_ns + 10**6 * MINUTE_NS
    monkeypatch.setattr("fastvol.volume.needles.time.time_ns", lambda: then)
    assert volume.read(1).data == b"x"
