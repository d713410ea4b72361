"""Ways to damage a volume's files, each with what makes it interesting to a scrub."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from volume_kit import create, named

from fastvol._cffi.crc32c import crc32c, legacy
from fastvol.formats.index_entry import IndexEntry, encode_row, iter_rows
from fastvol.formats.needle import actual_size

ROW: Final = 17
LARGE: Final = 300_000


class Files:
    """Content of a volume's two files, to be changed."""

    def __init__(self, dat: bytes, idx: bytes) -> None:
        self.dat = bytearray(dat)
        self.idx = bytearray(idx)

    @property
    def rows(self) -> list[IndexEntry]:
        return list(iter_rows(self.idx, 5))

    def offset(self, row: int) -> int:
        return self.rows[row].offset * 8

    def set_row(self, row: int, key: int, units: int, size: int) -> None:
        self.idx[row * ROW : (row + 1) * ROW] = encode_row(key, units, size, 5)

    def append_row(self, key: int, units: int, size: int) -> None:
        self.idx += encode_row(key, units, size, 5)

    def set_size(self, row: int, size: int) -> None:
        struct.pack_into(">i", self.dat, self.offset(row) + 12, size)

    def set_id(self, row: int, key: int) -> None:
        struct.pack_into(">Q", self.dat, self.offset(row) + 4, key)

    def flip(self, at: int) -> None:
        self.dat[at] ^= 0x55


def build(directory: Path, volume_id: int, version: int = 3) -> None:
    """A volume of 9 rows: needles 1..5 (3 is large), 2 overwritten, 4 deleted, 6 and 7 empty files,
    the latter deleted."""
    volume = create(directory, volume_id, version=version)

    def put(key: int, data: bytes) -> None:
        volume.write(named(key, data, cookie=key * 77, name=b"name", mime=b"a/b"))

    for key in (1, 2, 3, 4, 5):
        put(key, bytes([key]) * (LARGE if key == 3 else 50 + key))
    put(2, b"overwritten")
    volume.delete(4, 5, 6)
    put(6, b"")
    put(7, b"")
    volume.delete(7, 0, 0)
    put(0x1F, b"hexadecimal")
    volume.close()


Damage = Callable[[Files], None]
DAMAGES: Final[dict[str, Damage]] = {}


def damage(function: Damage) -> Damage:
    DAMAGES[function.__name__] = function
    return function


@damage
def healthy(files: Files) -> None:
    pass


@damage
def flipped_payload(files: Files) -> None:
    files.flip(files.offset(0) + 30)
    files.flip(files.offset(10) + 21)


@damage
def flipped_large_payload(files: Files) -> None:
    files.flip(files.offset(2) + LARGE - 10)


@damage
def flipped_payload_and_wrong_id(files: Files) -> None:
    files.flip(files.offset(0) + 30)
    files.set_id(0, 0xABCD)
    files.set_id(10, 0xEF01)


@damage
def wrong_ids(files: Files) -> None:
    """Of a needle, an overwritten one, a tombstone and an empty file."""
    for row in (1, 4, 6, 7):
        files.set_id(row, 0x1000 + row)


@damage
def wrong_id_and_failures_mixed(files: Files) -> None:
    files.flip(files.offset(0) + 30)
    files.set_id(1, 0x99)
    files.flip(files.offset(3) + 25)
    files.set_id(4, 0x98)
    files.flip(files.offset(5) + 25)


@damage
def legacy_checksum(files: Files) -> None:
    payload = files.dat[files.offset(0) + 20 : files.offset(0) + 20 + 51]
    at = files.offset(0) + 16 + files.rows[0].size
    struct.pack_into(">I", files.dat, at, legacy(crc32c(payload)))


@damage
def truncated_data(files: Files) -> None:
    del files.dat[files.offset(8) + 5 :]


@damage
def truncated_to_the_middle_of_a_large_one(files: Files) -> None:
    del files.dat[files.offset(2) + 5000 :]


@damage
def empty_data(files: Files) -> None:
    del files.dat[8:]


@damage
def lengths_that_leave_the_body(files: Files) -> None:
    struct.pack_into(">I", files.dat, files.offset(0) + 16, 0x7FFFFFFF)
    files.dat[files.offset(1) + 20 + 52 + 1] = 250  # name
    files.dat[files.offset(3) + 20 + 54 + 1 + 5] = 250  # mime
    files.dat[files.offset(10) + 20 + 11] = 0xFF  # all flags


@damage
def sizes_that_differ(files: Files) -> None:
    files.set_size(0, 5)
    files.set_size(6, 5)
    files.set_size(7, 9)
    files.set_size(10, -5)


@damage
def row_of_another_record(files: Files) -> None:
    first, second = files.rows[0], files.rows[1]
    files.set_row(0, first.key, second.offset, first.size)


@damage
def row_of_another_record_with_its_size(files: Files) -> None:
    first, second = files.rows[0], files.rows[1]
    files.set_row(0, first.key, second.offset, second.size)


@damage
def overlapping_rows(files: Files) -> None:
    first = files.rows[0]
    files.set_row(0, first.key, first.offset, first.size + 64)
    files.append_row(0xFF, first.offset + 1, 10)


@damage
def one_row_twice(files: Files) -> None:
    files.idx += bytes(files.idx[:ROW])


@damage
def all_rows_twice(files: Files) -> None:
    files.idx += bytes(files.idx)


@damage
def rows_backwards(files: Files) -> None:
    rows = [files.idx[at : at + ROW] for at in range(0, len(files.idx), ROW)]
    files.idx[:] = b"".join(reversed(rows))


@damage
def rows_without_position(files: Files) -> None:
    files.append_row(1, 0, -1)
    files.append_row(0x77, 0, -1)
    files.append_row(0x78, 0, 30)


@damage
def row_number_behind_rows_without_position(files: Files) -> None:
    rows = bytes(files.idx)
    files.idx[:] = encode_row(1, 0, -1, 5) * 3 + rows + rows[ROW : 2 * ROW]


@damage
def row_beyond_the_end(files: Files) -> None:
    files.append_row(0x55, 1 << 35, 100)
    files.append_row(0x56, (1 << 40) - 1, -1)


@damage
def row_of_great_size(files: Files) -> None:
    files.append_row(0x55, len(files.dat) // 8, 200_000_000)


@damage
def garbage_behind_the_rows(files: Files) -> None:
    files.idx += b"\x01\x02"


@damage
def cut_in_a_row(files: Files) -> None:
    del files.idx[-5:]


@damage
def lost_rows(files: Files) -> None:
    del files.idx[3 * ROW :]


@damage
def one_row_lost_in_the_middle(files: Files) -> None:
    del files.idx[2 * ROW : 3 * ROW]


@damage
def no_rows(files: Files) -> None:
    files.idx.clear()


@damage
def less_than_a_row(files: Files) -> None:
    del files.idx[9:]


@damage
def stray_bytes_behind_the_data(files: Files) -> None:
    files.dat += b"stray bytes" * 9


@damage
def zeros_over_a_record(files: Files) -> None:
    at = files.offset(1)
    files.dat[at : at + 100] = bytes(100)


@damage
def everything_at_once(files: Files) -> None:
    overlapping_rows(files)
    wrong_ids(files)
    flipped_payload(files)
    lengths_that_leave_the_body(files)
    garbage_behind_the_rows(files)


def _negative(size: int) -> Damage:
    def change(files: Files) -> None:
        row = files.rows[3]
        files.set_row(3, row.key, row.offset, size)
        files.append_row(0x66, len(files.dat) // 8, size)

    return change


for _size in (-2, -8, -19, -20, -27, -28, -29, -100, -(2**31)):
    DAMAGES[f"negative_size_{-_size}"] = _negative(_size)


def damaged(directory: Path, volume_id: int, how: str) -> None:
    """Changes the files in place: a server that has them open sees it."""
    dat, idx = (directory / f"{volume_id}{extension}" for extension in (".dat", ".idx"))
    files = Files(dat.read_bytes(), idx.read_bytes())
    DAMAGES[how](files)
    for path, content in ((dat, files.dat), (idx, files.idx)):
        with path.open("r+b") as file:
            file.write(content)
            file.truncate(len(content))


def cases() -> Iterator[tuple[int, str, int]]:
    """(volume id, damage, version of the needles) of all of them."""
    number = 0
    for version in (3, 2):
        for how in DAMAGES:
            number += 1
            yield number, how, version


assert actual_size(0, 3) == 32
