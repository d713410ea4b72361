"""Single needles by gRPC: their status, and deleting many of them at once.

Source: weed/server/volume_grpc_batch_delete.go; weed/server/volume_grpc_admin.go:
VolumeNeedleStatus; weed/storage/needle/crc.go: Value.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import grpc

from fastvol.errors import (
    NeedleDeletedError,
    NeedleNotFoundError,
    StorageError,
    VolumeNotFoundError,
    reason_of,
)
from fastvol.formats.file_id import parse_key_cookie, parse_path, parse_volume_id
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import StatusError

if TYPE_CHECKING:
    from fastvol.store.store import Store

_CRC_MASK_DELTA: Final = 0xA282EAD8
_UINT32_MASK: Final = 0xFFFFFFFF


class _DeletionError(Exception):
    """One fid of a batch was not deleted: an HTTP-like status and why."""

    def __init__(self, status: HTTPStatus, text: str):
        super().__init__(text)
        self.status = status


class NeedleHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "BatchDelete": self.batch_delete,
            "VolumeNeedleStatus": self.needle_status,
        }

    def needle_status(self, request: pb.VolumeNeedleStatusRequest) -> pb.VolumeNeedleStatusResponse:
        """What the record of one needle says; the needle is read and checked for it."""
        volume = self._store.find_volume(request.volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"volume not found {request.volume_id}")
        try:
            needle = volume.read(request.needle_id)
        except NeedleDeletedError as error:
            raise StatusError(grpc.StatusCode.UNKNOWN, "already deleted") from error
        except NeedleNotFoundError as error:
            text = f"needle not found {request.needle_id}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, text) from error
        return pb.VolumeNeedleStatusResponse(
            needle_id=needle.id,
            cookie=needle.cookie,
            size=needle.size,
            last_modified=needle.last_modified,
            crc=masked_crc(needle.checksum),
            ttl=str(needle.ttl),
        )

    def batch_delete(self, request: pb.BatchDeleteRequest) -> pb.BatchDeleteResponse:
        """Delete needles one by one; every fid gets one result, in order, whatever happens."""
        response = pb.BatchDeleteResponse()
        for file_id in request.file_ids:
            result = response.results.add(file_id=file_id)
            try:
                result.size = self._delete(file_id, check_cookie=not request.skip_cookie_check)
            except _DeletionError as error:
                result.status = error.status
                result.error = str(error)
            else:
                # Nothing to delete, or an empty file: its tombstone is written all the same.
                gone = result.size > 0
                result.status = HTTPStatus.ACCEPTED if gone else HTTPStatus.NOT_MODIFIED
        return response

    def _delete(self, file_id: str, *, check_cookie: bool) -> int:
        """Body size of the record that was deleted; raises _DeletionError."""
        volume_text, comma, needle_text = file_id.partition(",")
        if not (volume_text and comma):
            raise _DeletionError(HTTPStatus.BAD_REQUEST, "Wrong fid format.")
        volume_id = _lenient_volume_id(volume_text)
        try:
            parse = parse_path if check_cookie else parse_key_cookie
            key, cookie = parse(needle_text)
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


def masked_crc(checksum: int) -> int:
    """The form in which gRPC replies give a stored CRC-32C: rotated by 15 and offset."""
    rotated = (checksum >> 15 | checksum << 17) & _UINT32_MASK
    return rotated + _CRC_MASK_DELTA & _UINT32_MASK


def _lenient_volume_id(text: str) -> int:
    """A volume id whose parse error upstream ignores: 0, or all ones when it overflows."""
    try:
        return parse_volume_id(text)
    except ValueError:
        return _UINT32_MASK if text.isascii() and text.isdigit() else 0
