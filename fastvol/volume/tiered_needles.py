"""Needles of a tiered volume: looked up in its index here, read from the object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastvol._cffi.crc32c import crc32c
from fastvol.errors import (
    NeedleCorruptedError,
    NeedleDeletedError,
    NeedleNotFoundError,
    SizeMismatchError,
)
from fastvol.formats.index_entry import OFFSET_UNIT
from fastvol.formats.needle import actual_size, decode, legacy_checksum
from fastvol.limits import PAGED_READ_BYTES, REMOTE_FETCH_BYTES
from fastvol.volume.needles import ColdReadError, StoredNeedle, find_needle, is_expired
from fastvol.volume.record_meta import DATA_AT, meta_at

if TYPE_CHECKING:
    from fastvol._cffi.volume import NativeVolume
    from fastvol.formats.needle import Needle
    from fastvol.remote.tier import RemoteData
    from fastvol.volume.faults import VolumeNames

_HISTORIC_WRAP: Final = 32 << 30
"""Old 4-byte servers let offsets wrap here; the record then lies one turn further."""


def load_tiered_needle(
    volume: NativeVolume,
    names: VolumeNames,
    remote: RemoteData,
    key: int,
    *,
    meta_above: int | None,
    nowait: bool,
) -> StoredNeedle:
    """Reads a needle; see ``Volume.load``.

    What was deleted is not read any more, whoever asks: its row may not tell where it was.
    Payloads are left out only of bodies that upstream does not read whole either.
    """
    if nowait:
        raise ColdReadError(f"volume {names.files.volume_id} is in an object store")
    entry = find_needle(volume, names, key)
    if entry is None or not entry.offset:
        raise NeedleNotFoundError("not found")
    if entry.size < 0:
        raise NeedleDeletedError("already deleted")
    meta = meta_above is not None and entry.size > max(meta_above, PAGED_READ_BYTES)
    offset = entry.offset * OFFSET_UNIT
    try:
        stored = _read(volume, names, remote, offset, entry.size, meta=meta)
    except SizeMismatchError:
        wrapped = offset + _HISTORIC_WRAP
        if wrapped >= remote.size:
            raise
        stored = _read(volume, names, remote, wrapped, entry.size, meta=meta)
    if stored.needle.id != key:
        raise NeedleCorruptedError(
            f"index key {key:x} does not match needle's Id {stored.needle.id:x}: "
            "needle data corrupted"
        )
    if is_expired(stored.needle):
        raise NeedleNotFoundError("not found")
    return stored


def _read(
    volume: NativeVolume,
    names: VolumeNames,
    remote: RemoteData,
    offset: int,
    size: int,
    *,
    meta: bool,
) -> StoredNeedle:
    if meta and names.version > 1:
        needle, data_size = meta_at(remote.read, offset, size, names.version)
    else:
        record = remote.read(offset, actual_size(size, names.version))
        needle, data_size = decode(record, size, names.version), 0
        needle.data = bytes(needle.data)
    return StoredNeedle(
        needle,
        volume,
        data_offset=offset + DATA_AT,
        data_size=data_size or len(needle.data),
        meta_only=bool(data_size),
        remote=remote,
    )


def verify_tiered_payload(stored: StoredNeedle) -> None:
    """Checks a payload piece by piece; see ``Volume.verify``."""
    assert stored.remote is not None
    computed, at, end = 0, stored.data_offset, stored.data_offset + stored.data_size
    while at < end:
        piece = stored.remote.read(at, min(REMOTE_FETCH_BYTES, end - at))
        if not piece:
            raise NeedleCorruptedError("EOF")
        computed = crc32c(piece, computed)
        at += len(piece)
    check_payload(stored.needle, computed)


def check_payload(needle: Needle, computed: int) -> None:
    """Raises NeedleCorruptedError unless this is the payload's checksum; then sets the raw one."""
    if needle.checksum not in (computed, legacy_checksum(computed)):
        raise NeedleCorruptedError(
            f"invalid CRC for needle {needle.id:x} (got {computed:08x}, want "
            f"{needle.checksum:08x}), data on disk corrupted: needle data corrupted"
        )
    needle.checksum = computed
