"""One bucket of an object store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from fastvol.errors import RemoteStorageError
from fastvol.limits import REMOTE_ATTEMPTS, REMOTE_STREAM_BYTES
from fastvol.remote.client import failures, is_missing, s3_client, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastvol.remote.dialling import CheckHost
    from fastvol.remote.settings import S3Settings


class BrokenOffError(RemoteStorageError):
    """An answer ended early: its request was fine, and may be so again."""


class Bucket:
    """Any thread may call any method; the connection is made by the first call."""

    def __init__(
        self,
        name: str,
        settings: S3Settings,
        *,
        storage_class: str = "",
        check_host: CheckHost | None = None,
    ) -> None:
        """``storage_class`` of objects that are put; empty leaves it to the store."""
        self.name = name
        self._settings = settings
        self._storage = {"StorageClass": storage_class} if storage_class else {}
        self._check_host = check_host
        self._made: Any = None
        self._making = threading.Lock()

    @property
    def client(self) -> Any:
        """The S3 client; :exc:`RemoteStorageError` when none can be made."""
        with self._making:
            if self._made is None:
                self._made = s3_client(self._settings, self._check_host)
            return self._made

    def size(self, key: str) -> int:
        """Bytes of an object; :exc:`RemoteStorageError`."""
        head = self._call(self.client.head_object, Key=key)
        return int(head["ContentLength"])

    def delete(self, key: str) -> None:
        """Removes an object, or nothing when there is none; :exc:`RemoteStorageError`."""
        try:
            self.client.delete_object(Bucket=self.name, Key=key)
        except failures() as error:
            if not is_missing(error):
                raise RemoteStorageError(words(error)) from error

    def read(self, key: str, offset: int, length: int) -> bytes:
        """A range of an object, fewer bytes where it ends.

        Raises:
            RemoteStorageError: refused, broken off again and again, or no range of it.
        """
        found = bytearray()
        for attempt in range(1, REMOTE_ATTEMPTS + 1):
            try:
                for piece in self.pieces(key, offset + len(found), length - len(found)):
                    found += piece
            except BrokenOffError:
                if attempt == REMOTE_ATTEMPTS:
                    raise
            else:
                break
        return bytes(found)

    def pieces(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        """A range of an object as it comes; :exc:`RemoteStorageError`, also when it breaks off."""
        wanted = f"bytes={offset}-{offset + length - 1}"
        answer = self._call(self.client.get_object, Key=key, Range=wanted)
        body, left = answer["Body"], min(length, int(answer["ContentLength"]))
        told = answer["ResponseMetadata"]["HTTPStatusCode"]
        try:
            if told != 206 and (offset or int(answer["ContentLength"]) > length):
                raise RemoteStorageError(f"it does not give ranges: status {told}")
            while left > 0:
                try:
                    piece = body.read(min(left, REMOTE_STREAM_BYTES))
                except failures() as error:
                    raise BrokenOffError(words(error)) from error
                if not piece:
                    raise BrokenOffError("unexpected EOF")
                left -= len(piece)
                yield piece
        finally:
            body.close()

    def put(self, key: str, body: Any, size: int) -> None:
        """Stores an object with one request; :exc:`RemoteStorageError`."""
        self._call(self.client.put_object, Key=key, Body=body, ContentLength=size, **self._storage)

    # --- in parts -------------------------------------------------------------------------------

    def begin_upload(self, key: str) -> str:
        """The id of an upload in parts; :exc:`RemoteStorageError`."""
        begun = self._call(self.client.create_multipart_upload, Key=key, **self._storage)
        return str(begun["UploadId"])

    def upload_part(self, key: str, upload: str, number: int, body: Any, size: int) -> str:
        """Stores one part, counted from 1; its tag.  :exc:`RemoteStorageError`."""
        done = self._call(
            self.client.upload_part,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=body,
            ContentLength=size,
        )
        return str(done["ETag"])

    def end_upload(self, key: str, upload: str, tags: list[str]) -> None:
        """Makes the parts one object; :exc:`RemoteStorageError`."""
        parts = [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, 1)]
        self._call(
            self.client.complete_multipart_upload,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
        )

    def drop_upload(self, key: str, upload: str) -> None:
        """Removes the parts of an upload that will not be ended; :exc:`RemoteStorageError`."""
        self._call(self.client.abort_multipart_upload, Key=key, UploadId=upload)

    def _call(self, method: Callable[..., Any], **fields: Any) -> Any:
        try:
            return method(Bucket=self.name, **fields)
        except failures() as error:
            raise RemoteStorageError(words(error)) from error
        except ValueError as error:  # botocore's word for a field that cannot be
            raise RemoteStorageError(str(error)) from error
