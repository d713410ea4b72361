"""Which needle map a server uses: the ``-index`` flag."""

from dataclasses import dataclass
from typing import Final, Literal

from fastvol.limits import MIB

IndexKind = Literal["memory", "leveldb", "leveldbMedium", "leveldbLarge"]


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Kind of the needle map; hours without use until a LevelDB is closed, 0 for never."""

    kind: IndexKind = "memory"
    idle_hours: int = 0


IN_MEMORY: Final = IndexOptions()


@dataclass(frozen=True, slots=True)
class SizeClass:
    """What a LevelDB map gets while there is enough; bytes."""

    block_cache: int
    write_buffer: int

    @property
    def memory(self) -> int:
        """In use at most: one write buffer fills while another is written out."""
        return self.block_cache + 2 * self.write_buffer


SIZE_CLASSES: Final[dict[IndexKind, SizeClass]] = {
    "leveldb": SizeClass(2 * MIB, 1 * MIB),
    "leveldbMedium": SizeClass(4 * MIB, 2 * MIB),
    "leveldbLarge": SizeClass(8 * MIB, 4 * MIB),
}
"""As upstream has them (weed/storage/volume_loading.go: load)."""
