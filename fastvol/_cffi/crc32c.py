"""CRC-32C, the checksum of every needle, from the C core.

Checksums are finished values in 0..2**32-1; the checksum of no bytes is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastvol._cffi._core import ffi, lib

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PORTABLE: Final[int] = lib.FV_CRC32C_PORTABLE
SSE42: Final[int] = lib.FV_CRC32C_SSE42
AVX512: Final[int] = lib.FV_CRC32C_AVX512


def crc32c(data: ReadableBuffer, crc: int = 0) -> int:
    """Checksum of ``data``, continuing from ``crc``: ``crc32c(b, crc32c(a)) == crc32c(a + b)``."""
    view = ffi.from_buffer(data)
    return int(lib.fv_crc32c(crc, view, len(view)))


def crc32c_with(kernel: int, data: ReadableBuffer, crc: int = 0) -> int:
    """As :func:`crc32c`, by one kernel; :exc:`ValueError` if this machine does not have it."""
    if not kernel_available(kernel):
        raise ValueError(f"crc32c kernel {kernel} is not available on this machine")
    view = ffi.from_buffer(data)
    return int(lib.fv_crc32c_with(kernel, crc, view, len(view)))


def kernel_available(kernel: int) -> bool:
    """Whether this build and this CPU have the kernel; :data:`PORTABLE` always is."""
    return bool(lib.fv_crc32c_kernel_available(kernel))


def combine(crc_a: int, crc_b: int, length_b: int) -> int:
    """Checksum of a followed by b, from their checksums and b's length in bytes."""
    return int(lib.fv_crc32c_combine(crc_a, crc_b, length_b))


def legacy(crc: int) -> int:
    """The rotated form (``weed/storage/needle/crc.go: Value``) of old volumes and gRPC replies."""
    return int(lib.fv_crc32c_legacy(crc))
