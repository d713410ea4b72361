"""A bucket in memory, for what moves and reads volumes; and a tier that knows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from fastvol.errors import RemoteStorageError
from fastvol.remote.backends import Backend
from fastvol.remote.bucket import Bucket
from fastvol.remote.tier import Tier


class MemoryBucket:
    """As :class:`fastvol.remote.bucket.Bucket`; ``before`` is called with the name of each request."""

    def __init__(self) -> None:
        self.name = "memory"
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.reads: list[tuple[int, int]] = []
        self.before: Callable[[str], None] = lambda _request: None
        self._lock = threading.Lock()

    def fail(self, *requests: str) -> None:
        """Such requests fail from now on; none without any."""

        def before(request: str) -> None:
            if request in requests:
                raise RemoteStorageError(f"{request} failed")

        self.before = before

    def _found(self, key: str) -> bytes:
        if key not in self.objects:
            raise RemoteStorageError("NoSuchKey")
        return self.objects[key]

    def size(self, key: str) -> int:
        self.before("size")
        return len(self._found(key))

    def delete(self, key: str) -> None:
        self.before("delete")
        self.objects.pop(key, None)

    def read(self, key: str, offset: int, length: int) -> bytes:
        self.before("read")
        with self._lock:
            self.reads.append((offset, length))
        return self._found(key)[offset : offset + length]

    def pieces(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        self.before("pieces")
        data = self._found(key)[offset : offset + length]
        for at in range(0, len(data), 1000):
            self.before("piece")
            yield data[at : at + 1000]

    def put(self, key: str, body: Any, size: int) -> None:
        self.before("put")
        self.objects[key] = _all_of(body, size)

    def begin_upload(self, key: str) -> str:
        self.before("begin_upload")
        self.uploads[key] = {}
        return key

    def upload_part(self, key: str, upload: str, number: int, body: Any, size: int) -> str:
        self.before("upload_part")
        self.uploads[upload][number] = _all_of(body, size)
        return f"tag-{number}"

    def end_upload(self, key: str, upload: str, tags: list[str]) -> None:
        self.before("end_upload")
        parts = self.uploads.pop(upload)
        assert tags == [f"tag-{number}" for number in sorted(parts)]
        self.objects[key] = b"".join(parts[number] for number in sorted(parts))

    def drop_upload(self, key: str, upload: str) -> None:
        del self.uploads[upload]


def _all_of(body: Any, size: int) -> bytes:
    """As an HTTP client takes it: once for its checksum, once to be sent."""
    taken = [b""]
    for _ in range(2):
        body.seek(0)
        taken = []
        while piece := body.read(4096):
            taken.append(piece)
    data = b"".join(taken)
    assert len(data) == size
    return data


def backend_of(bucket: MemoryBucket, identity: str = "default") -> Backend:
    return Backend("s3", identity, cast(Bucket, bucket), 3, 3)


def tier_with(bucket: MemoryBucket) -> Tier:
    """One whose backend ``s3.default`` has this bucket."""
    tier = Tier()
    backend = backend_of(bucket)
    tier.backends._by_name.update({"s3.default": backend, "s3": backend})
    return tier
