"""How many copies a volume has besides the first, and where.

Source of the rules: ``weed/storage/super_block/replica_placement.go``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class ReplicaPlacement:
    """Numbers of further copies; stored as one byte, the decimal number ``xyz``."""

    other_data_centers: int = 0
    other_racks: int = 0
    same_rack: int = 0

    @classmethod
    def parse(cls, text: str) -> ReplicaPlacement:
        """Reads ``"001"``; a shorter text is padded with zeros on the left.

        Like upstream this takes more than digits for a count (``":"`` is 10).  :exc:`ValueError`
        with upstream's text, which shows the padded one, for anything below ``"0"`` or a number
        above 255.
        """
        padded = "0" * (3 - len(text.encode("utf-8", "surrogateescape"))) + text
        counts = [ord(rune) - ord("0") for rune in padded]
        if min(counts) < 0:
            raise ValueError(f"unknown replication type: {padded}")
        placement = cls(*counts[:3])
        if placement._number > 255:
            raise ValueError(f"unexpected replication type: {padded}")
        return placement

    @classmethod
    @lru_cache
    def from_byte(cls, value: int) -> ReplicaPlacement:
        """From the super block's byte; every value means something."""
        return cls(value // 100, value // 10 % 10, value % 10)

    @property
    def _number(self) -> int:
        return 100 * self.other_data_centers + 10 * self.other_racks + self.same_rack

    def to_byte(self) -> int:
        """The super block's byte."""
        return self._number & 0xFF

    @property
    def copy_count(self) -> int:
        """All copies, the first included."""
        return self.other_data_centers + self.other_racks + self.same_rack + 1

    def to_json(self) -> dict[str, int]:
        """The object in ``/status``: zero members are left out."""
        members = {
            "node": self.same_rack,
            "rack": self.other_racks,
            "dc": self.other_data_centers,
        }
        return {name: count for name, count in members.items() if count}

    def __str__(self) -> str:
        counts = (self.other_data_centers, self.other_racks, self.same_rack)
        return "".join(chr(ord("0") + count) for count in counts)
