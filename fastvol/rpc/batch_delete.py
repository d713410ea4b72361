"""Deleting many needles at once, as filers do. Source: weed/server/volume_grpc_batch_delete.go.

What is common is done in C, without the GIL: fids are read, records checked, tombstones appended in
runs.  Whatever that leaves open is done here, one by one, by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastvol._cffi.deletion import Checking, DeletionBatch
from fastvol.errors import StorageError, VolumeClosedError, reason_of
from fastvol.formats.file_id import parse_key_cookie, parse_path
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.file_ids import read_file_id
from fastvol.rpc.service import Handler

if TYPE_CHECKING:
    from fastvol.store.store import Store


class _DeletionError(Exception):
    """One fid of a batch was not deleted: an HTTP-like status and why."""

    def __init__(self, status: HTTPStatus, text: str):
        super().__init__(text)
        self.status = status


class BatchDeleteHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"BatchDelete": self.batch_delete}

    def batch_delete(self, request: pb.BatchDeleteRequest) -> bytes:
        """A BatchDeleteResponse: every fid gets one result, in order, whatever happens."""
        fids = list(request.file_ids)
        check_cookie = not request.skip_cookie_check
        batch = DeletionBatch(fids, Checking.COOKIE if check_cookie else Checking.NONE)
        for volume_id in batch.volume_ids():
            volume = self._store.find_volume(volume_id)
            if volume is None or volume.unavailable:
                continue
            try:
                batch.delete_from(volume.native, volume_id)
            except VolumeClosedError:
                continue
        answer, done = [], 0
        for number in batch.open_ones():
            answer.append(batch.results(done, number))
            answer.append(self._alone(fids[number], check_cookie=check_cookie))
            done = number + 1
        answer.append(batch.results(done, batch.count))
        return b"".join(answer)

    def _alone(self, file_id: str, *, check_cookie: bool) -> bytes:
        """The result of one fid as part of a response."""
        response = pb.BatchDeleteResponse()
        result = response.results.add(file_id=file_id)
        try:
            result.size = self._delete(file_id, check_cookie=check_cookie)
        except _DeletionError as error:
            result.status = error.status
            # A fid that is quoted may have been cut within a character.
            result.error = str(error).encode(errors="surrogateescape").decode(errors="replace")
        else:
            # Nothing to delete, or an empty file: its tombstone is written all the same.
            gone = result.size > 0
            result.status = HTTPStatus.ACCEPTED if gone else HTTPStatus.NOT_MODIFIED
        return response.SerializeToString()

    def _delete(self, file_id: str, *, check_cookie: bool) -> int:
        """Body size of the record that was deleted; raises _DeletionError."""
        parse = parse_path if check_cookie else parse_key_cookie
        try:
            volume_id, key, cookie = read_file_id(file_id, parse)
        except ValueError as error:
            raise _DeletionError(HTTPStatus.BAD_REQUEST, str(error)) from error
        checksum = self._checked(volume_id, key, cookie) if check_cookie else 0
        volume = self._store.find_volume(volume_id)
        if volume is None:
            where = f"{self._store.ip}:{self._store.port}"
            text = f"volume {volume_id} not found on {where}"
            raise _DeletionError(HTTPStatus.INTERNAL_SERVER_ERROR, text)
        try:
            return volume.delete(key, cookie, checksum)
        except (StorageError, OSError) as error:
            raise _DeletionError(HTTPStatus.INTERNAL_SERVER_ERROR, reason_of(error)) from error

    def _checked(self, volume_id: int, key: int, cookie: int) -> int:
        """Checksum of the needle, after making sure that it is the one meant."""
        try:
            needle = self._store.get_volume(volume_id).read(key)
        except (StorageError, OSError) as error:
            raise _DeletionError(HTTPStatus.NOT_FOUND, reason_of(error)) from error
        if needle.size and needle.cookie != cookie:  # an empty file's cookie is not in its index
            raise _DeletionError(HTTPStatus.BAD_REQUEST, "File Random Cookie does not match.")
        if needle.is_chunk_manifest:
            # Its chunks are other needles, which only the HTTP delete knows how to find.
            text = "ChunkManifest: not allowed in batch delete mode."
            raise _DeletionError(HTTPStatus.NOT_ACCEPTABLE, text)
        return needle.checksum
