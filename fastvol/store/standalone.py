"""The library: ``from fastvol import Volume``.

A thin face of the storage engine for programs that work on a volume's files themselves, without a
server. Opened for reading, a volume may be in use by a server at the same time, and nothing is
changed; what is written later is not seen. Opened for writing, its directory is locked, so that no
fastvol server has it.

Any number of threads may use one volume.
"""

import gzip
import json
import mmap
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastvol._cffi.crc32c import crc32c
from fastvol._cffi.volume import NativeVolume
from fastvol.errors import (
    CookieMismatchError,
    InvalidRequestError,
    NeedleNotFoundError,
    StorageError,
    VolumeNotFoundError,
    VolumeReadOnlyError,
)
from fastvol.formats.file_id import FileId, parse_path, parse_volume_id
from fastvol.formats.file_names import DAT, parse_base_name
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.store.directory_lock import DirectoryLock
from fastvol.volume.files import VolumeFiles, storage_errors
from fastvol.volume.inspection import Inspection, inspect_volume
from fastvol.volume.read_only import open_read_only
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.vacuum_files import settle
from fastvol.volume.volume import StoredNeedle
from fastvol.volume.volume import Volume as EngineVolume

Name = str | int | FileId
"""What names a file: ``"7,01637037d6"``, ``"01637037d6"``, a needle id, or a :class:`FileId`."""

_COOKIE_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One stored file.

    ``data`` is the payload as stored, checked; it lies in a mapping of the data file and stays
    valid as long as it is held, also when the volume is closed. ``last_modified`` in seconds,
    ``append_at_ns`` in nanoseconds, both 0 when they are not stored.
    """

    fid: FileId
    data: memoryview
    name: str
    mime: str
    pairs: dict[str, str]
    last_modified: int
    ttl: str
    etag: str
    is_compressed: bool
    is_chunk_manifest: bool
    append_at_ns: int

    @property
    def key(self) -> int:
        """The needle id."""
        return self.fid.key

    @property
    def cookie(self) -> int:
        """What a reader must know beside the key."""
        return self.fid.cookie

    def content(self) -> bytes:
        """A copy of the payload, uncompressed.

        Raises:
            OSError, EOFError, zlib.error: it says that it is gzip, and is not.
        """
        return gzip.decompress(self.data) if self.is_compressed else bytes(self.data)


class Volume:
    """One volume; :meth:`open` or :meth:`create` makes it, ``with`` closes it."""

    def __init__(self, engine: EngineVolume, lock: DirectoryLock | None) -> None:
        self._engine = engine
        self._lock = lock
        self._mapping_lock = threading.Lock()
        self._mapped: tuple[NativeVolume, mmap.mmap] | None = None

    # --- opening and closing ------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        volume_id: int | None = None,
        *,
        collection: str = "",
        index_directory: str | os.PathLike[str] | None = None,
        writable: bool = False,
    ) -> "Volume":
        """Opens a volume.

        Args:
            path: its ``.dat`` file, or with ``volume_id`` the directory of it.
            index_directory: of its index, when that is not beside the data.
            writable: repair its ends where a crash left them apart, and take changes.

        Raises:
            VolumeNotFoundError: there is no such data file.
            VolumeDamagedError: it cannot be opened.
            StorageError: a server has the directory (only when writable).
        """
        files = _files(Path(path), volume_id, collection, index_directory)
        if not files.dat.exists():
            raise VolumeNotFoundError(f"there is no {files.dat}")
        if not writable:
            return cls(EngineVolume(open_read_only(files)), None)
        with _locked(files) as lock, storage_errors(files):
            settle(files)
            engine = EngineVolume.open(
                files.directory,
                files.index_directory,
                files.collection,
                files.volume_id,
                default_offset_width=OFFSET_WIDTH_DEFAULT,
            )
        return cls(engine, lock)

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        volume_id: int,
        *,
        collection: str = "",
        replication: str = "000",
        ttl: str = "",
    ) -> "Volume":
        """Creates an empty volume, open for writing.

        Raises:
            VolumeExistsError, StorageError
            ValueError: ``replication`` or ``ttl`` cannot be understood.
        """
        files = VolumeFiles.of(Path(directory), Path(directory), collection, volume_id)
        placement, lifetime = ReplicaPlacement.parse(replication), TTL.parse(ttl)
        with _locked(files) as lock:
            engine = EngineVolume.create(
                files.directory,
                files.index_directory,
                collection,
                volume_id,
                replica_placement=placement,
                ttl=lifetime,
            )
        return cls(engine, lock)

    def close(self) -> None:
        """Makes changes durable and lets go of the files; payloads that are held stay valid."""
        self._engine.close()
        with self._mapping_lock:
            self._mapped = None
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "Volume":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it is ---------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The volume id."""
        return self._engine.id

    @property
    def collection(self) -> str:
        """The collection, "" for the default one."""
        return self._engine.collection

    @property
    def writable(self) -> bool:
        """Whether it takes writes."""
        return not self._engine.read_only

    @property
    def read_only_reasons(self) -> list[str]:
        """Why it does not, and what else is wrong with it."""
        return [reason.words for reason in self._engine.read_only_reasons]

    @property
    def engine(self) -> EngineVolume:
        """The volume as a server sees it, with its counters and settings."""
        return self._engine

    # --- reading ------------------------------------------------------------------------------

    def read(self, name: Name, cookie: int | None = None) -> StoredFile:
        """Reads a file; its payload is checked against its checksum.

        Args:
            name: see :data:`Name`; a needle id alone is read whatever its cookie.

        Raises:
            NeedleNotFoundError: there is none, it is deleted, or its TTL has passed.
            CookieMismatchError: it has another cookie.
            NeedleCorruptedError: the record is damaged.
            InvalidRequestError: the name is none of this volume.
        """
        key, cookie = self._key(name, cookie)
        stored = self._engine.load(key, meta_above=-1)
        if cookie is not None and stored.needle.cookie != cookie:
            raise CookieMismatchError(
                f"file {FileId(self.id, key, cookie)} has another cookie than that"
            )
        if stored.meta_only:
            self._engine.verify(stored)
        return self._stored_file(stored)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a file, with that cookie."""
        if not isinstance(name, str | int | FileId):
            return False
        try:
            self.read(name)
        except (NeedleNotFoundError, CookieMismatchError):
            return False
        return True

    def keys(self) -> Iterator[int]:
        """Needle ids of all files, ascending; some may have outlived their TTL."""
        return self._engine.native.live_ids()

    def __iter__(self) -> Iterator[StoredFile]:
        """All files by ascending key; raises what :meth:`read` raises at a damaged one."""
        for key in self.keys():
            try:
                yield self.read(key)
            except NeedleNotFoundError:
                continue  # expired, or deleted meanwhile

    def verify(self) -> Inspection:
        """Goes through every byte of both files; ``sound`` and ``problems`` of the answer tell.

        Raises:
            StorageError: a file cannot be read.
        """
        if self._lock is not None:
            self._engine.sync()
        return inspect_volume(self._engine.files)

    # --- changing -----------------------------------------------------------------------------

    def write(
        self,
        name: Name,
        data: bytes | bytearray | memoryview,
        cookie: int | None = None,
        *,
        file_name: str = "",
        mime: str = "",
        pairs: Mapping[str, str] | None = None,
        last_modified: int | None = None,
        ttl: str = "",
        compressed: bool = False,
        sync: bool = False,
    ) -> FileId:
        """Writes a file under a name, over the one that has it.

        Args:
            data: stored as it is; an empty one loses every other field, as upstream.
            last_modified: in seconds; now unless given.
            compressed: ``data`` is gzip; readers are told so.
            sync: return only when it is on the disk.

        Raises:
            CookieMismatchError: the file that has the name has another cookie.
            VolumeReadOnlyError, StorageError
            InvalidRequestError: the name is none of this volume.
            ValueError: ``ttl`` cannot be understood.
        """
        self._must_be_writable()
        key, cookie = self._key(name, cookie)
        needle = Needle(key, cookie or 0, data, checksum=crc32c(data), ttl=TTL.parse(ttl))
        needle.flags = Needle.HAS_LAST_MODIFIED
        needle.last_modified = int(time.time()) if last_modified is None else last_modified
        needle.name = file_name.encode("utf-8", "surrogateescape")
        needle.mime = mime.encode("utf-8", "surrogateescape")
        needle.pairs = _pairs_text(pairs) if pairs else b""
        for present, flag in (
            (needle.name, Needle.HAS_NAME),
            (needle.mime, Needle.HAS_MIME),
            (needle.pairs, Needle.HAS_PAIRS),
            (needle.ttl.minutes, Needle.HAS_TTL),
            (compressed, Needle.IS_COMPRESSED),
        ):
            needle.flags |= flag if present else 0
        self._engine.write(needle)
        if sync:
            self._engine.commit()
        return FileId(self.id, key, cookie or 0)

    def add(
        self,
        data: bytes | bytearray | memoryview,
        *,
        file_name: str = "",
        mime: str = "",
        sync: bool = False,
    ) -> FileId:
        """Writes a file under a new name: the next key, with a cookie that nobody can guess.

        For one thread at a time; keys of a cluster are the master's to give.

        Raises:
            as :meth:`write`.
        """
        key = self._engine.counters.max_file_key + 1
        cookie = secrets.randbits(_COOKIE_BITS)
        return self.write(key, data, cookie, file_name=file_name, mime=mime, sync=sync)

    def delete(self, name: Name, cookie: int | None = None, *, sync: bool = False) -> bool:
        """Deletes a file; whether there was one.

        Raises:
            CookieMismatchError, VolumeReadOnlyError, StorageError, InvalidRequestError
        """
        self._must_be_writable()
        try:
            stored = self.read(name, cookie)
        except NeedleNotFoundError:
            return False
        deleted = self._engine.delete(stored.key, stored.cookie, int(stored.etag, 16))
        if sync:
            self._engine.commit()
        return deleted > 0 or not len(stored.data)

    def sync(self) -> None:
        """Makes every change so far durable.

        Raises:
            DiskIOError
        """
        self._engine.commit()

    def compact(self) -> None:
        """Drops everything that is deleted or overwritten; payloads that are held stay valid.

        Raises:
            VolumeReadOnlyError, StorageError: the volume is as it was.
        """
        self._must_be_writable()
        self._engine.compact(VacuumPlan())
        self._engine.commit_compaction()

    # --- details ------------------------------------------------------------------------------

    def _must_be_writable(self) -> None:
        if self._lock is None:
            raise VolumeReadOnlyError(f"volume {self.id} was opened for reading only")

    def _key(self, name: Name, cookie: int | None) -> tuple[int, int | None]:
        if isinstance(name, int):
            return name, cookie
        try:
            if isinstance(name, str):
                volume_text, comma, rest = name.rpartition(",")
                key, own_cookie = parse_path(rest)
                volume_id = parse_volume_id(volume_text) if comma else self.id
                name = FileId(volume_id, key, own_cookie)
        except ValueError as error:
            raise InvalidRequestError(f"{name!r} is no file id: {error}") from error
        if name.volume_id != self.id:
            raise InvalidRequestError(f"{name} is not a file of volume {self.id}")
        if cookie is not None and cookie != name.cookie:
            raise InvalidRequestError(f"{name} comes with another cookie: {cookie:08x}")
        return name.key, name.cookie

    def _stored_file(self, stored: StoredNeedle) -> StoredFile:
        needle = stored.needle
        data = memoryview(needle.data)
        if stored.meta_only:
            data = self._payload(stored)
        return StoredFile(
            fid=FileId(self.id, needle.id, needle.cookie),
            data=data,
            name=needle.name.decode("utf-8", "surrogateescape"),
            mime=needle.mime.decode("utf-8", "surrogateescape"),
            pairs=_pairs(needle.pairs),
            last_modified=needle.last_modified,
            ttl=str(needle.ttl),
            etag=needle.etag,
            is_compressed=needle.is_compressed,
            is_chunk_manifest=needle.is_chunk_manifest,
            append_at_ns=needle.append_at_ns,
        )

    def _payload(self, stored: StoredNeedle) -> memoryview:
        end = stored.data_offset + stored.data_size
        with self._mapping_lock:
            owner, mapping = self._mapped or (None, None)
            if mapping is None or owner is not stored.native or len(mapping) < end:
                mapping = _map(stored.native)
                self._mapped = stored.native, mapping
        if len(mapping) < end:
            raise StorageError(f"volume {self.id}: the data file was cut short meanwhile")
        return memoryview(mapping)[stored.data_offset : end]


def _map(native: NativeVolume) -> mmap.mmap:
    try:
        return mmap.mmap(native.dat_fd(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise StorageError(f"the data file cannot be mapped: {error}") from error


def _pairs_text(pairs: Mapping[str, str]) -> bytes:
    """As an upload stores them."""
    return json.dumps(dict(pairs), sort_keys=True, separators=(",", ":")).encode()


def _pairs(stored: bytes) -> dict[str, str]:
    """The header pairs; what is no JSON object of strings gives none."""
    try:
        pairs = json.loads(stored) if stored else {}
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in pairs.items()} if isinstance(pairs, dict) else {}


@contextmanager
def _locked(files: VolumeFiles) -> Iterator[DirectoryLock]:
    """Locks the directory for longer than ``with``, unless that fails."""
    lock = DirectoryLock(files.directory)
    lock.acquire()
    try:
        yield lock
    except BaseException:
        lock.release()
        raise


def _files(
    path: Path,
    volume_id: int | None,
    collection: str,
    index_directory: str | os.PathLike[str] | None,
) -> VolumeFiles:
    directory = path
    if volume_id is None:
        if path.suffix != DAT:
            raise VolumeNotFoundError(f"{path} is no .dat file; open(directory, id) takes others")
        try:
            collection, volume_id = parse_base_name(path.stem)
        except ValueError as error:
            raise VolumeNotFoundError(f"{path} is not named like a volume: {error}") from error
        directory = path.parent
    indexes = directory if index_directory is None else Path(index_directory)
    return VolumeFiles.of(directory, indexes, collection, volume_id)
