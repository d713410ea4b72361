"""An index and a map of it, for the tests of the index layer."""

import os
from pathlib import Path

from fastvol._cffi.needle_map import MapEntry, NeedleCounters, NeedleMap
from fastvol.formats.index_entry import encode_row
from fastvol.index.kinds import IndexKind, IndexOptions
from fastvol.index.loading import Access, load_needle_map

MEMORY, LEVELDB, SORTED = "memory", "leveldb", "sorted"
KINDS = (MEMORY, LEVELDB, SORTED)


class Indexed:
    """Rows appended to an index, then told to a map, as a volume does it."""

    def __init__(self, directory: Path, kind: str, width: int = 5) -> None:
        self.path = directory / "7.idx"
        self.width = width
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.model: dict[int, tuple[int, int]] = {}
        self.rows = 0
        self.open(kind)

    def open(self, kind: str) -> None:
        self.kind = kind
        option: IndexKind = "memory" if kind == MEMORY else "leveldb"
        loaded = load_needle_map(
            self.fd,
            self.path,
            width=self.width,
            version=3,
            options=IndexOptions(option),
            access=Access.DELETE if kind == SORTED else Access.WRITE,
        )
        self.map: NeedleMap = loaded.needle_map
        self.counters: NeedleCounters = loaded.counters

    def close(self, *, durable: bool = True) -> None:
        self.map.close(durable=durable)
        self.map.discard()

    def reopen(self, kind: str) -> None:
        self.close()
        self.open(kind)

    def append(self, key: int, offset: int, size: int) -> None:
        row = encode_row(key, offset, size, self.width)
        os.pwrite(self.fd, row, self.rows * len(row))
        self.rows += 1

    def put(self, key: int, size: int) -> None:
        offset = self.rows + 1
        self.append(key, offset, size)
        self.map.set(key, offset, size)
        self.model[key] = (offset, size)

    def delete(self, key: int) -> None:
        """Nothing is appended for what is not there, as in a volume."""
        entry = self.map.get(key)
        live = entry is not None and entry.size >= 0
        assert live == (key in self.model)
        if live:
            self.append(key, self.rows + 1, -1)
        old = self.map.delete(key)
        assert (old and old[1:]) == self.model.pop(key, None)

    def check(self, absent: list[int]) -> None:
        """The map and the model agree, whatever the map remembers of the deleted."""
        for key, (offset, size) in self.model.items():
            assert self.map.get(key) == (key, offset, size)
        for key in absent:
            entry = self.map.get(key)
            assert key in self.model or entry is None or entry.size < 0
        seen = list(self.map.entries())
        assert seen == sorted(seen)
        assert [e for e in seen if e.size >= 0] == [
            MapEntry(key, *self.model[key]) for key in sorted(self.model)
        ]
