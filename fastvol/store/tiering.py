"""Moving a volume's data to an object store and back.

Order of the checks and texts: weed/server/volume_grpc_tier_upload.go, volume_grpc_tier_download.go.

What a crash leaves, or a caller who leaves in the middle:

| until | found at the next start |
| --- | --- |
| the ``.vif`` names the object | the volume with its data file; maybe an object that nobody knows |
| the data file is removed | the tiered volume; the data file is not looked at |
| the fetched data file has its name | the tiered volume; ``.dat.incoming`` is removed |
| the ``.vif`` names no object | the tiered volume; the data file is not looked at |
| the object is removed | the volume with its data file; an object that nobody knows |
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fastvol.errors import (
    FastvolError,
    NoSpaceError,
    RemoteStorageError,
    StorageError,
    VolumeNotFoundError,
    reason_of,
)
from fastvol.formats import file_names, volume_info
from fastvol.formats.durable_file import FILE_MODE, sync_directory
from fastvol.formats.volume_info import RemoteFile
from fastvol.remote.backends import concurrency, split_name
from fastvol.remote.transfer import TransferControl, download, upload
from fastvol.volume.files import INCOMING_SUFFIX, remove_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastvol.remote.backends import Backend
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

    Progress = Callable[[int, int], bool]

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


class Tiering:
    """The moves of one store; any thread, any number of volumes at a time.

    ``progress`` of the methods gets the bytes done and those of the whole, and answers False when the
    caller has gone.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- up -------------------------------------------------------------------------------------

    def to_remote(
        self,
        volume_id: int,
        collection: str,
        destination: str,
        *,
        keep_local: bool,
        parts_at_once: int,
        progress: Progress,
    ) -> None:
        """Moves the data to the backend of this name; nothing to do when it is remote already.

        Raises:
            StorageError: nothing has changed; or, after the move, the data file could not go.
            ClientGoneError: nothing has changed.
        """
        volume = self._find(volume_id, collection)
        if volume.remote is not None:
            return
        backend = self._store.tier.backends.find(destination)
        if backend is None:
            names = self._store.tier.backends.names()
            raise StorageError(f"destination {destination} not found, supported: {names}")
        if any(
            (one.backend_type, one.backend_id) == split_name(destination)
            for one in volume.info.files
        ):
            raise StorageError(f"destination {destination} already exists")
        with volume.moving():
            volume.sound_native()  # up there nobody would compare its index with its data any more
            file = self._put(volume, backend, parts_at_once, progress)
            try:
                self._store.replace_data(volume, lambda: volume.go_remote(file, self._store.tier))
            except BaseException:
                if not _is_named(volume, file.key):
                    _drop(backend, file.key)
                raise
            if not keep_local:
                _remove_data(volume.files.data(file_names.DAT))

    def _put(
        self, volume: Volume, backend: Backend, parts_at_once: int, progress: Progress
    ) -> RemoteFile:
        path = volume.files.data(file_names.DAT)
        key = str(uuid.uuid4())
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _copy_failed(backend, path, reason_of(error)) from error
        try:
            status = os.fstat(fd)
            at_once = concurrency(parts_at_once, backend.upload_concurrency)
            control = self._control(at_once, status.st_size, progress)
            upload(backend.bucket, key, fd, status.st_size, control)
        except RemoteStorageError as error:
            reason = f"failed to upload file {path}: {error}"
            raise _copy_failed(backend, path, reason) from error
        finally:
            os.close(fd)
        return RemoteFile(
            backend_type=backend.type,
            backend_id=backend.id,
            key=key,
            file_size=status.st_size,
            modified_time=int(status.st_mtime),
            extension=file_names.DAT,
        )

    # --- down -----------------------------------------------------------------------------------

    def to_local(
        self,
        volume_id: int,
        collection: str,
        *,
        keep_remote: bool,
        parts_at_once: int,
        progress: Progress,
    ) -> None:
        """Moves the data of a tiered volume to the disk.

        Raises:
            StorageError: it is served from where it was; or, after the move, the object could not go.
            ClientGoneError: nothing has changed.
        """
        volume = self._find(volume_id, collection)
        remote = volume.remote
        if remote is None:
            raise StorageError(f"volume {volume_id} is already on local disk")
        with volume.moving():
            modified = volume.info.files[0].modified_time
            path = volume.files.data(file_names.DAT)
            incoming = path.with_name(path.name + INCOMING_SUFFIX)
            try:
                at_once = concurrency(parts_at_once, remote.backend.download_concurrency)
                self._get(remote.backend, remote.key, incoming, at_once, progress)
                with suppress(OSError):
                    if modified > 0:
                        os.utime(incoming, (modified, modified))
                incoming.replace(path)
            except OSError as error:
                raise _copy_failed(remote.backend, path, reason_of(error)) from error
            except RemoteStorageError as error:
                raise _copy_failed(remote.backend, path, str(error)) from error
            finally:
                remove_files([incoming])
            try:
                sync_directory(path.parent)
            except OSError as error:
                raise StorageError(
                    f"volume {volume_id} fsync dir for {path}: {reason_of(error)}"
                ) from error
            self._store.replace_data(volume, volume.go_local)
            if keep_remote:
                return
            try:
                remote.backend.bucket.delete(remote.key)
            except RemoteStorageError as error:
                raise StorageError(
                    f"volume {volume_id} failed to delete remote file {remote.key}: {error}"
                ) from error

    def _get(
        self, backend: Backend, key: str, path: Path, at_once: int, progress: Progress
    ) -> None:
        size = backend.bucket.size(key)
        figures = os.statvfs(path.parent)
        free = figures.f_bavail * figures.f_frsize
        if size > free:
            raise NoSpaceError(
                f"volume data of {size} bytes does not fit: {path.parent} has {free} bytes free"
            )
        fd = os.open(path, _NEW, FILE_MODE)
        try:
            download(backend.bucket, key, fd, size, self._control(at_once, size, progress))
            os.fsync(fd)
        finally:
            os.close(fd)

    # --- both -----------------------------------------------------------------------------------

    def _find(self, volume_id: int, collection: str) -> Volume:
        volume = self._store.find_volume(volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"volume {volume_id} not found")
        if volume.collection != collection:
            raise StorageError(
                f"existing collection:{volume.collection} unexpected input: {collection}"
            )
        return volume

    def _control(self, at_once: int, size: int, progress: Progress) -> TransferControl:
        return TransferControl(
            at_once, lambda done: not self._store.stopping and progress(done, size)
        )


def _copy_failed(backend: Backend, path: Path, reason: str) -> StorageError:
    return StorageError(f"backend {backend.type}.{backend.id} copy file {path}: {reason}")


def _is_named(volume: Volume, key: str) -> bool:
    """Whether the next start may look for this object."""
    try:
        info = volume_info.load(volume.files.data(file_names.VIF))
    except OSError:
        return True
    return info is not None and any(one.key == key for one in info.files)


def _drop(backend: Backend, key: str) -> None:
    with suppress(FastvolError):
        backend.bucket.delete(key)


def _remove_data(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise StorageError(f"volume data file {path} stays: {reason_of(error)}") from error
