"""The Python needle codec: records that weed wrote, and the C codec as its twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol._cffi import needle as core
from fastvol.errors import FastvolError, NeedleCorruptedError, SizeMismatchError
from fastvol.formats import needle as codec
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL

# Version, and a record that weed 4.48 wrote.
WEED_RECORDS = {
    "name, mime, time": (
        3,
        "0000abcd 0000000000000001 00000020 00000005 68656c6c6f 0e 05612e62696e"
        "0a746578742f782d666f6f 006553f100 9a71bb4c 18ea4e412240f45a 00000020",
    ),
    "tombstone": (
        3,
        "0000abcd 0000000000000001 00000000 9a71bb4c 18ea4e47a7afd689 00000000",
    ),
    "gzip": (
        3,
        "11223344 0000000000000002 00000038 00000018 1f8b080000000000020373"
        "74a43d00008dbc979564000000 0f 05672e62696e 0f6170706c69636174696f6e2f666f6f"
        "006553f100 a7c45dd7 18ea4e47b58e0b59 00000038",
    ),
    "ttl and pairs": (
        3,
        "11223344 0000000000000004 00000050 00000003 78797a 3e 0c342c30343131323233333434"
        "186170706c69636174696f6e2f6f637465742d73747265616d 006553f100 0303"
        "00197b22412d42223a2232222c224f776e6572223a22626f62227d"
        "25236885 18ea4e47c392be77 00000050",
    ),
    "version 2": (
        2,
        "0000abcd 0000000000000001 00000020 00000005 68656c6c6f 0e 05612e62696e"
        "0a746578742f782d666f6f 006553f100 9a71bb4c 6553f100",
    ),
    "version 2 tombstone": (2, "0000abcd 0000000000000001 00000000 9a71bb4c 00000000"),
    "version 1": (1, "0000abcd 0000000000000001 00000005 68656c6c6f 9a71bb4c 00000000000000"),
}


def record_of(name: str) -> tuple[int, bytes]:
    version, text = WEED_RECORDS[name]
    return version, bytes.fromhex(text)


@pytest.mark.parametrize("name", WEED_RECORDS)
def test_what_weed_wrote_is_read_and_written_again(name: str) -> None:
    version, record = record_of(name)
    size = int.from_bytes(record[12:16], "big")
    assert len(record) == codec.actual_size(size, version)
    needle = codec.decode(record, size, version, verify=size > 0)
    assert codec.encode(needle, version) == record


def test_the_fields_of_a_record() -> None:
    needle = codec.decode(record_of("ttl and pairs")[1], 0x50, 3)
    assert (needle.id, needle.cookie, bytes(needle.data)) == (4, 0x11223344, b"xyz")
    assert needle.name == b"4,0411223344"
    assert needle.mime == b"application/octet-stream"
    assert needle.last_modified == 1700000000
    assert needle.ttl == TTL.parse("3d")
    assert needle.pairs == b'{"A-B":"2","Owner":"bob"}'
    assert needle.etag == "25236885"
    assert needle.has_ttl and needle.has_pairs and needle.has_name and needle.has_mime
    assert needle.has_last_modified
    assert not needle.is_compressed and not needle.is_chunk_manifest


NEEDLES = st.builds(
    Needle,
    id=st.integers(0, 2**64 - 1),
    cookie=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=300),
    flags=st.integers(0, 255),
    name=st.binary(max_size=300),
    mime=st.binary(max_size=255),
    pairs=st.binary(max_size=400),
    last_modified=st.integers(0, 2**64 - 1),
    ttl=st.builds(TTL, st.integers(0, 255), st.integers(0, 255)),
    checksum=st.integers(0, 2**32 - 1),
    append_at_ns=st.integers(0, 2**64 - 1),
)
VERSIONS = st.sampled_from([1, 2, 3])


@given(NEEDLES, VERSIONS)
def test_the_c_codec_writes_the_same_records(needle: Needle, version: int) -> None:
    record = core.NeedleRecord(
        id=needle.id,
        cookie=needle.cookie,
        data=needle.data,
        flags=needle.flags,
        name=needle.name,
        mime=needle.mime,
        pairs=needle.pairs,
        last_modified=needle.last_modified,
        ttl=needle.ttl.to_bytes(),
        checksum=needle.checksum,
        append_at_ns=needle.append_at_ns,
    )
    prefix, suffix = core.build(record, version)
    assert prefix + bytes(needle.data) + suffix == codec.encode(needle, version)
    assert record.size == needle.size == codec.body_size(needle, version)
    assert core.actual_size(record.size, version) == codec.actual_size(record.size, version)


@given(st.binary(max_size=120), st.integers(0, 60), VERSIONS, st.booleans())
def test_the_c_codec_reads_the_same_fields(
    body: bytes, want_size: int, version: int, verify: bool
) -> None:
    """Arbitrary bodies behind a plausible header: same needle or same kind of refusal."""
    record = bytes(12) + want_size.to_bytes(4, "big") + body
    assert outcome(core.parse, record, want_size, version, verify) == outcome(
        codec.decode, record, want_size, version, verify
    )


@given(NEEDLES, VERSIONS, st.data())
def test_the_c_codec_finds_the_same_damage(
    needle: Needle, version: int, data: st.DataObject
) -> None:
    image = bytearray(codec.encode(needle, version))
    size = needle.size
    image[data.draw(st.integers(0, len(image) - 1))] ^= data.draw(st.integers(1, 255))
    for verify in (False, True):
        assert outcome(core.parse, bytes(image), size, version, verify) == outcome(
            codec.decode, bytes(image), size, version, verify
        )


def outcome(parse, record: bytes, want_size: int, version: int, verify: bool) -> object:
    try:
        found = parse(record, want_size, version, verify=verify)
    except FastvolError as error:
        part = str(error) if "out of range" in str(error) or "invalid CRC" in str(error) else ""
        return type(error), part
    ttl = found.ttl.to_bytes() if isinstance(found.ttl, TTL) else found.ttl
    return (
        *(found.id, found.cookie, found.size, bytes(found.data), found.flags, found.name),
        *(found.mime, found.pairs, found.last_modified, ttl, found.checksum, found.append_at_ns),
    )


def test_refusals_name_what_is_wrong() -> None:
    record = bytearray(record_of("name, mime, time")[1])
    with pytest.raises(SizeMismatchError, match="found id 31 size 32, expected size 33"):
        codec.decode(bytes(record), 33, 3)
    with pytest.raises(NeedleCorruptedError, match="EOF"):
        codec.decode(bytes(record[:-1]), 32, 3)
    record[20] ^= 1
    with pytest.raises(NeedleCorruptedError, match="want 9a71bb4c"):
        codec.decode(bytes(record), 32, 3)
    with pytest.raises(ValueError, match="does not fit"):
        codec.encode(Needle(1, 1, b"x", mime=b"m" * 256), 3)


def test_legacy_checksums_become_raw_ones() -> None:
    assert codec.legacy_checksum(0xE19F6EF3) == 0x806AAE16
    needle = Needle(1, 1, b"hello seaweed", checksum=0x806AAE16)
    record = codec.encode(needle, 3)
    assert codec.decode(record, needle.size, 3).etag == "e19f6ef3"
