"""One 64-bit number that says whether a master and this server agree about all volumes.

The digest is the XOR of one hash a volume, so its order does not matter and no volumes give 0. The
master computes the same from what it was told and asks for the full list when the two differ.
Source: weed/storage/volume_report_hash.go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import reduce
from operator import attrgetter, xor
from typing import TYPE_CHECKING, Final

from xxhash import xxh64_intdigest

if TYPE_CHECKING:
    from fastvol.store.store import VolumeReport

_RECORD: Final = struct.Struct("<I Q Q Q Q I I I I I B")
_MODIFIED: Final = struct.Struct("<q")
_MASK: Final = (1 << 64) - 1
_MULTIPLIER: Final = 0x9E3779B97F4A7C15
_COUNT_MAX: Final = (1 << 32) - 1
_PLACEMENT_MAX: Final = 255

HASHED_FIELDS: Final = (
    "id",
    "size",
    "file_count",
    "delete_count",
    "deleted_byte_count",
    "replica_placement",
    "version",
    "ttl",
    "compact_revision",
    "disk_id",
    "read_only",
    "read_only_can_delete",
    "modified_at_second",
    "collection",
    "disk_type",
    "remote_storage_name",
)
"""What the hash covers, in its order; the remote key is not part of it."""

_hashed_fields = attrgetter(*HASHED_FIELDS)


def volume_hash(report: VolumeReport) -> int:
    """Hash of one volume message, 0 for a placement byte that no master accepts."""
    if not 0 <= report.replica_placement <= _PLACEMENT_MAX:
        return 0
    record = _RECORD.pack(
        report.id,
        report.size,
        min(report.file_count, _COUNT_MAX),
        min(report.delete_count, _COUNT_MAX),
        report.deleted_byte_count,
        report.replica_placement,
        report.version,
        _canonical_ttl(report.ttl),
        report.compact_revision,
        report.disk_id,
        report.read_only | report.read_only_can_delete << 1,
    )
    value = xxh64_intdigest(record)
    for part in (
        _MODIFIED.pack(report.modified_at_second),
        report.collection.encode(),
        report.disk_type.encode(),
        report.remote_storage_name.encode(),
    ):
        value = _fold(value, xxh64_intdigest(part))
    return value


def digest(hashes: Iterable[int]) -> int:
    """The digest over the hashes of all reported volumes."""
    return reduce(xor, hashes, 0)


class VolumeHasher:
    """Hashes pass after pass, re-hashing only volumes whose covered fields changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[tuple[object, ...], int]] = {}

    def hash_all(self, reports: Iterable[VolumeReport]) -> list[int]:
        """Hash of each report, in order; volumes that are gone are forgotten."""
        fresh: dict[tuple[int, int], tuple[tuple[object, ...], int]] = {}
        hashes = []
        for report in reports:
            key = (report.disk_id, report.id)
            fields = _hashed_fields(report)
            known = self._known.get(key)
            value = known[1] if known and known[0] == fields else volume_hash(report)
            fresh[key] = (fields, value)
            hashes.append(value)
        self._known = fresh
        return hashes


def _fold(value: int, part: int) -> int:
    value = (value ^ part) * _MULTIPLIER & _MASK
    return value ^ value >> 29


def _canonical_ttl(ttl: int) -> int:
    """A time to live without a count or without a unit is none at all."""
    return ttl & 0xFFFF if ttl & 0xFF00 and ttl & 0xFF else 0
