"""Small volumes, made and looked into."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastvol._cffi.crc32c import crc32c
from fastvol.formats.index_entry import IndexEntry, iter_rows
from fastvol.formats.needle import Needle, actual_size, decode
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.volume.volume import Volume

FIRST = 8
NS = 1_000_000_000
APPEND_TIME = slice(-12, -4)
"""Of a version 3 record whose padding has 4 bytes."""


def needle(key: int, data: bytes = b"", *, cookie: int | None = None, **fields: Any) -> Needle:
    """A needle with its checksum; its cookie follows from the key unless given."""
    return Needle(
        id=key,
        cookie=cookie_of(key) if cookie is None else cookie,
        data=data,
        checksum=crc32c(data),
        **fields,
    )


def cookie_of(key: int) -> int:
    """Every key has another one."""
    return (key * 2654435761 + 0x1234) & 0xFFFFFFFF


def named(key: int, data: bytes, **fields: Any) -> Needle:
    """A needle as an upload makes it."""
    flags = Needle.HAS_NAME | Needle.HAS_MIME | Needle.HAS_LAST_MODIFIED
    values = {"name": b"a.bin", "mime": b"text/x-foo", "last_modified": 1700000000, **fields}
    return needle(key, data, flags=flags | values.pop("flags", 0), **values)


def create(
    directory: Path,
    volume_id: int = 7,
    *,
    collection: str = "",
    index_directory: Path | None = None,
    replication: str = "000",
    ttl: TTL = EMPTY,
    version: int = 3,
    offset_width: int = 5,
    preallocate: int = 0,
    index: IndexOptions = IN_MEMORY,
) -> Volume:
    return Volume.create(
        directory,
        index_directory or directory,
        collection,
        volume_id,
        replica_placement=ReplicaPlacement.parse(replication),
        ttl=ttl,
        version=version,
        offset_width=offset_width,
        preallocate=preallocate,
        index=index,
    )


def open_volume(
    directory: Path,
    volume_id: int = 7,
    *,
    collection: str = "",
    index_directory: Path | None = None,
    default_offset_width: int = 5,
    index: IndexOptions = IN_MEMORY,
) -> Volume:
    return Volume.open(
        directory,
        index_directory or directory,
        collection,
        volume_id,
        default_offset_width=default_offset_width,
        index=index,
    )


def reopen(volume: Volume) -> Volume:
    """Closes it and opens it again."""
    volume.close()
    return open_volume(
        volume.directory,
        volume.id,
        collection=volume.collection,
        index_directory=volume.index_directory,
        default_offset_width=volume.offset_width,
    )


def now_and_reopened(volume: Volume) -> Iterator[Volume]:
    """The volume as it is, then as it is opened again."""
    yield volume
    yield reopen(volume)


def snapshot(*directories: Path) -> dict[str, bytes]:
    """Every file's content."""
    return {
        str(path): path.read_bytes()
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def snapshot_with_times(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file, by its path below the directory."""
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def dat_of(directory: Path) -> bytes:
    """The data file of the volume that ``create`` makes."""
    return (directory / "7.dat").read_bytes()


def rows(path: Path, width: int = 5) -> list[IndexEntry]:
    return list(iter_rows(path.read_bytes(), width))


def records(dat: bytes, version: int = 3) -> Iterator[tuple[int, Needle]]:
    """Offset and needle of each record, by the Python codec."""
    at = FIRST
    while at < len(dat):
        size = int.from_bytes(dat[at + 12 : at + 16], "big")
        length = actual_size(size, version)
        yield at, decode(dat[at : at + length], size, version)
        at += length


def set_append_time(path: Path, record_offset: int, size: int, when_ns: int) -> None:
    """Rewrites AppendAtNs of a version 3 record, which no checksum covers."""
    content = bytearray(path.read_bytes())
    struct.pack_into(">Q", content, record_offset + 16 + size + 4, when_ns)
    path.write_bytes(content)
