"""The age of a TTL volume at load: its newest write, whatever the file's time says."""

import os
import struct
from pathlib import Path

import pytest
from volume_kit import NS, create, named, open_volume, rows, set_append_time

from fastvol.formats.ttl import TTL
from fastvol.volume import last_write

HOUR_AGO_FILE_TIME = 1_600_000_000


def made(directory: Path, *, version: int = 3, ttl: str = "3m") -> dict[int, int]:
    """A volume with three writes and a delete; their append times by key (0: the tombstone)."""
    volume = create(directory, version=version, ttl=TTL.parse(ttl))
    for key in (1, 2, 3):
        volume.write(named(key, b"x" * 7, last_modified=5))
    volume.delete(3, 0, 0)
    volume.close()
    times = {}
    for key, offset, size in rows(directory / "7.idx"):
        when = (1_700_000_000 + (key if size >= 0 else 50)) * NS
        if version == 3:
            set_append_time(directory / "7.dat", offset * 8, max(size, 0), when)
        times[key if size >= 0 else 0] = when
    os.utime(directory / "7.dat", (HOUR_AGO_FILE_TIME, HOUR_AGO_FILE_TIME))
    return times


def set_revision(directory: Path, revision: int) -> None:
    with (directory / "7.dat").open("r+b") as file:
        file.seek(4)
        file.write(struct.pack(">H", revision))
    os.utime(directory / "7.dat", (HOUR_AGO_FILE_TIME, HOUR_AGO_FILE_TIME))


def test_the_last_write_counts_and_tombstones_do_not(tmp_path: Path) -> None:
    times = made(tmp_path)
    volume = open_volume(tmp_path)
    assert volume.last_modified_second == times[3] // NS
    assert volume.last_append_at_ns == times[0]
    assert volume.modified_at_second == HOUR_AGO_FILE_TIME
    volume.delete(2, 0, 0)
    assert volume.last_modified_second == times[3] // NS


@pytest.mark.parametrize(("version", "ttl"), [(3, ""), (2, "3m"), (1, "3m")])
def test_others_go_by_the_files_time(tmp_path: Path, version: int, ttl: str) -> None:
    made(tmp_path, version=version, ttl=ttl)
    assert open_volume(tmp_path).last_modified_second == HOUR_AGO_FILE_TIME


def test_after_a_vacuum_all_rows_are_looked_at(tmp_path: Path) -> None:
    times = made(tmp_path)
    _, second, size = rows(tmp_path / "7.idx")[1]
    set_append_time(tmp_path / "7.dat", second * 8, size, times[3] + 77 * NS)
    set_revision(tmp_path, 0)
    assert open_volume(tmp_path).last_modified_second == times[3] // NS
    set_revision(tmp_path, 1)
    assert open_volume(tmp_path).last_modified_second == times[3] // NS + 77


def test_unless_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = made(tmp_path)
    monkeypatch.setattr(last_write, "LAST_WRITE_ROWS_MAX", 2)
    set_revision(tmp_path, 1)
    assert open_volume(tmp_path).last_modified_second == HOUR_AGO_FILE_TIME
    set_revision(tmp_path, 0)
    assert open_volume(tmp_path).last_modified_second == times[3] // NS


def test_rows_that_do_not_lead_to_their_record_are_passed(tmp_path: Path) -> None:
    times = made(tmp_path)
    content = bytearray((tmp_path / "7.idx").read_bytes())
    content[2 * 17 + 7] = 0x77  # the key of the third write
    (tmp_path / "7.idx").write_bytes(content)
    os.chmod(tmp_path / "7.dat", 0o444)
    assert open_volume(tmp_path).last_modified_second == times[2] // NS
