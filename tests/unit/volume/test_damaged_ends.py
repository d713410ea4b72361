"""Every cut and every flipped byte: a read gives the right bytes or a clean error.

The right bytes are those of the latest version of a needle, or of an earlier one where the index
lost the row of the latest. A needle whose cookie is another one than was written counts as
refused: so does HTTP treat it, and a damaged index row can lead to another needle's record.
"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from volume_kit import cookie_of, create, named, needle, open_volume, rows, snapshot

from fastvol.errors import NeedleNotFoundError, StorageError, VolumeDamagedError
from fastvol.formats.needle import Needle, actual_size
from fastvol.volume.volume import Volume

MASKS = (0x01, 0x20, 0x80, 0xFF)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Thousands of openings: neither what is durable nor what is logged matters here."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Small:
    """A volume of eight needles, its files as they should be, and what was ever written."""

    def __init__(self, directory: Path, version: int, width: int) -> None:
        self.directory = directory
        self.version = version
        self.width = width
        self.written: dict[int, list[bytes]] = {}
        self.deleted: set[int] = set()
        volume = create(directory, version=version, offset_width=width)
        for key in (1, 2, 3, 4, 5, 6):
            self._write(volume, named(key, b"%d:" % key + bytes([64 + key]) * key * 7))
        self._write(volume, named(2, b"2, second version"))
        self._write(volume, needle(7, b"7, without a name"))
        volume.delete(4, cookie_of(4), 0)
        self.deleted.add(4)
        self._write(volume, named(8, b"8, the last one"))
        volume.close()
        self.dat = (directory / "7.dat").read_bytes()
        self.idx = (directory / "7.idx").read_bytes()
        self.rows = rows(directory / "7.idx", width)

    def _write(self, volume: Volume, item: Needle) -> None:
        volume.write(item)
        self.written.setdefault(item.id, []).append(bytes(item.data))

    def ends(self) -> list[int]:
        """Where each record ends."""
        return [row.offset * 8 + actual_size(row.size, self.version) for row in self.rows]

    def put(self, dat: bytes, idx: bytes) -> None:
        (self.directory / "7.dat").write_bytes(dat)
        (self.directory / "7.idx").write_bytes(idx)

    def set_read_only(self) -> None:
        path = self.directory / "7.vif"
        path.write_text(json.dumps({**json.loads(path.read_text()), "readOnly": True}))

    def open(self) -> Volume | None:
        try:
            return open_volume(self.directory, default_offset_width=self.width)
        except VolumeDamagedError:
            return None

    def check(self, volume: Volume) -> set[int]:
        """No wrong bytes; the keys whose latest version was read."""
        latest = set()
        for key, versions in self.written.items():
            try:
                found = volume.read(key)
            except StorageError:
                continue
            if found.size and found.cookie != cookie_of(key):
                continue
            assert found.data in versions, f"key {key}"
            if found.data == versions[-1]:
                latest.add(key)
        return latest

    def latest_before(self, rows_left: int) -> set[int]:
        """Keys whose latest version the first rows of the index name."""
        last = {row.key: at for at, row in enumerate(self.rows)}
        return {key for key, at in last.items() if at < rows_left and self.rows[at].size > 0}


def damaged_copies(content: bytes, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    for at in range(start, len(content)):
        for mask in MASKS:
            yield at, mask, content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


SHAPES = pytest.mark.parametrize(("version", "width"), [(3, 5), (3, 4), (2, 5), (1, 4)])


@SHAPES
def test_every_length_of_the_data(tmp_path: Path, version: int, width: int) -> None:
    small = Small(tmp_path, version, width)
    whole = small.latest_before(len(small.rows))
    assert whole == {1, 2, 3, 5, 6, 7, 8}
    ends = small.ends()
    for length in range(len(small.dat) + 1):
        small.put(small.dat[:length], small.idx)
        volume = small.open()
        if length < 8:
            assert volume is None
            continue
        assert volume is not None
        readable = small.check(volume)
        records_left = sum(end <= length for end in ends)
        assert readable >= small.latest_before(len(small.rows)) & {
            row.key for row in small.rows[:records_left]
        } - {row.key for row in small.rows[records_left:]}
        torn_last = ends[-2] < length < ends[-1]
        assert volume.read_only is not (torn_last or length == len(small.dat))
        if torn_last:
            check_still_works(small, volume)
        elif volume.read_only:
            del volume
            assert (tmp_path / "7.dat").read_bytes() == small.dat[:length]
            assert (tmp_path / "7.idx").read_bytes() == small.idx


@SHAPES
def test_every_length_of_the_index(tmp_path: Path, version: int, width: int) -> None:
    """Everything comes back, for the data file has it all."""
    small = Small(tmp_path, version, width)
    everything = set(small.written) - small.deleted
    for length in range(len(small.idx) + 1):
        small.put(small.dat, small.idx[:length])
        volume = small.open()
        assert volume is not None
        assert not volume.read_only
        assert small.check(volume) == everything
        with pytest.raises(NeedleNotFoundError):
            volume.read(4)
        assert (tmp_path / "7.idx").read_bytes() == small.idx
        assert (tmp_path / "7.dat").read_bytes() == small.dat
        if length % 9 == 0:
            check_still_works(small, volume)


@SHAPES
def test_every_flipped_byte_of_the_last_record(tmp_path: Path, version: int, width: int) -> None:
    small = Small(tmp_path, version, width)
    others = set(small.written) - small.deleted - {8}
    start = small.rows[-1].offset * 8
    for at, mask, dat in damaged_copies(small.dat, start):
        small.put(dat, small.idx)
        volume = small.open()
        assert volume is not None
        assert small.check(volume) >= others, (at, mask)
        if volume.read_only:
            del volume
            assert (tmp_path / "7.dat").read_bytes() == dat
            assert (tmp_path / "7.idx").read_bytes() == small.idx
        elif mask == 0x20:
            check_still_works(small, volume)


@SHAPES
def test_every_flipped_byte_of_a_last_record_without_a_row(
    tmp_path: Path, version: int, width: int
) -> None:
    """The record is checked before it is indexed: a damaged one leaves no trace."""
    small = Small(tmp_path, version, width)
    others = set(small.written) - small.deleted - {8}
    start = small.rows[-1].offset * 8
    short_index = small.idx[: -(12 + width)]
    for at, mask, dat in damaged_copies(small.dat, start):
        small.put(dat, short_index)
        volume = small.open()
        assert volume is not None
        if 4 <= at - start < 12:
            continue  # its key: then it is another needle's record, and no sum says otherwise
        assert small.check(volume) >= others, (at, mask)
        if not volume.read_only:
            check_still_works(small, volume)


@SHAPES
def test_every_flipped_byte_of_the_index(tmp_path: Path, version: int, width: int) -> None:
    """Whatever a row says now, the needles of the other rows stay readable."""
    small = Small(tmp_path, version, width)
    everything = set(small.written) - small.deleted
    step = 12 + width
    for at, mask, idx in damaged_copies(small.idx):
        small.put(small.dat, idx)
        volume = small.open()
        assert volume is not None, (at, mask)
        touched = {small.rows[at // step].key}
        damaged_key = int.from_bytes(idx[at // step * step :][:8])
        assert small.check(volume) >= everything - touched - {damaged_key}, (at, mask)
        if volume.read_only:
            del volume
            assert (tmp_path / "7.dat").read_bytes() == small.dat, "nothing whole is ever cut"
            assert (tmp_path / "7.idx").read_bytes() == idx


@pytest.mark.parametrize("which", ["dat", "idx", "flips"])
def test_on_a_volume_read_only_by_its_vif_nothing_changes(tmp_path: Path, which: str) -> None:
    small = Small(tmp_path, 3, 5)
    small.set_read_only()

    def variants() -> Iterator[tuple[bytes, bytes]]:
        if which == "dat":
            for length in range(8, len(small.dat)):
                yield small.dat[:length], small.idx
        elif which == "idx":
            for length in range(len(small.idx)):
                yield small.dat, small.idx[:length]
        else:
            for _, _, dat in damaged_copies(small.dat, small.rows[-1].offset * 8):
                yield dat + b"torn", small.idx[:-20]

    for dat, idx in variants():
        small.put(dat, idx)
        before = snapshot(tmp_path)
        volume = small.open()
        assert volume is not None
        assert volume.no_write_or_delete
        small.check(volume)
        volume.close()
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("behind", [b"", b"\0" * 200, b"\xff" * 37])
def test_every_flipped_byte_of_the_one_before_last_without_rows(
    tmp_path: Path, behind: bytes
) -> None:
    """A whole record lies behind the damage: it is indexed or waits, but is never cut."""
    small = Small(tmp_path, 3, 5)
    start, last = small.rows[-3].offset * 8, small.rows[-1].offset * 8
    whole_last = small.dat[last:]
    for at, mask, dat in damaged_copies(small.dat[:last], start):
        small.put(dat + whole_last + behind, small.idx[: -3 * 17])
        volume = small.open()
        assert volume is not None
        del volume
        assert (tmp_path / "7.dat").read_bytes()[last:][: len(whole_last)] == whole_last, (at, mask)


def check_still_works(small: Small, volume: Volume) -> None:
    """It takes a write that the next opening finds, as it finds all else."""
    before = small.check(volume)
    volume.write(named(99, b"after the damage"))
    del volume
    again = small.open()
    assert again is not None
    assert not again.read_only
    assert again.read(99).data == b"after the damage"
    assert small.check(again) == before


@SHAPES
def test_every_flipped_byte_of_the_data(tmp_path: Path, version: int, width: int) -> None:
    """Only the needle that was hit may suffer, wherever it lies; the super block is none."""
    small = Small(tmp_path, version, width)
    whole = small.latest_before(len(small.rows))
    for at, mask, content in damaged_copies(small.dat):
        small.put(content, small.idx)
        volume = small.open()
        if volume is None:
            assert at < 8, (at, mask)
            continue
        latest = small.check(volume)
        if at >= 8:
            hit = small.rows[sum(end <= at for end in small.ends())].key
            assert latest >= whole - {hit}, (at, mask)
        volume.close()


@pytest.mark.parametrize("mask", MASKS)
def test_every_flipped_byte_of_the_vif(tmp_path: Path, mask: int) -> None:
    small = Small(tmp_path, 3, 5)
    path = tmp_path / "7.vif"
    content = path.read_bytes()
    for at in range(len(content)):
        small.put(small.dat, small.idx)
        path.write_bytes(content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :])
        volume = small.open()
        if volume is not None:
            small.check(volume)
            volume.close()
