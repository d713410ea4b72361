"""Visiting records: all of them, in the order of the data file, whatever the index says of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_kit import create, dat_of, named, records

from fastvol._cffi import fault as native
from fastvol._cffi.crc32c import crc32c
from fastvol.formats.needle import Needle, decode, encode
from fastvol.volume.visitor import Record, VisitStop, visit_records


@pytest.fixture(name="dat")
def dat_fixture(tmp_path: Path) -> Iterator[int]:
    """A data file of 2500 records, among them overwritten ones, empty ones and tombstones."""
    volume = create(tmp_path)
    for key in range(1, 2000):
        volume.write(named(key, bytes([key & 0xFF]) * (key % 60), pairs=b'{"A":"b"}', flags=0x20))
    for key in range(1, 500):
        volume.write(named(key, b"again"))
        if key % 500 == 0:
            volume.delete(key, 0, 0)
    for key in range(1, 3):
        volume.delete(key, 7, 9)
    volume.close()
    fd = os.open(tmp_path / "7.dat", os.O_RDONLY)
    yield fd
    os.close(fd)


def size_of(fd: int) -> int:
    return os.fstat(fd).st_size


@pytest.mark.parametrize("check", [False, True])
def test_records_are_those_of_the_python_codec(dat: int, tmp_path: Path, check: bool) -> None:
    content = dat_of(tmp_path)
    visit = visit_records(dat, 8, len(content), 3, check=check)
    count = 0
    for record, (offset, needle) in zip(visit, records(content), strict=True):
        count += 1
        raw = content[record.offset : record.end]
        assert (record.offset, record.id, record.cookie) == (offset, needle.id, needle.cookie)
        assert (record.size, record.flags, record.fault) == (needle.size, needle.flags, 0)
        assert (record.checksum, record.append_at_ns) == (needle.checksum, needle.append_at_ns)
        assert record.ttl == needle.ttl.to_bytes()
        assert record.last_modified == needle.last_modified
        for at, length, field in (
            (record.data_at, record.data_size, needle.data),
            (record.name_at, record.name_size, needle.name),
            (record.mime_at, record.mime_size, needle.mime),
            (record.pairs_at, record.pairs_size, needle.pairs),
        ):
            assert raw[at : at + length] == field
    assert count == 2500
    assert (visit.stopped, visit.position) == (VisitStop.END, len(content))


def test_headers_alone(dat: int) -> None:
    end = size_of(dat)
    full = [record[:5] for record in visit_records(dat, 8, end, 3)]
    assert [record[:5] for record in visit_records(dat, 8, end, 3, fields=False)] == full
    assert sum(len(list(batch)) for batch in visit_records(dat, 8, end, 3).batches()) == 2500


def test_a_visit_from_the_middle(dat: int) -> None:
    end = size_of(dat)
    every = list(visit_records(dat, 8, end, 3))
    assert list(visit_records(dat, every[1500].offset, end, 3)) == every[1500:]
    visit = visit_records(dat, 8, every[1500].end - 1, 3)
    assert list(visit) == every[:1500]
    assert (visit.stopped, visit.position) == (VisitStop.TORN, every[1500].offset)


def test_a_damaged_record_does_not_hide_the_others(tmp_path: Path, dat: int) -> None:
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(8 + 20)
        file.write(b"?")
    first = next(iter(visit_records(dat, 8, size_of(dat), 3, check=True)))
    assert first.fault == native.BAD_CRC
    assert first.append_at_ns != 0
    assert len(list(visit_records(dat, 8, size_of(dat), 3, check=True))) == 2500


def test_errors(dat: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        list(visit_records(-1, 8, 100, 3))
    with pytest.raises(ValueError, match="version 4"):
        visit_records(dat, 8, 100, 4)


def _step_through(content: bytes, version: int, **mode: bool) -> list[Record]:
    fd = os.memfd_create("garbage")
    try:
        os.write(fd, content)
        visit = visit_records(fd, 8, len(content), version, **mode)
        found = list(visit)
        assert visit.stopped is not VisitStop.MORE
        assert visit.position <= max(8, len(content))
        return found
    finally:
        os.close(fd)


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=600),
    version=st.integers(1, 3),
    fields=st.booleans(),
    check=st.booleans(),
    pass_zeros=st.booleans(),
)
def test_garbage_never_crashes_or_loops(
    content: bytes, version: int, fields: bool, check: bool, pass_zeros: bool
) -> None:
    found = _step_through(content, version, fields=fields, check=check, pass_zeros=pass_zeros)
    ends = 8
    for record in found:
        assert record.offset >= ends
        assert record.length > 0
        ends = record.end
    assert ends <= max(8, len(content))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hit_records_are_described_or_end_the_visit(data: st.DataObject) -> None:
    """What is said to be sound is what the Python codec reads."""
    content = bytearray(_SOUND)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(8, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    for record in _step_through(bytes(content), 3, check=True):
        if record.fault == 0:
            needle = decode(bytes(content[record.offset : record.end]), record.size, 3)
            assert (needle.id, needle.cookie) == (record.id, record.cookie)


def _sound() -> bytes:
    parts = [b"\x03" + bytes(7)]
    for key in range(1, 6):
        payload = b"x" * key * 9
        needle = Needle(
            key, key, payload, flags=0x0E, name=b"n", mime=b"m", checksum=crc32c(payload)
        )
        parts.append(encode(needle, 3))
    return b"".join(parts)


_SOUND = _sound()
