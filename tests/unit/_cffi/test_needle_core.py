"""The C needle codec: sizes, padding bytes, parsing, faults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol._cffi import needle as core
from fastvol._cffi.crc32c import crc32c, legacy
from fastvol._cffi.needle import NeedleRecord
from fastvol.errors import NeedleCorruptedError, SizeMismatchError

WORKED_EXAMPLE = bytes.fromhex(
    "0000abcd 0000000000000001 00000020 00000005 68656c6c6f 0e"
    "05612e62696e 0a746578742f782d666f6f 006553f100"
    "9a71bb4c 18ea4e412240f45a 00000020"
)


def example() -> NeedleRecord:
    return NeedleRecord(
        id=1,
        cookie=0xABCD,
        data=b"hello",
        flags=0x0E,
        name=b"a.bin",
        mime=b"text/x-foo",
        last_modified=1700000000,
        checksum=0x9A71BB4C,
        append_at_ns=0x18EA4E412240F45A,
    )


def whole(record: NeedleRecord, version: int) -> bytes:
    prefix, suffix = core.build(record, version)
    return prefix + bytes(record.data) + suffix


@pytest.mark.parametrize(
    ("size", "length"),
    [
        *[(0, 32), (1, 32), (2, 32), (3, 32), (4, 40), (5, 40), (-1, 32)],
        *[(32, 64), (52, 88), (56, 88), (59, 88), (70, 104), (80, 112)],
    ],
)
def test_sizes_on_disk(size: int, length: int) -> None:
    assert core.actual_size(size, 3) == length
    assert core.actual_size(size, 2) == core.actual_size(size, 1)


def test_builds_what_weed_wrote() -> None:
    record = example()
    assert whole(record, 3) == WORKED_EXAMPLE
    assert record.size == 32


def test_padding_repeats_upstreams_scratch_bytes() -> None:
    record = example()
    assert whole(record, 2) == WORKED_EXAMPLE[:48] + bytes.fromhex("9a71bb4c 6553f100")
    record.flags = 0
    record.id = 0x1122334455667788
    assert core.build(record, 2)[1][-6:] == bytes.fromhex("9a71bb4c 1122")
    assert core.build(record, 1)[1][4:] == bytes.fromhex("11223344556677")


def test_parses_what_weed_wrote() -> None:
    parsed = core.parse(WORKED_EXAMPLE, 32, 3)
    want = example()
    want.size = 32
    parsed.data = bytes(parsed.data)
    assert parsed == want


RECORDS = st.builds(
    NeedleRecord,
    id=st.integers(0, 2**64 - 1),
    cookie=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=300),
    flags=st.integers(0, 255),
    name=st.binary(max_size=255),
    mime=st.binary(max_size=255),
    pairs=st.binary(max_size=400),
    last_modified=st.integers(0, 2**40 - 1),
    ttl=st.binary(min_size=2, max_size=2),
    append_at_ns=st.integers(0, 2**64 - 1),
)


@given(RECORDS, st.sampled_from([1, 2, 3]))
def test_what_is_built_parses(record: NeedleRecord, version: int) -> None:
    record.checksum = crc32c(record.data)
    image = whole(record, version)
    assert len(image) == core.actual_size(record.size, version)
    parsed = core.parse(image, record.size, version)
    assert (parsed.id, parsed.cookie, parsed.checksum) == (
        record.id,
        record.cookie,
        record.checksum,
    )
    assert bytes(parsed.data) == record.data
    fields = version > 1 and len(bytes(record.data)) > 0
    assert parsed.flags == (record.flags if fields else 0)
    assert parsed.name == (record.name if fields and record.flags & 2 else b"")
    assert parsed.mime == (record.mime if fields and record.flags & 4 else b"")
    assert parsed.last_modified == (record.last_modified if fields and record.flags & 8 else 0)
    assert parsed.ttl == (record.ttl if fields and record.flags & 16 else b"\0\0")
    assert parsed.pairs == (record.pairs if fields and record.flags & 32 else b"")
    assert parsed.append_at_ns == (record.append_at_ns if version == 3 else 0)


@given(st.binary(min_size=40, max_size=200), st.sampled_from([1, 2, 3]))
def test_garbage_never_crashes(image: bytes, version: int) -> None:
    size = int.from_bytes(image[12:16], "big", signed=True)
    for want in (size, 0, 8):
        try:
            core.parse(image, want, version)
        except (NeedleCorruptedError, SizeMismatchError):
            continue


def test_the_legacy_checksum_is_accepted_and_replaced_by_the_raw_one() -> None:
    record = example()
    record.checksum = legacy(0x9A71BB4C)
    assert core.parse(whole(record, 3), 32, 3).checksum == 0x9A71BB4C
    assert core.parse(whole(record, 3), 32, 3, verify=False).checksum == record.checksum


def test_a_flipped_bit_is_found() -> None:
    image = bytearray(WORKED_EXAMPLE)
    image[21] ^= 1
    with pytest.raises(NeedleCorruptedError, match=r"invalid CRC for needle 1 \(got .*9a71bb4c\)"):
        core.parse(image, 32, 3)
    assert core.parse(image, 32, 3, verify=False).id == 1


def test_another_size_is_a_mismatch() -> None:
    with pytest.raises(SizeMismatchError, match="found id 1 size 32, expected size 31"):
        core.parse(WORKED_EXAMPLE, 31, 3)


def test_a_short_buffer_is_an_error() -> None:
    for length in range(len(WORKED_EXAMPLE)):
        with pytest.raises(NeedleCorruptedError, match="EOF"):
            core.parse(WORKED_EXAMPLE[:length], 32, 3)


def test_a_length_that_leaves_the_body_is_named() -> None:
    image = bytearray(WORKED_EXAMPLE)
    image[16] = 0x7F
    with pytest.raises(NeedleCorruptedError, match="index out of range 1"):
        core.parse(image, 32, 3)


def test_fields_that_do_not_fit_are_refused() -> None:
    record = example()
    record.mime = b"m" * 256
    with pytest.raises(ValueError, match="needle 1 does not fit"):
        core.build(record, 3)
    record.mime, record.flags, record.pairs = b"", 0x20, b"p" * 65536
    with pytest.raises(ValueError, match="does not fit"):
        core.build(record, 3)
    with pytest.raises(ValueError, match="version 4"):
        core.build(record, 4)


def test_a_long_name_is_cut_at_255_bytes() -> None:
    record = example()
    record.name = b"n" * 300
    assert core.parse(whole(record, 3), record.size, 3).name == b"n" * 255
