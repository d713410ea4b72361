"""From the C core's result codes to errors of the tree, in upstream's words."""

from dataclasses import dataclass

from fastvol._cffi import fault as native
from fastvol.errors import (
    CookieMismatchError,
    DiskIOError,
    NeedleCorruptedError,
    NeedleDeletedError,
    NeedleNotFoundError,
    OffsetOverflowError,
    SizeMismatchError,
    StorageError,
    VolumeClosedError,
    VolumeReadOnlyError,
)
from fastvol.formats.file_id import hex_of_hex
from fastvol.formats.needle import actual_size
from fastvol.volume.files import VolumeFiles


@dataclass(frozen=True, slots=True)
class VolumeNames:
    """How errors name a volume."""

    files: VolumeFiles
    version: int


def read_error(
    fault: native.NativeFaultError, names: VolumeNames, *, needle_id: int, want_size: int
) -> StorageError:
    """The error of a failed needle read (weed/storage/needle/needle_read.go: ReadBytes)."""
    code = fault.code
    if code == native.NOT_FOUND:
        return NeedleNotFoundError("not found")
    if code == native.DELETED:
        return NeedleDeletedError("already deleted")
    if code == native.BAD_CRC:
        return NeedleCorruptedError(
            f"invalid CRC for needle {needle_id:x} (got {fault.computed:08x}, "
            f"want {fault.stored:08x}), data on disk corrupted: needle data corrupted"
        )
    if code == native.OUT_OF_RANGE:
        return NeedleCorruptedError(f"index out of range {fault.part}: needle data corrupted")
    if code == native.SIZE_MISMATCH:
        return SizeMismatchError(
            f"size mismatch: entry not found: offset {fault.offset} found id "
            f"{hex_of_hex(fault.found_id)} size {fault.found_size}, expected size {want_size}"
        )
    if code == native.WRONG_ID:
        return NeedleCorruptedError(
            f"index key {needle_id:x} does not match needle's Id {fault.found_id:x}: "
            "needle data corrupted"
        )
    if code == native.SHORT:
        return NeedleCorruptedError("EOF")
    if code == native.BAD_META:
        return NeedleCorruptedError(
            f"invalid needle meta size: size={want_size}, offset={fault.offset}"
        )
    if code == native.CLOSED:
        return VolumeClosedError(f"volume {names.files.volume_id} is closed")
    if fault.on_map:
        return map_error(fault, names, f"needle {needle_id:x}")
    return DiskIOError(
        f"read {names.files.dat}: {fault.os_text} (volume {names.files.volume_id}, needle {needle_id:x})"
    )


def map_error(
    fault: native.NativeFaultError, names: VolumeNames, what: str = "all needles"
) -> DiskIOError:
    """The error of a needle map that could not be asked or changed; its own log says more."""
    return DiskIOError(
        f"needle map of {names.files.idx}: {fault.os_text} (volume {names.files.volume_id}, {what})"
    )


def write_error(
    fault: native.NativeFaultError, names: VolumeNames, *, needle_id: int, cookie: int
) -> StorageError:
    """The error of a failed append (weed/storage/volume_write.go: doWriteRequest)."""
    code = fault.code
    if code == native.BAD_COOKIE:
        return CookieMismatchError(f"mismatching cookie {cookie:x}")
    if code == native.READ_ONLY:
        return VolumeReadOnlyError(f"volume {names.files.volume_id} is read only")
    if code == native.CLOSED:
        return VolumeClosedError(f"volume {names.files.volume_id} is closed")
    if code == native.OVERFLOW:
        return OffsetOverflowError(f"Volume Size {fault.offset} Exceeded {fault.limit}")
    if code == native.BAD_NEEDLE:
        return StorageError(f"needle {needle_id:x} does not fit a record")
    if fault.on_map:
        return map_error(fault, names, f"needle {needle_id:x}")
    if fault.on_read:
        if code == native.SHORT:
            return NeedleCorruptedError("reading existing needle: EOF")
        return DiskIOError(f"reading existing needle: read {names.files.dat}: {fault.os_text}")
    if fault.on_index:
        return DiskIOError(
            f"index needle {needle_id:x} of volume {names.files.volume_id} at offset {fault.offset}: "
            f"write {names.files.idx}: {fault.os_text}"
        )
    length = actual_size(fault.size, names.version)
    return DiskIOError(
        f"append to volume {names.files.volume_id} size {fault.size} actualSize {length}: "
        f"failed to write {length} bytes to {names.files.dat} at offset {fault.offset}: "
        f"write {names.files.dat}: {fault.os_text}"
    )
