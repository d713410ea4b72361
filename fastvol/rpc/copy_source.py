"""Files of this server, for others to copy.

Source: weed/server/volume_grpc_copy.go: CopyFile, checkVolumeFileExtension, checkVolumeCollection;
weed/server/volume_grpc_copy_incremental.go: VolumeIncrementalCopy.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastvol.errors import InvalidRequestError, StorageError, go_reason_of
from fastvol.formats.file_names import base_name
from fastvol.formats.go_numbers import quote
from fastvol.formats.protobuf_wire import bytes_head, number_field
from fastvol.limits import TAIL_CHUNK_BYTES
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.volumes import mounted_volume, readable_volume
from fastvol.volume.files import INDEX_SIDE
from fastvol.volume.tail import incremental_chunks

if TYPE_CHECKING:
    from fastvol.rpc.streams import ReplySender
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

_ANY_REVISION: Final = 0xFFFFFFFF
_EXTENSION: Final = re.compile(r"\.[0-9A-Za-z]+", re.ASCII)


class CopySourceHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "CopyFile": self.copy_file,
            "VolumeIncrementalCopy": self.incremental_copy,
        }

    def copy_file(self, request: pb.CopyFileRequest, send: ReplySender) -> None:
        """The first ``stop_offset`` bytes of one file, in order; the first message has its time.

        A caller that is content with no file gets no message at all.
        """
        check_extension(request.ext)
        check_collection(request.collection)
        # A signed number upstream: "everything", asked for by 2**64 - 1, is nothing.
        stop = request.stop_offset if request.stop_offset < 1 << 63 else -1
        fd = self._open(request, stop)
        if fd is None:
            return
        try:
            status = os.fstat(fd)
            # Never 0: that is how the receiver knows that there is such a file.
            send.send_each(_file_messages(fd, stop, max(status.st_mtime_ns, 1)))
        finally:
            os.close(fd)

    def _open(self, request: pb.CopyFileRequest, stop: int) -> int | None:
        """A descriptor, or None when the caller does not mind that there is none."""
        if request.is_ec_volume:
            path = self._shard_path(request)
            if path is None:
                if request.ignore_source_file_not_found:
                    return None
                raise StorageError(f"CopyFile not found ec volume id {request.volume_id}")
        else:
            volume = mounted_volume(self._store, request.volume_id)
            self._check_revision(volume, request.compaction_revision)
            volume.sync()
            path = volume_file(volume, request.ext)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if request.ignore_source_file_not_found or stop == 0:
                return None
            raise StorageError(f"open {path}: no such file or directory") from error
        except OSError as error:
            raise StorageError(f"open {path}: {go_reason_of(error)}") from error
        try:
            self._check_opened(request, path, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _check_opened(self, request: pb.CopyFileRequest, path: Path, fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise StorageError(f"read {path}: is a directory")
        if not request.is_ec_volume:
            # A vacuum may have put another file in its place since the first look.
            volume = mounted_volume(self._store, request.volume_id)
            self._check_revision(volume, request.compaction_revision)

    @staticmethod
    def _check_revision(volume: Volume, revision: int) -> None:
        if revision not in (_ANY_REVISION, volume.super_block.compaction_revision):
            raise StorageError(f"volume {volume.id} is compacted")

    def _shard_path(self, request: pb.CopyFileRequest) -> Path | None:
        """A file of an erasure-coded volume, wherever it is; the last one found counts."""
        name = base_name(request.collection, request.volume_id) + request.ext
        found = None
        for location in self._store.locations:
            for directory in (location.directory, location.index_directory):
                path = directory / name
                if path.exists():
                    found = path
        return found

    def incremental_copy(self, request: pb.VolumeIncrementalCopyRequest, send: ReplySender) -> None:
        """The raw data file from the first record on that is newer than ``since_ns``."""
        volume = readable_volume(self._store, request.volume_id)
        with closing(incremental_chunks(volume, request.since_ns)) as chunks:
            send.send_each(bytes_head(1, len(chunk)) + chunk for chunk in chunks)


def check_extension(extension: str) -> None:
    """Raises InvalidRequestError for what could lead out of a volume's files."""
    if not _EXTENSION.fullmatch(extension):
        raise InvalidRequestError(f"invalid file extension {quote(extension)}")


def check_collection(collection: str) -> None:
    """Raises InvalidRequestError for a name that would be a path."""
    if collection in (".", "..") or any(character in collection for character in "/\\\0"):
        raise InvalidRequestError(f"invalid collection {quote(collection)}")


def volume_file(volume: Volume, extension: str) -> Path:
    """Where a mounted volume has, or would have, a file of this extension."""
    files = volume.files
    return files.index(extension) if extension in INDEX_SIDE else files.data(extension)


def _file_messages(fd: int, stop: int, modified_ns: int) -> Iterator[bytes]:
    """CopyFileResponses of up to 2 MiB."""
    tail = number_field(2, modified_ns)
    at = 0
    while at < stop:
        try:
            chunk = os.pread(fd, min(TAIL_CHUNK_BYTES, stop - at), at)
        except OSError as error:
            raise StorageError(go_reason_of(error)) from error
        if not chunk:
            break
        yield b"".join((bytes_head(1, len(chunk)), chunk, tail))
        tail = b""
        at += len(chunk)
    if at == 0:
        yield tail
