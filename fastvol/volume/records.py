"""Records of a live volume by their place in the data file, whatever its index says of them.

Replicas are compared and merged by these (weed/server/volume_grpc_read_write.go); nothing is checked
beyond what each function tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastvol.errors import DiskIOError, NeedleCorruptedError, StorageError, reason_of
from fastvol.formats.file_id import hex_of_hex
from fastvol.formats.file_range import FileEndsError, read_exactly
from fastvol.formats.needle import HEADER_BYTES, SIZE_MAX, actual_size, decode, decode_header

if TYPE_CHECKING:
    from fastvol.formats.needle import Needle
    from fastvol.volume.needle_access import NeedleAccess
    from fastvol.volume.needles import WriteResult

_DATA_SIZE_BYTES: Final = 4
_PREFIX_BYTES: Final = HEADER_BYTES + _DATA_SIZE_BYTES
_META_BYTES_MAX: Final = 128 * 1024
_PADDING_MAX: Final = 8


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
    size = max(size, 0)
    prefix = _read(volume, offset, _PREFIX_BYTES)
    header = decode_header(prefix)
    assert header is not None
    found_size = header.size - 2**32 if header.size > SIZE_MAX else header.size
    if found_size != size:
        key = hex_of_hex(header.key)
        raise NeedleCorruptedError(
            f"size mismatch for entry at offset {offset}: found id {key} size {found_size}, "
            f"expected size {size}"
        )
    version = volume.version
    data_size = int.from_bytes(prefix[HEADER_BYTES:]) if size and version > 1 else 0
    if version == 1:
        return decode(_read(volume, offset, actual_size(size, version)), size, version, False)
    length = actual_size(size, version) - _PREFIX_BYTES - data_size
    if not 0 <= length <= _META_BYTES_MAX:
        raise NeedleCorruptedError(
            f"invalid needle meta size {length}: DataSize={data_size}, size={size}, offset={offset}"
        )
    suffix = _read(volume, offset + _PREFIX_BYTES + data_size, length)
    if not size:
        return decode(prefix + suffix, 0, version, verify=False)
    # The same record with an empty payload; its padding may be longer.
    rest = size - data_size
    head = prefix[: HEADER_BYTES - 4] + rest.to_bytes(4) + bytes(_DATA_SIZE_BYTES)
    needle = decode(head + suffix + bytes(_PADDING_MAX), rest, version, verify=False)
    needle.size = size
    return needle


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
            f"needle {key} size {size} does not match its blob header size "
            f"{header.size - 2**32 if header.size > SIZE_MAX else header.size}"
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
    native = volume.native  # a reference of our own: its descriptor stays open
    try:
        return read_exactly(native.dat_fd(), length, offset)
    except FileEndsError as error:
        raise NeedleCorruptedError("EOF") from error
    except (OSError, OverflowError) as error:
        raise DiskIOError(f"read {path}: {reason_of(error)}") from error
