"""An index whose map is a LevelDB, and that LevelDB from outside."""

import struct
from contextlib import closing
from pathlib import Path

import plyvel
from map_kit import LEVELDB, Indexed

WATERMARK = b"idx_entry_watermark"
STATE = b"fastvol_state"


def filled(directory: Path) -> Indexed:
    """2,000 needles, some overwritten and some deleted, closed in good order."""
    made = Indexed(directory, LEVELDB)
    fill(made, range(1, 2001))
    for key in range(1, 2001, 7):
        made.delete(key)
    for key in range(1, 2001, 5):
        made.put(key, 1000)
    made.close()
    return made


def fill(index: Indexed, keys: range) -> None:
    for key in keys:
        index.put(key, key % 60)


def directory_of(index: Indexed) -> Path:
    return index.path.with_suffix(".ldb")


def stored(index: Indexed) -> dict[bytes, bytes]:
    with closing(plyvel.DB(str(directory_of(index)), paranoid_checks=True)) as db:
        return dict(db.iterator(verify_checksums=True))


def change(index: Indexed, key: bytes, value: bytes | None) -> None:
    with closing(plyvel.DB(str(directory_of(index)))) as db:
        db.delete(key) if value is None else db.put(key, value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def files_of(index: Indexed, pattern: str) -> list[Path]:
    return sorted(directory_of(index).glob(pattern))
