"""Needles in a volume: what is written, byte for byte, and what is read back."""

import gzip
from pathlib import Path

import pytest
from volume_kit import (
    create,
    named,
    needle,
    now_and_reopened,
    records,
    reopen,
    rows,
    set_append_time,
)

from fastvol.errors import (
    CookieMismatchError,
    NeedleCorruptedError,
    NeedleDeletedError,
    NeedleNotFoundError,
    SizeMismatchError,
    StorageError,
)
from fastvol.formats.needle import Needle, actual_size
from fastvol.formats.ttl import TTL

MINUTE_NS = 60 * 10**9


def dat_of(directory: Path) -> bytes:
    return (directory / "7.dat").read_bytes()


def expect(directory: Path, at: int, head: str, tail: str, after: str = "") -> None:
    """The record at ``at``: ``head`` up to the checksum, any AppendAtNs, then the padding."""
    record = dat_of(directory)[at:]
    first, last = bytes.fromhex(head + tail), bytes.fromhex(after)
    assert record[: len(first)] == first
    assert len(record) == len(first) + 8 + len(last)
    assert record[len(first) + 8 :] == last


# --- bytes on the disk: examples written by weed 4.48 --------------------------------------------


def test_bytes_of_a_named_needle_and_its_tombstone(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"hello", cookie=0xABCD))
    expect(
        tmp_path,
        8,
        "0000abcd 0000000000000001 00000020 00000005 68656c6c6f 0e 05612e62696e"
        "0a746578742f782d666f6f 006553f100",
        "9a71bb4c",
        "00000020",
    )
    idx = tmp_path / "7.idx"
    assert idx.read_bytes() == bytes.fromhex("0000000000000001 00000001 00 00000020")
    assert volume.delete(1, 0xABCD, 0x9A71BB4C) == 32
    expect(tmp_path, 0x48, "0000abcd 0000000000000001 00000000", "9a71bb4c", "00000000")
    assert idx.read_bytes()[17:] == bytes.fromhex("0000000000000001 00000009 00 ffffffff")
    assert len(dat_of(tmp_path)) == 8 + 64 + 32
    assert dat_of(tmp_path)[:8] == bytes.fromhex("03 00 0000 0000 0000")


def test_bytes_of_a_needle_with_ttl_and_pairs(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(
        named(
            4,
            b"xyz",
            cookie=0x11223344,
            name=b"4,0411223344",
            mime=b"application/octet-stream",
            flags=Needle.HAS_TTL | Needle.HAS_PAIRS,
            ttl=TTL.parse("3d"),
            pairs=b'{"A-B":"2","Owner":"bob"}',
        )
    )
    expect(
        tmp_path,
        8,
        "11223344 0000000000000004 00000050 00000003 78797a 3e 0c342c30343131323233333434"
        "186170706c69636174696f6e2f6f637465742d73747265616d 006553f100 0303"
        "00197b22412d42223a2232222c224f776e6572223a22626f62227d",
        "25236885",
        "00000050",
    )


def test_bytes_of_a_compressed_needle(tmp_path: Path) -> None:
    data = bytes.fromhex("1f8b080000000000020373 74a43d00008dbc97956400 0000")
    assert gzip.decompress(data) == b"A" * 100
    volume = create(tmp_path)
    flags = Needle.IS_COMPRESSED
    volume.write(
        named(2, data, cookie=0x11223344, name=b"g.bin", mime=b"application/foo", flags=flags)
    )
    expect(
        tmp_path,
        8,
        f"11223344 0000000000000002 00000038 00000018 {data.hex()} 0f 05672e62696e"
        "0f6170706c69636174696f6e2f666f6f 006553f100",
        "a7c45dd7",
        "00000038",
    )


def test_bytes_of_a_manifest_with_an_empty_mime(tmp_path: Path) -> None:
    volume = create(tmp_path)
    data = b"x" * 40
    fields = {"name": b"big.bin", "mime": b"", "flags": Needle.IS_CHUNK_MANIFEST}
    result = volume.write(named(5, data, **fields))
    assert result.size == 0x3B
    record = dat_of(tmp_path)[8:]
    assert record[60:75] == bytes.fromhex("8e 07 6269672e62696e 00 006553f100")
    assert len(record) == actual_size(0x3B, 3) == 88  # one byte of padding


def test_padding_is_eight_bytes_rather_than_none(tmp_path: Path) -> None:
    volume = create(tmp_path)
    result = volume.write(named(3, b"x" * 25))
    assert result.size == 0x34
    assert dat_of(tmp_path)[-8:] == bytes.fromhex("00000034 00000000")


def test_bytes_of_an_empty_file_keep_neither_name_nor_flags(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(9, b"", cookie=0x11223344))
    expect(tmp_path, 8, "11223344 0000000000000009 00000000", "00000000", "00000000")
    assert rows(tmp_path / "7.idx") == [(9, 1, 0)]


def test_bytes_of_version_2(tmp_path: Path) -> None:
    volume = create(tmp_path, version=2)
    volume.write(named(1, b"hello", cookie=0xABCD))
    volume.delete(1, 0xABCD, 0x9A71BB4C)
    assert dat_of(tmp_path) == bytes.fromhex(
        "02 00 0000 0000 0000"
        "0000abcd 0000000000000001 00000020 00000005 68656c6c6f 0e 05612e62696e"
        "0a746578742f782d666f6f 006553f100 9a71bb4c 6553f100"
        "0000abcd 0000000000000001 00000000 9a71bb4c 00000000"
    )


def test_bytes_of_version_1(tmp_path: Path) -> None:
    volume = create(tmp_path, version=1)
    volume.write(named(1, b"hello", cookie=0xABCD))
    assert dat_of(tmp_path)[8:] == bytes.fromhex(
        "0000abcd 0000000000000001 00000005 68656c6c6f 9a71bb4c 00000000000000"
    )


def test_rows_with_four_byte_offsets(tmp_path: Path) -> None:
    volume = create(tmp_path, offset_width=4)
    volume.write(named(1, b"hello"))
    row = bytes.fromhex("0000000000000001 00000001 00000020")
    assert (tmp_path / "7.idx").read_bytes() == row


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("offset_width", [4, 5])
def test_the_python_codec_reads_what_was_written(
    tmp_path: Path, version: int, offset_width: int
) -> None:
    volume = create(tmp_path, version=version, offset_width=offset_width)
    written = [named(key, bytes([key]) * (key * 37 % 90)) for key in range(1, 20)]
    offsets = [volume.write(item).offset for item in written]
    found = list(records(dat_of(tmp_path), version))
    assert [at for at, _ in found] == offsets
    for item, (_, stored) in zip(written, found, strict=True):
        assert (stored.id, stored.cookie) == (item.id, item.cookie)
        assert bytes(stored.data) == item.data
    assert [row.offset * 8 for row in rows(tmp_path / "7.idx", offset_width)] == offsets


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


def test_absent_needle(tmp_path: Path) -> None:
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


def test_damaged_payload(tmp_path: Path) -> None:
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


def test_damaged_lengths(tmp_path: Path) -> None:
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


def test_empty_file(tmp_path: Path) -> None:
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


# --- writing over --------------------------------------------------------------------------------


def test_overwrite(tmp_path: Path) -> None:
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


def test_delete(tmp_path: Path) -> None:
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
