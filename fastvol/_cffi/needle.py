"""Needle records, built and parsed by the C core.

The fields are those of the record; what they mean is told in ``fastvol.formats.needle``, whose pure
Python codec is the twin of this one.  Sizes are bytes; ``size`` is always the body size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol.errors import NeedleCorruptedError, SizeMismatchError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEADER_BYTES: Final[int] = lib.FV_NEEDLE_HEADER
PREFIX_BYTES: Final[int] = lib.FV_NEEDLE_PREFIX
META_BYTES_MAX: Final[int] = lib.FV_NEEDLE_META_MAX


@dataclass(slots=True)
class NeedleRecord:
    """The fields of one record, as stored: bytes, no interpretation.

    ``last_modified`` is in seconds (40 bits are stored), ``append_at_ns`` in nanoseconds,
    ``checksum`` a raw CRC-32C.
    """

    id: int
    cookie: int
    data: ReadableBuffer = b""
    flags: int = 0
    name: bytes = b""
    mime: bytes = b""
    pairs: bytes = b""
    last_modified: int = 0
    ttl: bytes = b"\0\0"
    checksum: int = 0
    append_at_ns: int = 0
    size: int = 0


def padding_length(size: int) -> int:
    """Bytes of padding behind a record: 1..8, never 0."""
    return int(lib.fv_needle_padding(size))


def actual_size(size: int, version: int) -> int:
    """Bytes on disk of a record with this body size; negative sizes count as 0."""
    _check_version(version)
    return int(lib.fv_needle_actual_size(size, version))


def build(record: NeedleRecord, version: int) -> tuple[bytes, bytes]:
    """What lies before and behind the payload of a record on disk.

    Sets ``record.size``; takes ``record.checksum`` as it is.  :exc:`ValueError` when a field does
    not fit.
    """
    _check_version(version)
    needle, keep_alive = _to_c(record)
    size = lib.fv_needle_body_size(needle, version)
    if size < 0:
        raise ValueError(f"needle {record.id:x} does not fit a record")
    needle.size = record.size = int(size)
    prefix = ffi.new("uint8_t[]", PREFIX_BYTES)
    suffix = ffi.new("uint8_t[]", META_BYTES_MAX)
    prefix_length = lib.fv_needle_build_prefix(needle, version, prefix)
    suffix_length = lib.fv_needle_build_suffix(needle, version, suffix)
    del keep_alive
    return bytes(ffi.buffer(prefix, prefix_length)), bytes(ffi.buffer(suffix, suffix_length))


def parse(
    record: ReadableBuffer, want_size: int, version: int, *, verify: bool = True
) -> NeedleRecord:
    """Parses a whole record; ``data`` is a view into ``record``.

    :exc:`SizeMismatchError` when the header carries another size, :exc:`NeedleCorruptedError` when
    the record is short, a length leaves the body, or (with ``verify``) the checksum is wrong in
    both its raw and its legacy form.
    """
    _check_version(version)
    view = memoryview(record).cast("B")
    base = ffi.from_buffer("uint8_t[]", view)
    out = ffi.new("fv_needle *")
    fault = ffi.new("fv_fault *")
    code = lib.fv_needle_parse(base, len(view), want_size, version, verify, out, fault)
    if code != lib.FV_NEEDLE_OK:
        _raise(code, out, fault, want_size)
    return NeedleRecord(
        id=out.id,
        cookie=out.cookie,
        data=_slice(view, base, out.data, out.data_size),
        flags=out.flags,
        name=bytes(_slice(view, base, out.name, out.name_size)),
        mime=bytes(_slice(view, base, out.mime, out.mime_size)),
        pairs=bytes(_slice(view, base, out.pairs, out.pairs_size)),
        last_modified=out.last_modified,
        ttl=bytes(out.ttl),
        checksum=out.checksum,
        append_at_ns=out.append_at_ns,
        size=out.size,
    )


def _check_version(version: int) -> None:
    if not 1 <= version <= 3:
        raise ValueError(f"needle version {version} is not supported")


def _to_c(record: NeedleRecord) -> tuple[Any, list[Any]]:
    needle = ffi.new("fv_needle *")
    needle.id = record.id
    needle.cookie = record.cookie
    needle.flags = record.flags
    needle.checksum = record.checksum
    needle.last_modified = record.last_modified
    needle.append_at_ns = record.append_at_ns
    needle.ttl = list(record.ttl)
    keep_alive = set_bytes(
        needle, data=record.data, name=record.name, mime=record.mime, pairs=record.pairs
    )
    return needle, keep_alive


def set_bytes(needle: Any, **fields: ReadableBuffer) -> list[Any]:
    """Points byte fields of an ``fv_needle`` at these buffers, without a copy.

    Returns:
        What must live as long as the needle is used.
    """
    keep_alive = []
    for field, content in fields.items():
        cells = ffi.from_buffer("uint8_t[]", content)
        setattr(needle, field, cells)
        setattr(needle, f"{field}_size", len(cells))
        keep_alive.append(cells)
    return keep_alive


def _slice(view: memoryview, base: Any, start: Any, length: int) -> memoryview:
    if length == 0:
        return view[:0]
    at = int(start - ffi.cast("uint8_t *", base))
    return view[at : at + length]


def _raise(code: int, out: Any, fault: Any, want_size: int) -> None:
    if code == lib.FV_NEEDLE_SHORT:
        raise NeedleCorruptedError("EOF: the record ends early: needle data corrupted")
    if code == lib.FV_NEEDLE_SIZE_MISMATCH:
        raise SizeMismatchError(
            f"size mismatch: found id {fault.found_id:x} size {fault.found_size}, "
            f"expected size {want_size}"
        )
    if code == lib.FV_NEEDLE_OUT_OF_RANGE:
        raise NeedleCorruptedError(f"index out of range {fault.part}: needle data corrupted")
    raise NeedleCorruptedError(
        f"invalid CRC for needle {out.id:x} (got {fault.computed:08x}, want {fault.stored:08x}), "
        "data on disk corrupted: needle data corrupted"
    )
