"""Records of a live volume by their place in the data file, whatever its index says of them.

Replicas are compared and merged by these (weed/server/volume_grpc_read_write.go); nothing is checked
beyond what each function tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastvol.errors import DiskIOError, NeedleCorruptedError, StorageError, reason_of
from fastvol.formats.needle import actual_size, decode_header
from fastvol.volume.record_meta import meta_at

if TYPE_CHECKING:
    from fastvol.formats.needle import Needle
    from fastvol.volume.needle_access import NeedleAccess
    from fastvol.volume.needles import WriteResult


def read_record(volume: NeedleAccess, offset: int, size: int) -> bytes:
    """All bytes that a record with this body size takes (volume_read.go: ReadNeedleBlob).

    Args:
        offset: in bytes.

    Raises:
        NeedleCorruptedError: ``EOF``, the data file ends before.
        StorageError: the volume is unavailable or closed, or no record can be there.
    """
    volume.require_available()
    if size < 0:
        raise StorageError(f"invalid needle size {size}")
    return _read(volume, offset, actual_size(size, volume.version))


def read_meta(volume: NeedleAccess, offset: int, size: int) -> Needle:
    """A record without its payload (volume_read.go: readNeedleMetaAt).

    Args:
        offset: in bytes.
        size: its body size; negative ones, of tombstones, count as 0.

    Raises:
        NeedleCorruptedError: the record is another one, or damaged.
        StorageError
    """
    volume.require_available()

    def read(at: int, length: int) -> bytes:
        return _read(volume, at, length)

    return meta_at(read, offset, max(size, 0), volume.version)[0]


def write_record(volume: NeedleAccess, key: int, size: int, record: bytes) -> WriteResult:
    """Appends a record that another server has (volume_write.go: WriteNeedleBlob).

    Args:
        key: the needle's id; see ``append_record`` for what becomes of the record's own.
        size: body size, as the other server's index has it.

    Raises:
        StorageError: the volume does not take it, or the record is not of this size.
    """
    volume.require_available()
    if volume.read_only:
        raise StorageError(f"volume {volume.id} is read only")
    if size < 0:
        raise StorageError(f"needle {key} has invalid size {size}")
    header = decode_header(record)
    if header is None:
        raise StorageError(
            f"needle {key} blob of {len(record)} bytes is shorter than a needle header"
        )
    if header.size != size:
        raise StorageError(
            f"needle {key} size {size} does not match its blob header size {header.signed_size}"
        )
    length = actual_size(size, volume.version)
    if len(record) != length:
        raise StorageError(
            f"needle {key} blob of {len(record)} bytes does not match the {length} bytes "
            f"size {size} takes in a version {volume.version} volume"
        )
    return volume.append_record(key, record)


def _read(volume: NeedleAccess, offset: int, length: int) -> bytes:
    path = volume.files.data(".dat")
    if offset < 0:
        raise StorageError(f"readat {path}: negative offset")
    try:
        found = volume.read_data(offset, length)
    except (OSError, OverflowError) as error:
        raise DiskIOError(f"read {path}: {reason_of(error)}") from error
    if len(found) < length:
        raise NeedleCorruptedError("EOF")
    return found
