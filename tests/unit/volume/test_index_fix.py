"""An index made anew from a data file: what upstream would write, and more behind damage."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_kit import FIRST, create, dat_of, named, needle, open_volume, records, rows, snapshot

from fastvol._cffi.survey import ExtentKind
from fastvol.errors import NeedleNotFoundError, StorageError
from fastvol.formats.index_entry import encode_row
from fastvol.formats.needle import actual_size
from fastvol.volume import index_fix
from fastvol.volume.files import VolumeFiles
from fastvol.volume.index_fix import fix_index


def files_in(directory: Path) -> VolumeFiles:
    return VolumeFiles.of(directory, directory, "", 7)


def filled(directory: Path, *, version: int = 3, width: int = 5) -> None:
    volume = create(directory, version=version, offset_width=width)
    for key in range(1, 30):
        volume.write(named(key, bytes([key]) * key * 31))
    for key in (2, 9, 20):
        volume.write(named(key, b"again %d" % key))
    for key in (3, 9, 25):
        volume.delete(key, 1, 2)
    volume.write(named(3, b"back"))
    volume.close()


def expected(directory: Path, *, version: int, width: int, include_deleted: bool) -> bytes:
    """By upstream's rule, from the Python codec."""
    live: dict[int, tuple[int, int]] = {}
    dead: dict[int, tuple[int, int]] = {}
    for offset, one in records(dat_of(directory), version):
        if one.size:
            live[one.id] = offset, one.size
        elif include_deleted:
            dead[one.id] = offset, -1
        else:
            live.pop(one.id, None)
    found = sorted(
        (offset, key, size) for table in (live, dead) for key, (offset, size) in table.items()
    )
    return b"".join(encode_row(key, offset // 8, size, width) for offset, key, size in found)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("width", [4, 5])
@pytest.mark.parametrize("include_deleted", [True, False])
def test_the_last_record_and_tombstone_of_each_needle_get_rows(
    tmp_path: Path, version: int, width: int, include_deleted: bool
) -> None:
    filled(tmp_path, version=version, width=width)
    wanted = expected(tmp_path, version=version, width=width, include_deleted=include_deleted)
    (tmp_path / "7.sdx").write_bytes(b"of the old index")
    fixed = fix_index(files_in(tmp_path), include_deleted=include_deleted)
    assert (tmp_path / "7.idx").read_bytes() == wanted
    assert fixed.clean
    assert fixed.records == 36
    assert fixed.rows == len(wanted) // (12 + width)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7.dat", "7.idx", "7.vif"]
    # Fixing what is fixed changes nothing.
    fix_index(files_in(tmp_path), include_deleted=include_deleted)
    assert (tmp_path / "7.idx").read_bytes() == wanted


def starts(directory: Path) -> list[tuple[int, int]]:
    return [(offset, one.id) for offset, one in records(dat_of(directory))]


def damage(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.mark.parametrize("size", [0, 5, 2**31 - 1, 2**32 - 1])
def test_behind_a_broken_header_it_goes_on_at_the_next_record(tmp_path: Path, size: int) -> None:
    filled(tmp_path)
    before = rows(tmp_path / "7.idx")
    at, key = starts(tmp_path)[10]
    after = starts(tmp_path)[11][0]
    damage(tmp_path / "7.dat", at + 12, size.to_bytes(4))
    fixed = fix_index(files_in(tmp_path))
    assert [(one.kind, one.offset, one.length) for one in fixed.skipped] == [
        (ExtentKind.DAMAGED, at, after - at)
    ]
    assert not fixed.clean
    keys = {row.key for row in rows(tmp_path / "7.idx")}
    assert keys == {row.key for row in before} - {key}
    volume = open_volume(tmp_path)
    assert volume.read(29).data == bytes([29]) * 29 * 31
    with pytest.raises(NeedleNotFoundError):
        volume.read(25)  # its tombstone lies behind the damage
    volume.close()


def test_a_tombstone_right_behind_damage_is_found(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in (1, 2):
        volume.write(named(key, b"content"))
    volume.delete(1, 5, 5)
    volume.delete(2, 5, 5)
    volume.close()
    at = starts(tmp_path)[1][0]
    damage(tmp_path / "7.dat", at + 12, b"\xff\xff\xff\xff")
    fixed = fix_index(files_in(tmp_path))
    assert fixed.records == 3
    assert [row.key for row in rows(tmp_path / "7.idx")] == [1, 1, 2]


def test_a_record_with_a_wrong_checksum_between_good_ones_keeps_its_row(tmp_path: Path) -> None:
    filled(tmp_path)
    fix_index(files_in(tmp_path))
    wanted = (tmp_path / "7.idx").read_bytes()
    at, key = starts(tmp_path)[12]
    damage(tmp_path / "7.dat", at + 30, b"\xee\xee")
    fixed = fix_index(files_in(tmp_path))
    assert (tmp_path / "7.idx").read_bytes() == wanted
    assert [(one.kind, one.offset, one.key) for one in fixed.skipped] == [
        (ExtentKind.BAD_RECORD, at, key)
    ]


def test_a_torn_tail_and_zeros_get_no_rows(tmp_path: Path) -> None:
    filled(tmp_path)
    fix_index(files_in(tmp_path))
    wanted = (tmp_path / "7.idx").read_bytes()
    whole = dat_of(tmp_path)
    for tail, kind, clean in [
        (b"\0" * 4096, ExtentKind.ZEROS, True),
        (b"\0" * 5, ExtentKind.ZEROS, True),
        (whole[FIRST : FIRST + 50], ExtentKind.TORN, False),
        (b"\x01\x02\x03", ExtentKind.TORN, False),
    ]:
        (tmp_path / "7.dat").write_bytes(whole + tail)
        fixed = fix_index(files_in(tmp_path))
        assert [(one.kind, one.offset, one.length) for one in fixed.skipped] == [
            (kind, len(whole), len(tail))
        ]
        assert fixed.clean is clean
        assert (tmp_path / "7.idx").read_bytes() == wanted


def test_zeros_in_the_middle_are_passed(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = dat_of(tmp_path)
    at = starts(tmp_path)[15][0]
    (tmp_path / "7.dat").write_bytes(whole[:at] + bytes(1 << 21) + whole[at:])
    fixed = fix_index(files_in(tmp_path))
    assert [(one.kind, one.offset, one.length) for one in fixed.skipped] == [
        (ExtentKind.ZEROS, at, 1 << 21)
    ]
    assert fixed.records == 36


def test_a_failure_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    before = snapshot(tmp_path)

    def fail(*_arguments: object, **_named: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_fix, "keep_last_rows", fail)
    with pytest.raises(StorageError, match="No space left"):
        fix_index(files_in(tmp_path))
    assert snapshot(tmp_path) == before


def test_what_cannot_be_fixed_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"7\.dat"):
        fix_index(files_in(tmp_path))
    (tmp_path / "7.dat").write_bytes(b"\x09" * 100)
    with pytest.raises(StorageError, match=r"7\.dat: volume super block version 9"):
        fix_index(files_in(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["7.dat"]


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(
        st.tuples(st.integers(FIRST, 7000), st.binary(min_size=1, max_size=200)), max_size=4
    ),
    version=st.sampled_from([1, 2, 3]),
)
def test_whatever_is_damaged_untouched_records_outside_keep_their_rows(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, bytes]], version: int
) -> None:
    directory = tmp_path_factory.mktemp("fuzz")
    volume = create(directory, version=version)
    for key in range(1, 40):
        volume.write(needle(key, os.urandom(key * 7)))
    volume.close()
    dat = bytearray(dat_of(directory))
    touched = set()
    all_records = list(records(bytes(dat), version))
    for at, content in places:
        dat[at : at + len(content)] = content
        touched |= {
            one.id
            for offset, one in all_records
            if offset < at + len(content) and at < offset + actual_size(one.size, version)
        }
    (directory / "7.dat").write_bytes(dat)
    fix_index(files_in(directory))
    found = {(row.key, row.offset * 8) for row in rows(directory / "7.idx")}
    for offset, one in all_records:
        if one.id not in touched:
            assert (one.id, offset) in found
