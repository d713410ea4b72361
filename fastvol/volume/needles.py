"""Reading, writing and deleting needles in a C volume: fields in, errors of the tree out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol._cffi import fault as native
from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.needle_map import MapEntry
from fastvol._cffi.volume import NativeNeedle, NativeVolume
from fastvol.errors import NeedleNotFoundError, StorageError
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.volume.faults import VolumeNames, read_error, write_error

if TYPE_CHECKING:
    from fastvol.remote.tier import RemoteData

_NS_PER_MINUTE: Final = 60 * 1_000_000_000


class WouldWaitError(StorageError):
    """The caller asked not to wait, and what it wants takes its time; nothing has been changed."""


class ColdReadError(WouldWaitError):
    """The needle is not in the page cache."""


class BusyVolumeError(WouldWaitError):
    """Another writer is at work."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Record offset and body size in bytes; unchanged means that nothing was written."""

    offset: int
    size: int
    unchanged: bool


@dataclass(slots=True)
class StoredNeedle:
    """A needle as read, and where its payload lies in the data file of ``native``.

    When ``meta_only`` the needle's data is empty and ``data_size`` bytes at ``data_offset`` are it.
    """

    needle: Needle
    native: NativeVolume
    data_offset: int
    data_size: int
    meta_only: bool
    deleted: bool = False
    remote: RemoteData | None = None
    """Where the payload lies instead, if the volume is tiered."""


def load_needle(
    volume: NativeVolume,
    names: VolumeNames,
    key: int,
    *,
    read_deleted: bool,
    meta_above: int | None,
    nowait: bool,
) -> StoredNeedle:
    """Reads a needle (weed/storage/volume_read.go: readNeedle); see ``Volume.load``."""
    entry = find_needle(volume, names, key, nowait=nowait)
    if entry is None:
        raise NeedleNotFoundError("not found")
    size = abs(entry.size)
    meta = meta_above is not None and size > meta_above
    try:
        found = volume.read(entry, deleted=read_deleted, meta=meta, nowait=nowait)
    except NativeFaultError as fault:
        raise _look_error(fault, names, key, size) from None
    stored = _stored_needle(volume, found)
    stored.deleted = entry.size < 0
    if is_expired(stored.needle):
        raise NeedleNotFoundError("not found")
    return stored


def find_needle(
    volume: NativeVolume, names: VolumeNames, key: int, *, nowait: bool = False
) -> MapEntry | None:
    """What the needle map has of a needle; see ``Volume.entry``."""
    try:
        return volume.find(key, nowait=nowait)
    except NativeFaultError as fault:
        raise _look_error(fault, names, key, 0) from None


def _look_error(fault: NativeFaultError, names: VolumeNames, key: int, size: int) -> StorageError:
    if fault.code == native.COLD:
        return ColdReadError(f"needle {key:x} of volume {names.files.volume_id} is not cached")
    return read_error(fault, names, needle_id=key, want_size=size)


def verify_payload(names: VolumeNames, stored: StoredNeedle, *, nowait: bool) -> None:
    """Checks a payload in place; see ``Volume.verify``."""
    needle = stored.needle
    try:
        needle.checksum = stored.native.verify(
            stored.data_offset, stored.data_size, needle.checksum, nowait=nowait
        )
    except NativeFaultError as fault:
        if fault.code == native.COLD:
            raise ColdReadError(
                f"a payload of volume {names.files.volume_id} is not cached"
            ) from None
        raise read_error(fault, names, needle_id=needle.id, want_size=needle.size) from None


def append_needle(
    volume: NativeVolume, needle: Needle, volume_ttl: TTL, *, check_cookie: bool, nowait: bool
) -> WriteResult:
    """Appends a needle, which inherits the volume's TTL if it has none.

    Raises:
        NativeFaultError
    """
    ttl, flags = needle.ttl, needle.flags
    if ttl == EMPTY and volume_ttl != EMPTY:
        ttl = volume_ttl
        flags |= Needle.HAS_TTL
    done = volume.write(
        needle_id=needle.id,
        cookie=needle.cookie,
        data=needle.data,
        checksum=needle.checksum,
        flags=flags,
        name=needle.name,
        mime=needle.mime,
        pairs=needle.pairs,
        last_modified=needle.last_modified,
        ttl=ttl.to_bytes(),
        check_cookie=check_cookie,
        nowait=nowait,
    )
    return WriteResult(done.offset, done.size, done.unchanged)


def append_error(
    fault: NativeFaultError, names: VolumeNames, *, needle_id: int, cookie: int
) -> StorageError:
    """The error of a failed write or delete."""
    if fault.code == native.BUSY:
        return BusyVolumeError(f"volume {names.files.volume_id} has a writer")
    if fault.code == native.COLD:
        return ColdReadError(
            f"needle {needle_id:x} of volume {names.files.volume_id} is not cached"
        )
    return write_error(fault, names, needle_id=needle_id, cookie=cookie)


def _stored_needle(volume: NativeVolume, found: NativeNeedle) -> StoredNeedle:
    needle = Needle(
        id=found.id,
        cookie=found.cookie,
        data=found.data,
        flags=found.flags,
        name=found.name,
        mime=found.mime,
        pairs=found.pairs,
        last_modified=found.last_modified,
        ttl=TTL.from_bytes(found.ttl),
        checksum=found.checksum,
        append_at_ns=found.append_at_ns,
        size=found.size,
    )
    return StoredNeedle(needle, volume, found.data_offset, found.data_size, found.meta_only)


def is_expired(needle: Needle) -> bool:
    """Whether its TTL has passed.

    The base is the append time, and only needles with a last-modified time expire.

    Records of versions 1 and 2 have no append time, so a needle with a TTL in one is expired at
    once; so it is upstream.
    """
    if not (needle.has_ttl and needle.has_last_modified and needle.ttl.minutes):
        return False
    return time.time_ns() >= needle.append_at_ns + needle.ttl.minutes * _NS_PER_MINUTE
