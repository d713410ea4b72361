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

    def check(got: int, want: int) -> None:
        if got != want:
            raise RemoteStorageError(
                f"short read from {bucket.name}{path} at offset {offset}: got {got} bytes, want {size}"
            )

    def fetch(start: int) -> bytes:
        length = min(REMOTE_NEEDLE_PART_BYTES, size - start)
        try:
            return bucket.read(key, offset + start, length)
        except RemoteStorageError as error:
            text = f"failed to download file {bucket.name}{path}: {error}"
            raise RemoteStorageError(text) from error

    # The first part alone: a size that is none fails before any memory is taken for it.
    found = bytearray(fetch(0))
    check(len(found), min(size, REMOTE_NEEDLE_PART_BYTES))
    starts = range(REMOTE_NEEDLE_PART_BYTES, size, REMOTE_NEEDLE_PART_BYTES)
    if starts:
        with ThreadPoolExecutor(min(concurrency, len(starts)), "fetch") as pool:
            for part in pool.map(fetch, starts):
                found += part
                if len(part) < REMOTE_NEEDLE_PART_BYTES:
                    check(len(found), size)
    return found
