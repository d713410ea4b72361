"""What is a chunk manifest, and what is none."""

import json

import pytest

from fastvol.http.compression import gzip_bytes
from fastvol.http.manifest import parse_manifest
from fastvol.limits import MANIFEST_BYTES_MAX

INT64_MAX = (1 << 63) - 1


def listing(*chunks: dict[str, object]) -> bytes:
    return json.dumps({"name": "n", "chunks": chunks}).encode()


def test_chunks_are_in_the_order_of_their_offsets() -> None:
    found = parse_manifest(
        listing({"fid": "1,b", "offset": 5, "size": 2}, {"fid": "1,a", "size": 5}),
        is_compressed=False,
    )
    assert [chunk.fid for chunk in found.chunks] == ["1,a", "1,b"]
    assert found.content_size == 7


@pytest.mark.parametrize(
    "chunks",
    [
        [{"fid": "1,a", "size": INT64_MAX}, {"fid": "1,b", "size": 1}],
        [{"fid": "1,a", "size": 1 << 63}],
    ],
)
def test_no_length_is_more_than_a_length_can_be(
    chunks: list[dict[str, object]],
) -> None:
    with pytest.raises(ValueError, match=r"63 bits|64-bit"):
        parse_manifest(listing(*chunks), is_compressed=False)


@pytest.mark.parametrize(
    "chunks",
    [
        [{"fid": "1,a", "size": -1}],
        [{"fid": "1,a", "size": 9}, {"fid": "1,b", "size": -1}],
        [{"fid": "1,a", "size": 9, "offset": -1}],
    ],
)
def test_less_than_nothing_is_a_manifest_that_cannot_be_read(
    chunks: list[dict[str, object]],
) -> None:
    assert not parse_manifest(listing(*chunks), is_compressed=False).is_readable


def test_what_is_too_long_or_too_deep_is_no_manifest() -> None:
    for text in (b"[" * 100_000, b'{"chunks":' + b"[" * 100_000):
        with pytest.raises(ValueError, match="too deep"):
            parse_manifest(text, is_compressed=False)
    blanks = b" " * MANIFEST_BYTES_MAX + b"{}"
    for text in (blanks, gzip_bytes(blanks)):
        with pytest.raises(ValueError, match="more than"):
            parse_manifest(text, is_compressed=text is not blanks)


def test_names_can_be_sent_whatever_they_hold() -> None:
    found = parse_manifest(
        b'{"name":"a\\ud800b","mime":"\\udfff/\\ud83d\\ude00"}', is_compressed=False
    )
    assert (found.name, found.mime) == ("a\ufffdb", "\ufffd/\U0001f600")
