"""A file that a caller puts among those of a volume. Source: weed/server/volume_grpc_copy.go:
ReceiveFile, checkVolumeFileExtension, checkVolumeCollection.

Failures are told within an answer that says OK, and what was written of the file is removed.  Other
than upstream, no file is taken that a volume here has or may have in use, or that would have it removed
at the next start: anybody may send files, also who is not on the white list.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fastvol.errors import (
    ClientGoneError,
    FastvolError,
    InvalidRequestError,
    go_reason_of,
    reason_of,
)
from fastvol.formats import disk_type as disk_types
from fastvol.formats import file_names
from fastvol.formats.durable_file import sync_directory
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.copy_source import check_collection, check_extension, volume_file
from fastvol.rpc.service import Handler
from fastvol.volume.files import DATA_SIDE, INCOMING_SUFFIX, INDEX_SIDE

if TYPE_CHECKING:
    from fastvol.rpc.streams import RequestReceiver
    from fastvol.store.store import Store

_OF_VOLUMES = frozenset((*DATA_SIDE, *INDEX_SIDE, INCOMING_SUFFIX))
_OF_SHARDS = _OF_VOLUMES - {file_names.VIF}
"""What erasure-coded volumes do not have; the ``.vif`` they share with the volume that they come from."""
_STAGED_SUFFIX = ".copying"
"""Of a file for a volume that is not mounted; whoever sent it has it renamed later."""
_FILE_MODE = 0o666

log = logging.getLogger(__name__)


class ReceiveFileHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"ReceiveFile": self.receive_file}

    def receive_file(self, requests: RequestReceiver) -> pb.ReceiveFileResponse:
        """What to write where, then the content, piece by piece."""
        file = _Received()
        try:
            for request in requests:
                self._take(file, request)
            file.end()
        except ClientGoneError as error:
            file.remove()
            raise ClientGoneError(f"failed to receive stream: {error}") from error
        except FastvolError as error:
            file.remove()
            return pb.ReceiveFileResponse(error=str(error))
        except OSError as error:
            file.remove()
            return pb.ReceiveFileResponse(error=f"failed to write file: {reason_of(error)}")
        finally:
            file.close()
        return pb.ReceiveFileResponse(bytes_written=file.total)

    def _take(self, file: _Received, request: pb.ReceiveFileRequest) -> None:
        kind = request.WhichOneof("data")
        if kind == "info":
            file.end()
            file.begin(self._path_for(request.info))
        elif kind == "file_content":
            file.write(request.file_content)
        else:
            raise InvalidRequestError("unknown message type")

    def _path_for(self, info: pb.ReceiveFileInfo) -> Path:
        """Where a file goes; raises FastvolError."""
        check_extension(info.ext)
        check_collection(info.collection)
        if info.is_ec_volume:
            return self._shard_path(info)
        volume = self._store.find_volume(info.volume_id)
        if volume is not None:
            if info.ext in _OF_VOLUMES:
                raise InvalidRequestError(
                    f"volume {info.volume_id} is mounted and has its {info.ext} file in use; "
                    "unmount before ReceiveFile"
                )
            return volume_file(volume, info.ext)
        if not info.disk_type:
            raise InvalidRequestError(f"volume {info.volume_id} not found")
        location = self._store.find_staging_location(info.disk_type, info.volume_id)
        if location is None:
            readable = disk_types.readable(info.disk_type)
            raise InvalidRequestError(
                f"no {readable} disk location with a free slot for volume {info.volume_id}"
            )
        base = file_names.base_name(info.collection, info.volume_id)
        return location.directory / (base + info.ext + _STAGED_SUFFIX)

    def _shard_path(self, info: pb.ReceiveFileInfo) -> Path:
        if info.ext in _OF_SHARDS:
            raise InvalidRequestError(f"an erasure-coded volume has no {info.ext} file")
        locations = self._store.locations
        if info.disk_id >= len(locations):
            raise InvalidRequestError(
                f"invalid disk_id {info.disk_id}: only have {len(locations)} disks"
            )
        if info.disk_id:
            location = locations[info.disk_id]
        else:
            found = self._store.find_shard_location(info.collection, info.volume_id)
            if found is None:
                raise InvalidRequestError("no storage location available")
            location = found
        base = file_names.base_name(info.collection, info.volume_id)
        return location.directory / (base + info.ext)


class _Received:
    """The file being written; a caller may go on with another one, whose bytes count on."""

    def __init__(self) -> None:
        self.total = 0
        self._path: Path | None = None
        self._fd = -1

    def begin(self, path: Path) -> None:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(path, flags, _FILE_MODE)
        except OSError as error:
            raise InvalidRequestError(
                f"failed to create file: open {path}: {go_reason_of(error)}"
            ) from error
        self._path = path

    def write(self, content: bytes) -> None:
        if self._path is None:
            raise InvalidRequestError("file info must be sent first")
        view = memoryview(content)
        while view:
            written = os.write(self._fd, view)
            self.total += written
            view = view[written:]

    def end(self) -> None:
        """Makes the file durable, if there is one; it stays, whatever comes next."""
        if self._path is not None:
            os.fsync(self._fd)
            sync_directory(self._path.parent)
            self.close()
            self._path = None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def remove(self) -> None:
        """What was written is not what was sent."""
        if self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove %s", reason_of(error))
