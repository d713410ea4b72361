"""One needle: its fields, its record, and the pure Python codec (twin and oracle of the C one).

A record of version 2 or 3, all integers big endian:

| bytes | field | present |
| --- | --- | --- |
| 4, 8, 4 | cookie, id, size (bytes from here to the checksum) | always |
| 4, n | data size, payload | payload not empty |
| 1 | flags | payload not empty |
| 1 + n, 1 + n | name, mime | flags 0x02, 0x04 |
| 5 | last modified, seconds | flag 0x08 |
| 2 | TTL | flag 0x10 |
| 2 + n | pairs, a JSON object | flag 0x20 |
| 4 | CRC-32C of the payload | always |
| 8 | append time, nanoseconds | version 3 |
| 1..8 | padding to a multiple of 8, never empty | always |

Version 1 has header, payload, checksum and padding only.  Source of the rules:
``weed/storage/needle/needle_write_v2.go``, ``needle_read.go`` and ``needle_read_tail.go``.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, NoReturn

from crc32c import crc32c

from fastvol.errors import NeedleCorruptedError, SizeMismatchError
from fastvol.formats.file_id import hex_of_hex
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.limits import NAME_BYTES_MAX

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEADER_BYTES: Final = 16
CHECKSUM_BYTES: Final = 4
TIMESTAMP_BYTES: Final = 8
MODIFIED_BYTES: Final = 5
PADDING_UNIT: Final = 8
SIZE_MAX: Final = 2**31 - 1
TIMED_VERSION: Final = 3
"""The needle version whose records carry their append time."""

PART_DATA: Final = 1
PART_NAME: Final = 2
PART_MIME: Final = 3
PART_LAST_MODIFIED: Final = 4
PART_TTL: Final = 5
PART_PAIRS_SIZE: Final = 6
PART_PAIRS: Final = 7

_HEADER: Final = struct.Struct(">IQI")
assert _HEADER.size == HEADER_BYTES


@dataclass(slots=True)
class Needle:
    """One stored object.

    ``checksum`` is the raw CRC-32C of the payload as stored, ``last_modified`` in seconds,
    ``append_at_ns`` in nanoseconds, ``size`` the body size of its record.
    """

    IS_COMPRESSED: ClassVar[int] = 0x01
    HAS_NAME: ClassVar[int] = 0x02
    HAS_MIME: ClassVar[int] = 0x04
    HAS_LAST_MODIFIED: ClassVar[int] = 0x08
    HAS_TTL: ClassVar[int] = 0x10
    HAS_PAIRS: ClassVar[int] = 0x20
    IS_CHUNK_MANIFEST: ClassVar[int] = 0x80

    id: int
    cookie: int
    data: bytes | bytearray | memoryview = b""
    flags: int = 0
    name: bytes = b""
    mime: bytes = b""
    pairs: bytes = b""
    last_modified: int = 0
    ttl: TTL = EMPTY
    checksum: int = 0
    append_at_ns: int = 0
    size: int = 0

    @property
    def is_compressed(self) -> bool:
        """The payload is gzip."""
        return bool(self.flags & self.IS_COMPRESSED)

    @property
    def is_chunk_manifest(self) -> bool:
        """The payload is a JSON list of chunks."""
        return bool(self.flags & self.IS_CHUNK_MANIFEST)

    @property
    def has_name(self) -> bool:
        """A name is stored (it may be empty)."""
        return bool(self.flags & self.HAS_NAME)

    @property
    def has_mime(self) -> bool:
        """A content type is stored (it may be empty)."""
        return bool(self.flags & self.HAS_MIME)

    @property
    def has_last_modified(self) -> bool:
        """A modification time is stored."""
        return bool(self.flags & self.HAS_LAST_MODIFIED)

    @property
    def has_ttl(self) -> bool:
        """A TTL is stored."""
        return bool(self.flags & self.HAS_TTL)

    @property
    def has_pairs(self) -> bool:
        """Header pairs are stored."""
        return bool(self.flags & self.HAS_PAIRS)

    @property
    def etag(self) -> str:
        """The checksum in 8 hex digits, without quotes."""
        return f"{self.checksum:08x}"


class NeedleHeader(NamedTuple):
    """The first 16 bytes of a record; ``size`` is unsigned, as stored."""

    cookie: int
    key: int
    size: int

    @property
    def signed_size(self) -> int:
        """The size as upstream's messages print it."""
        return self.size - 2**32 if self.size > SIZE_MAX else self.size


def decode_header(stored: "ReadableBuffer") -> NeedleHeader | None:
    """The header of a record that begins with ``stored``; None when that ends early."""
    view = memoryview(stored)
    return NeedleHeader(*_HEADER.unpack_from(view)) if len(view) >= HEADER_BYTES else None


def append_time_at(size: int) -> int:
    """Where in a record of version 3 its append time stands; negative sizes count as 0."""
    return HEADER_BYTES + max(size, 0) + CHECKSUM_BYTES


def padding_length(size: int) -> int:
    """Bytes of padding behind a body of ``size``: 1..8, the same for every version."""
    return PADDING_UNIT - (max(size, 0) + CHECKSUM_BYTES) % PADDING_UNIT


def actual_size(size: int, version: int) -> int:
    """Bytes on disk of a record; negative sizes (tombstones) count as 0 (GetActualSize)."""
    timestamp = TIMESTAMP_BYTES if version == TIMED_VERSION else 0
    return HEADER_BYTES + max(size, 0) + CHECKSUM_BYTES + timestamp + padding_length(size)


def body_size(needle: Needle, version: int) -> int:
    """The size that the needle's record will carry."""
    size = len(needle.data)
    if version == 1 or size == 0:
        return size
    size += 4 + 1
    if needle.has_name:
        size += 1 + min(len(needle.name), NAME_BYTES_MAX)
    if needle.has_mime:
        size += 1 + len(needle.mime)
    if needle.has_last_modified:
        size += MODIFIED_BYTES
    if needle.has_ttl:
        size += 2
    if needle.has_pairs:
        size += 2 + len(needle.pairs)
    return size


def encode(needle: Needle, version: int) -> bytes:
    """The whole record, with the needle's checksum as it is; sets ``needle.size``.

    :exc:`ValueError` when a field does not fit.
    """
    body = bytes(needle.data) if version == 1 else _encode_body(needle)
    if len(body) > SIZE_MAX:
        raise ValueError(f"needle {needle.id:x} does not fit a record")
    needle.size = len(body)
    record = _HEADER.pack(needle.cookie, needle.id, needle.size) + body
    record += struct.pack(">I", needle.checksum)
    if version == TIMED_VERSION:
        record += struct.pack(">Q", needle.append_at_ns)
    record += _padding(needle, version)
    assert len(record) == actual_size(needle.size, version)
    assert needle.size == body_size(needle, version)
    return record


def _encode_body(needle: Needle) -> bytes:
    if len(needle.data) == 0:
        return b""
    if len(needle.mime) > 255 or len(needle.pairs) > 65535:
        raise ValueError(f"needle {needle.id:x} does not fit a record")
    body = [struct.pack(">I", len(needle.data)), bytes(needle.data), bytes((needle.flags,))]
    if needle.has_name:
        name = needle.name[:NAME_BYTES_MAX]
        body += [bytes((len(name),)), name]
    if needle.has_mime:
        body += [bytes((len(needle.mime),)), needle.mime]
    if needle.has_last_modified:
        body.append(struct.pack(">Q", needle.last_modified)[8 - MODIFIED_BYTES :])
    if needle.has_ttl:
        body.append(needle.ttl.to_bytes())
    if needle.has_pairs:
        body += [struct.pack(">H", len(needle.pairs)), needle.pairs]
    return b"".join(body)


def _padding(needle: Needle, version: int) -> bytes:
    """Upstream pads with what its scratch buffer held; nobody reads it, but files compare equal."""
    if version == TIMED_VERSION:
        scratch = struct.pack(">II", needle.size, 0)
    else:
        scratch = struct.pack(">Q", needle.id)
        if version == 2 and len(needle.data) and needle.has_last_modified:
            scratch = struct.pack(">I", needle.last_modified & 0xFFFFFFFF) + scratch[4:]
    return scratch[: padding_length(needle.size)]


def decode(record: "ReadableBuffer", want_size: int, version: int, verify: bool = True) -> Needle:
    """Parses a record of ``actual_size(want_size)`` bytes; ``data`` is a view into it.

    With ``verify`` the checksum must be the payload's, raw or in the form that servers before 3.09
    stored, and becomes the raw one.  :exc:`SizeMismatchError` when the header names another size,
    :exc:`NeedleCorruptedError` when the record ends early, a length leaves the body, or the
    checksum is wrong.
    """
    view = memoryview(record).cast("B")
    if len(view) < max(HEADER_BYTES, actual_size(want_size, version)):
        raise NeedleCorruptedError("EOF")
    cookie, key, size = _HEADER.unpack_from(view)
    if size != want_size:
        signed = size - 2**32 if size > SIZE_MAX else size
        raise SizeMismatchError(
            f"size mismatch: entry not found: found id {hex_of_hex(key)} size {signed}, "
            f"expected size {want_size}"
        )
    needle = Needle(key, cookie, size=size)
    body = view[HEADER_BYTES : HEADER_BYTES + size]
    if version == 1:
        needle.data = body
    elif size:
        _decode_body(body, needle)
    tail = view[HEADER_BYTES + size :]
    needle.checksum = int.from_bytes(tail[:CHECKSUM_BYTES], "big")
    if version == TIMED_VERSION:
        needle.append_at_ns = int.from_bytes(tail[4:12], "big")
    if verify and len(needle.data):
        _verify(needle)
    return needle


def legacy_checksum(crc: int) -> int:
    """The rotated form of a checksum (``weed/storage/needle/crc.go: Value``)."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _verify(needle: Needle) -> None:
    computed = crc32c(needle.data)
    if needle.checksum not in (computed, legacy_checksum(computed)):
        raise NeedleCorruptedError(
            f"invalid CRC for needle {needle.id:x} (got {computed:08x}, want "
            f"{needle.checksum:08x}), data on disk corrupted: needle data corrupted"
        )
    needle.checksum = computed


def _out_of_range(part: int) -> NoReturn:
    raise NeedleCorruptedError(f"index out of range {part}: needle data corrupted")


class _Body:
    """A cursor over a record's body.  ``take`` names the part that leaves it."""

    __slots__ = ("at", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.at = 0

    def at_end(self) -> bool:
        return self.at >= len(self.view)

    def take(self, length: int, part: int) -> memoryview:
        if self.at + length > len(self.view):
            _out_of_range(part)
        taken = self.view[self.at : self.at + length]
        self.at += length
        return taken

    def take_number(self, length: int, part: int) -> int:
        return int.from_bytes(self.take(length, part), "big")


def _decode_body(view: memoryview, needle: Needle) -> None:
    """A body that ends right before a flagged field simply does not have it."""
    body = _Body(view)
    needle.data = body.take(body.take_number(4, PART_DATA), PART_DATA)
    if body.at_end():
        return
    needle.flags = body.take_number(1, PART_DATA)
    if needle.has_name and not body.at_end():
        needle.name = bytes(body.take(body.take_number(1, PART_NAME), PART_NAME))
    if needle.has_mime and not body.at_end():
        needle.mime = bytes(body.take(body.take_number(1, PART_MIME), PART_MIME))
    if needle.has_last_modified and not body.at_end():
        needle.last_modified = body.take_number(MODIFIED_BYTES, PART_LAST_MODIFIED)
    if needle.has_ttl and not body.at_end():
        needle.ttl = TTL.from_bytes(body.take(2, PART_TTL))
    if needle.has_pairs and not body.at_end():
        length = body.take_number(2, PART_PAIRS_SIZE)
        needle.pairs = bytes(body.take(length, PART_PAIRS))
