"""A range of an object, in parts, several at a time (weed/remote_storage/s3: ReadFileWithConcurrency)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastvol.errors import RemoteStorageError
from fastvol.limits import REMOTE_NEEDLE_PART_BYTES

if TYPE_CHECKING:
    from fastvol.remote.bucket import Bucket


def read_object(bucket: Bucket, path: str, offset: int, size: int, concurrency: int) -> bytearray:
    """``size`` bytes of an object.

    Args:
        path: the key behind a slash.

    Raises:
        RemoteStorageError: also when the object ends before.
    """
    key = path.removeprefix("/")

    def fetch(start: int) -> bytes:
        length = min(REMOTE_NEEDLE_PART_BYTES, size - start)
        try:
            part = bucket.read(key, offset + start, length)
        except RemoteStorageError as error:
            text = f"failed to download file {bucket.name}{path}: {error}"
            raise RemoteStorageError(text) from error
        if len(part) != length:
            raise RemoteStorageError(
                f"short read from {bucket.name}{path} at offset {offset + start}: "
                f"got {len(part)} bytes, want {length}"
            )
        return part

    # The first part alone: a size that is none fails before any memory is taken for it.
    found = bytearray(fetch(0))
    starts = range(REMOTE_NEEDLE_PART_BYTES, size, REMOTE_NEEDLE_PART_BYTES)
    if starts:
        with ThreadPoolExecutor(min(concurrency, len(starts)), "fetch") as pool:
            for part in pool.map(fetch, starts):
                found += part
    return found
