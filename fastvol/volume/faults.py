"""From the C core's result codes to errors of the tree, in upstream's words."""

from typing import Final

from fastvol._cffi import volume as native
from fastvol.errors import (
    CookieMismatchError,
    DiskIOError,
    NeedleCorruptedError,
    NeedleDeletedError,
    NeedleNotFoundError,
    OffsetOverflowError,
    SizeMismatchError,
    StorageError,
    VolumeReadOnlyError,
)

_GO_HEX_OF_TEXT: Final = "utf-8"


def read_error(
    fault: native.NativeFaultError, *, volume_id: int, needle_id: int, want_size: int, path: str
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
        # Upstream formats the id with a verb that hex-encodes its own text.
        found = f"{fault.found_id:x}".encode(_GO_HEX_OF_TEXT).hex()
        return SizeMismatchError(
            f"size mismatch: entry not found: offset {fault.offset} found id {found} "
            f"size {fault.found_size}, expected size {want_size}"
        )
    if code == native.SHORT:
        return NeedleCorruptedError("EOF")
    if code == native.BAD_META:
        return NeedleCorruptedError(
            f"invalid needle meta size: size={want_size}, offset={fault.offset}"
        )
    return DiskIOError(f"read {path}: {fault.os_text} (volume {volume_id}, needle {needle_id:x})")


def write_error(
    fault: native.NativeFaultError,
    *,
    volume_id: int,
    needle_id: int,
    cookie: int,
    dat_path: str,
    idx_path: str,
) -> StorageError:
    """The error of a failed append (weed/storage/volume_write.go: doWriteRequest)."""
    code = fault.code
    if code == native.BAD_COOKIE:
        return CookieMismatchError(f"mismatching cookie {cookie:x}")
    if code == native.READ_ONLY:
        return VolumeReadOnlyError(f"volume {volume_id} is read only")
    if code == native.OVERFLOW:
        return OffsetOverflowError(f"Volume Size {fault.offset} Exceeded {fault.limit}")
    if code in (native.SHORT, native.SIZE_MISMATCH):
        return NeedleCorruptedError("reading existing needle: EOF")
    if fault.on_index:
        return DiskIOError(
            f"index needle {needle_id:x} of volume {volume_id} at offset {fault.offset}: "
            f"write {idx_path}: {fault.os_text}"
        )
    return DiskIOError(
        f"append to volume {volume_id}: failed to write to {dat_path} "
        f"at offset {fault.offset}: {fault.os_text}"
    )
