"""The super block: the first 8 bytes of a ``.dat``.

| offset | bytes | field |
| --- | --- | --- |
| 0 | 1 | needle version, 1 to 3 |
| 1 | 1 | replica placement |
| 2 | 2 | TTL: count, unit |
| 4 | 2 | compaction revision, big endian, wraps |
| 6 | 2 | length of the extra block that follows (versions 2 and 3), 0 in practice |

Source of the rules: ``weed/storage/super_block/super_block.go``.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Final

from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL

SUPER_BLOCK_BYTES: Final = 8
EXTRA_BYTES_MAX: Final = 65534
_EXTRA_BYTES_STORED_MAX: Final = (1 << 16) - 1
_EXTRA_SIZE_BYTES: Final = 2
VERSIONS: Final = (1, 2, 3)
_LAYOUT: Final = struct.Struct(">BB2sHH")
assert _LAYOUT.size == SUPER_BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class SuperBlock:
    """What holds for a whole volume.

    ``extra`` is kept as bytes: no released server can open a volume that has any, so fastvol never
    makes one.
    """

    version: int
    replica_placement: ReplicaPlacement
    ttl: TTL
    compaction_revision: int = 0
    extra: bytes = b""

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"volume super block version {self.version} is not supported")
        if len(self.extra) > EXTRA_BYTES_MAX:
            raise ValueError(f"super block extra size is {len(self.extra)}, beyond 65534")

    @property
    def block_size(self) -> int:
        """Bytes before the first needle."""
        return SUPER_BLOCK_BYTES + (len(self.extra) if self.version > 1 else 0)

    def to_bytes(self) -> bytes:
        """The stored form, extra block included."""
        extra = self.extra if self.version > 1 else b""
        head = _LAYOUT.pack(
            self.version,
            self.replica_placement.to_byte(),
            self.ttl.to_bytes(),
            self.compaction_revision & 0xFFFF,
            len(extra),
        )
        return head + extra

    @classmethod
    def read(cls, dat_fd: int) -> SuperBlock:
        """The super block of a data file.

        :exc:`OSError` when it cannot be read, :exc:`ValueError` as :meth:`from_bytes`.
        """
        stored = os.pread(dat_fd, SUPER_BLOCK_BYTES, 0)
        if any(stored[-_EXTRA_SIZE_BYTES:]):  # rare, and 64 KB to be read
            stored = os.pread(dat_fd, SUPER_BLOCK_BYTES + _EXTRA_BYTES_STORED_MAX, 0)
        return cls.from_bytes(stored)

    @classmethod
    def from_bytes(cls, stored: bytes) -> SuperBlock:
        """Reads the head of a ``.dat``; bytes behind the block are ignored.

        :exc:`ValueError` when it ends early or the version is unknown.
        """
        if len(stored) < SUPER_BLOCK_BYTES:
            raise ValueError(f"super block has only {len(stored)} bytes")
        version, placement, ttl, revision, extra_size = _LAYOUT.unpack_from(stored)
        if version not in VERSIONS:
            raise ValueError(f"volume super block version {version} is not supported")
        extra = b""
        if version > 1 and extra_size:
            extra = bytes(stored[SUPER_BLOCK_BYTES : SUPER_BLOCK_BYTES + extra_size])
            if len(extra) < extra_size:
                raise ValueError(f"super block extra has {len(extra)} of {extra_size} bytes")
        return cls(
            version, ReplicaPlacement.from_byte(placement), TTL.from_bytes(ttl), revision, extra
        )
