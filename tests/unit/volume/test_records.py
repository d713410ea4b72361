"""Single records by their place: read without the payload, and written as they are."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_kit import create, needle, reopen

from fastvol.errors import NeedleCorruptedError, StorageError
from fastvol.formats.needle import Needle, actual_size, decode
from fastvol.formats.ttl import TTL
from fastvol.volume.records import read_meta, read_record, write_record
from fastvol.volume.volume import Volume

FIRST = 8


@st.composite
def needles(draw: st.DrawFn) -> Needle:
    """With any of the fields that a record may have."""
    fields = {}
    flags = draw(st.sampled_from([0, Needle.IS_COMPRESSED, Needle.IS_CHUNK_MANIFEST]))
    for flag, name, value in (
        (Needle.HAS_NAME, "name", st.binary(max_size=255)),
        (Needle.HAS_MIME, "mime", st.binary(max_size=255)),
        (Needle.HAS_LAST_MODIFIED, "last_modified", st.integers(0, 2**40 - 1)),
        (Needle.HAS_TTL, "ttl", st.sampled_from([TTL.parse("5m"), TTL.parse("3y")])),
        (Needle.HAS_PAIRS, "pairs", st.binary(max_size=2000)),
    ):
        if draw(st.booleans()):
            flags |= flag
            fields[name] = draw(value)
    data = draw(st.binary(max_size=200))
    return needle(draw(st.integers(0, 2**64 - 1)), data, flags=flags, **fields)


def without_payload(one: Needle) -> Needle:
    return dataclasses.replace(one, data=b"")


@pytest.mark.parametrize("version", [1, 2, 3])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(one=needles())
def test_metadata_is_that_of_the_whole_record(
    tmp_path_factory: pytest.TempPathFactory, version: int, one: Needle
) -> None:
    volume = create(tmp_path_factory.mktemp("v"), version=version)
    written = volume.write(one)
    whole = decode(
        read_record(volume, written.offset, written.size), written.size, version, verify=False
    )
    found = read_meta(volume, written.offset, written.size)
    assert without_payload(found) == without_payload(whole)
    volume.delete(one.id, one.cookie, one.checksum)
    tombstone = read_meta(volume, volume.dat_size - actual_size(0, version), -written.size)
    assert (tombstone.cookie, tombstone.checksum) == (one.cookie, one.checksum)
    volume.close()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    offset=st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 400)),
    size=st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(0, 200)),
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_any_place_is_a_record_or_an_error_of_the_volumes(
    tmp_path_factory: pytest.TempPathFactory, version: int, offset: int, size: int
) -> None:
    volume = create(tmp_path_factory.mktemp("v"), version=version)
    for key in range(1, 5):
        volume.write(needle(key, b"some payload" * key))
    for read in (read_record, read_meta):
        try:
            read(volume, offset, size)
        except StorageError as error:
            assert str(error)
    volume.close()


@pytest.mark.parametrize("version", [2, 3])
def test_lengths_that_leave_the_record_are_told(tmp_path: Path, version: int) -> None:
    """The size of the payload is not what it was."""
    volume = create(tmp_path, version=version)
    size = volume.write(needle(1, b"payload")).size
    path = tmp_path / "7.dat"
    volume.close()
    for broken in (2**32 - 1, 2**31, 1000, 3, 0):
        content = bytearray(path.read_bytes())
        content[FIRST + 16 : FIRST + 20] = broken.to_bytes(4)
        path.write_bytes(content)
        volume = reopen(volume)
        with suppress(NeedleCorruptedError):
            read_meta(volume, FIRST, size)
        volume.close()


def test_a_record_is_written_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    source, target = create(tmp_path / "a"), create(tmp_path / "b")
    one = needle(3, b"payload", flags=Needle.HAS_NAME, name=b"n")
    written = source.write(one)
    record = read_record(source, written.offset, written.size)
    write_record(target, 9, written.size, record)
    found = target.read(9)
    assert (bytes(found.data), found.name, found.id) == (b"payload", b"n", 9)
    assert found.append_at_ns > decode(record, written.size, 3).append_at_ns
    size = target.dat_size
    assert write_record(target, 9, written.size, record).unchanged
    assert target.dat_size == size
    again = reopen(target)
    assert bytes(again.read(9).data) == b"payload"
    again.close()
    source.close()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(-(2**31), 2**31 - 1), record=st.binary(max_size=80))
def test_what_is_no_record_is_not_written(
    tmp_path_factory: pytest.TempPathFactory, size: int, record: bytes
) -> None:
    volume = create(tmp_path_factory.mktemp("v"))
    before = volume.dat_size
    with pytest.raises(StorageError):
        write_record(volume, 1, size or 1, record)
    assert volume.dat_size == before
    volume.close()


def test_a_closed_or_read_only_volume_takes_and_gives_none(tmp_path: Path) -> None:
    volume: Volume = create(tmp_path)
    size = volume.write(needle(1, b"x")).size
    record = read_record(volume, FIRST, size)
    volume.mark_read_only(can_delete=True, persist=False)
    with pytest.raises(StorageError, match="read only"):
        write_record(volume, 2, size, record)
    volume.close()
    for read in (read_record, read_meta):
        with pytest.raises(StorageError):
            read(volume, FIRST, size)
