"""Needles on the disk, byte for byte: examples written by weed 4.48."""

import gzip
from pathlib import Path

import pytest
from volume_kit import create, dat_of, named, records, rows

from fastvol.formats.needle import Needle, actual_size
from fastvol.formats.ttl import TTL


def expect(directory: Path, at: int, head: str, tail: str, after: str = "") -> None:
    """The record at ``at``: ``head`` up to the checksum, any AppendAtNs, then the padding."""
    record = dat_of(directory)[at:]
    first, last = bytes.fromhex(head + tail), bytes.fromhex(after)
    assert record[: len(first)] == first
    assert len(record) == len(first) + 8 + len(last)
    assert record[len(first) + 8 :] == last


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
