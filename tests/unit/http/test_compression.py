"""What is stored compressed, and that compressed bytes are reproducible and bounded."""

import gzip
import zlib

import pytest

from fastvol.http.compression import (
    GunzipError,
    compress_if_smaller,
    gunzip,
    gzip_bytes,
    is_compressible,
)


@pytest.mark.parametrize(
    ("name", "mime", "expected"),
    [
        ("a.txt", "text/plain; charset=utf-8", True),
        ("a.bin", "text/x", True),
        ("a.zip", "text/plain", True),
        ("", "application/xml", True),
        ("", "application/xhtml+xml", True),
        ("", "application/javascript", True),
        ("", "application/json", False),
        ("a.json", "application/json", False),
        (".json", "application/json", True),
        (".pdf", "", True),
        ("", "application/pdf", False),
        ("", "application/zstd", False),
        ("", "application/vnd.rar", False),
        ("", "image/svg+xml", False),
        (".svg", "image/svg+xml", True),
        (".bmp", "", True),
        (".zip", "application/xml", False),
        (".png", "", False),
        ("", "audio/wav", True),
        ("", "audio/x-pn-wav", True),
        ("", "audio/mpeg", False),
        ("", "", False),
    ],
)
def test_type_rule(name: str, mime: str, expected: bool) -> None:
    assert is_compressible(name, mime) is expected


def test_gzip_is_deterministic_and_marked_like_upstream_s() -> None:
    data = b"hello world " * 20
    first = gzip_bytes(data)
    assert first == gzip_bytes(memoryview(data))
    assert first[:10] == bytes.fromhex("1f8b08000000000004ff")
    assert gzip.decompress(first) == data


def test_only_a_saving_of_more_than_a_tenth_counts() -> None:
    assert compress_if_smaller(b"a" * 100) is not None
    assert compress_if_smaller(b"ab") is None
    assert compress_if_smaller(b"") is None
    incompressible = zlib.compress(bytes(range(256)) * 64, 9)[:100] * 1
    assert compress_if_smaller(incompressible) is None


def test_gunzip_reads_several_members() -> None:
    assert gunzip(gzip_bytes(b"ab") + gzip_bytes(b"cd"), 4) == b"abcd"
    assert gunzip(gzip_bytes(b""), 0) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain",
        b"\x1f\x8b",
        gzip_bytes(b"hello")[:-1],
        gzip_bytes(b"hello")[:-8] + b"\0" * 8,
        gzip_bytes(b"hello") + b"x",
        gzip_bytes(b"hello") + b"\0\0",
        gzip_bytes(bytes(101)),
    ],
)
def test_gunzip_refuses_damage_and_bombs(data: bytes) -> None:
    with pytest.raises(GunzipError):
        gunzip(data, 100)
