"""One volume: its state, and reading, writing and deleting needles.

Locking: reads take no lock. Writes and deletes are serialised inside the C volume. The flags that
say what is allowed, and closing, are under ``_state_lock``, which is never held during I/O on
needles. Closing gives up this object's reference; a response that is still being sent keeps the files
open until it is done.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastvol._cffi import volume as native
from fastvol._cffi.volume import NativeFaultError, NativeNeedle, NativeVolume, VolumeStat
from fastvol.errors import (
    DiskIOError,
    NeedleDeletedError,
    NeedleNotFoundError,
    StorageError,
    VolumeClosedError,
    VolumeReadOnlyError,
)
from fastvol.formats import volume_info
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.volume.faults import read_error, write_error
from fastvol.volume.files import DATA_SIDE, INDEX_SIDE, VolumeFiles
from fastvol.volume.group_commit import GroupCommit
from fastvol.volume.opening import OpenedVolume, create_volume, open_volume
from fastvol.volume.reasons import DISK_LOW, MARKED, ReadOnlyReason

log = logging.getLogger(__name__)

_SUPER_BLOCK_BYTES: Final = 8
_NS_PER_MINUTE: Final = 60 * 1_000_000_000
_GRACE_MINUTES_MAX: Final = 10


class ColdReadError(StorageError):
    """The needle is not in the page cache and the caller asked not to wait for the disk."""


class BusyVolumeError(StorageError):
    """Another writer is at work and the caller asked not to wait for it."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Where a needle went: record offset and body size in bytes; unchanged means nothing was written."""

    offset: int
    size: int
    unchanged: bool


@dataclass(frozen=True, slots=True)
class NeedleCounters:
    """The needle map's running totals; sizes sum body sizes in bytes."""

    file_count: int
    deleted_count: int
    content_size: int
    deleted_size: int
    max_file_key: int


@dataclass(slots=True)
class StoredNeedle:
    """A needle as read, and where its payload lies in the data file.

    When ``meta_only`` the needle's data is empty and ``data_size`` bytes at ``data_offset`` are it.
    """

    needle: Needle
    data_offset: int
    data_size: int
    meta_only: bool


class Volume:
    """A live volume; see the module's theory for threads."""

    def __init__(self, opened: OpenedVolume) -> None:
        self._files = opened.files
        self._native: NativeVolume | None = opened.native
        self._state_lock = threading.RLock()
        self._last_stat: VolumeStat = opened.native.stat()
        self.id = opened.files.volume_id
        self.collection = opened.files.collection
        self.info = opened.info
        self.super_block = opened.super_block
        self.offset_width = opened.offset_width
        self.disk_id = 0
        self.disk_type = ""
        self.compacting = False
        self.quarantined = False
        self.unavailable_reason: str | None = opened.unavailable
        self._no_write_or_delete = opened.no_write_or_delete or opened.unavailable is not None
        self._no_write_can_delete = opened.no_write_can_delete
        self._opened_read_only = opened.no_write_or_delete
        self._disk_space_low = False
        self._reasons = list(opened.reasons)
        if opened.unavailable is not None:
            self._reasons.append(ReadOnlyReason(f"unavailable: {opened.unavailable}"))
        self._group_commit = GroupCommit(self.sync)
        self._apply_flags()

    # --- making one ---------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        directory: Path,
        index_directory: Path,
        collection: str,
        volume_id: int,
        *,
        default_offset_width: int,
    ) -> "Volume":
        """Opens an existing volume.

        Raises:
            VolumeDamagedError: it cannot be served; its files are as they were.
        """
        return cls(
            open_volume(
                directory,
                index_directory,
                collection,
                volume_id,
                default_offset_width=default_offset_width,
            )
        )

    @classmethod
    def create(
        cls,
        directory: Path,
        index_directory: Path,
        collection: str,
        volume_id: int,
        *,
        replica_placement: ReplicaPlacement,
        ttl: TTL,
        version: int = 3,
        offset_width: int = 5,
        preallocate: int = 0,
    ) -> "Volume":
        """Creates an empty volume; a failure leaves nothing behind.

        Raises:
            StorageError
        """
        return cls(
            create_volume(
                directory,
                index_directory,
                collection,
                volume_id,
                replica_placement=replica_placement,
                ttl=ttl,
                version=version,
                offset_width=offset_width,
                preallocate=preallocate,
            )
        )

    # --- what it is ---------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Where the data file is."""
        return self._files.directory

    @property
    def index_directory(self) -> Path:
        """Where the index is."""
        return self._files.index_directory

    @property
    def files(self) -> VolumeFiles:
        """All file names."""
        return self._files

    @property
    def version(self) -> int:
        """Needle version, 1 to 3; the super block's."""
        return self.super_block.version

    @property
    def ttl(self) -> TTL:
        """The TTL that needles without one inherit."""
        return self.super_block.ttl

    @property
    def native(self) -> NativeVolume:
        """The C volume, for the fast read's table.

        Raises:
            VolumeClosedError
        """
        current = self._native
        if current is None:
            raise VolumeClosedError(f"volume {self.id} is closed")
        return current

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._native is None

    def stat(self) -> VolumeStat:
        """Counters and sizes now, or as they were when the volume was closed."""
        current = self._native
        if current is not None:
            self._last_stat = current.stat()
        return self._last_stat

    @property
    def dat_size(self) -> int:
        """Size of the data file in bytes as this server knows it."""
        return self.stat().dat_size

    @property
    def idx_size(self) -> int:
        """Size of the index log in bytes."""
        return self.stat().idx_size

    @property
    def modified_at_second(self) -> int:
        """Modification time of the data file at open, then of the last append."""
        return self.stat().modified_second

    @property
    def last_append_at_ns(self) -> int:
        """AppendAtNs of the last record."""
        return self.stat().last_append_ns

    @property
    def last_modified_second(self) -> int:
        """What TTL expiry counts from: the newest write's time."""
        stat = self.stat()
        base = stat.modified_second
        if self.ttl.minutes and stat.last_append_ns:
            base = stat.last_append_ns // 1_000_000_000
        return max(base, stat.last_modified_second)

    @property
    def counters(self) -> NeedleCounters:
        """The needle map's totals now."""
        stat = self.stat()
        return NeedleCounters(
            file_count=stat.file_count,
            deleted_count=stat.deleted_count,
            content_size=stat.content_size,
            deleted_size=stat.deleted_size,
            max_file_key=stat.max_file_key,
        )

    @property
    def remote_storage(self) -> tuple[str, str]:
        """(backend name, object key) of a tiered volume; empty for a local one."""
        if not self.info.files:
            return "", ""
        first = self.info.files[0]
        return f"{first.backend_type}.{first.backend_id}", first.key

    def garbage_ratio(self) -> float:
        """Share of garbage by which the master decides to vacuum (volume_vacuum.go: garbageLevel)."""
        stat = self.stat()
        if stat.content_size == 0:
            return 0.0
        if stat.deleted_count > 0 and stat.deleted_size == 0 and stat.dat_size > 0:
            live = stat.content_size + _SUPER_BLOCK_BYTES
            return (stat.dat_size - live) / stat.dat_size
        return stat.deleted_size / stat.content_size

    def is_empty(self) -> bool:
        """Never written: only a super block, and nothing counted."""
        stat = self.stat()
        return stat.dat_size <= _SUPER_BLOCK_BYTES and stat.content_size == 0

    def is_garbage_only(self) -> bool:
        """Everything that was written is deleted; live empty files keep a volume."""
        stat = self.stat()
        if stat.content_size == 0 or stat.deleted_size < stat.content_size:
            return False
        return not self._has_live_empty_file()

    def _has_live_empty_file(self) -> bool:
        return self.native.has_live_empty_file()

    # --- TTL of the whole volume --------------------------------------------------------------

    def expired(self, size_limit: int, now: float) -> bool:
        """Whether the volume's TTL has passed (weed/storage/volume.go: expired)."""
        if size_limit == 0 or self.dat_size <= _SUPER_BLOCK_BYTES or self.ttl.minutes == 0:
            return False
        return self.ttl.minutes < (int(now) - self.last_modified_second) // 60

    def expired_long_enough(self, now: float) -> bool:
        """Whether it passed so long ago that the files may go (expiredLongEnough)."""
        minutes = self.ttl.minutes
        if minutes == 0:
            return False
        grace = min(minutes // 10, _GRACE_MINUTES_MAX)
        return int(now) > self.last_modified_second + (minutes + grace) * 60

    # --- read-only state ----------------------------------------------------------------------

    @property
    def unavailable(self) -> bool:
        """A failed rollback left it unusable (marker file)."""
        return self.unavailable_reason is not None

    @property
    def no_write_or_delete(self) -> bool:
        """Takes no change at all."""
        return self._no_write_or_delete

    @property
    def no_write_can_delete(self) -> bool:
        """Takes deletes only."""
        return self._no_write_can_delete

    @property
    def disk_space_low(self) -> bool:
        """Its disk is too full for writes; deletes still work."""
        return self._disk_space_low

    @disk_space_low.setter
    def disk_space_low(self, low: bool) -> None:
        with self._state_lock:
            self._disk_space_low = low
            self._apply_flags()

    @property
    def read_only(self) -> bool:
        """Takes no writes, for whatever reason."""
        return self._no_write_or_delete or self._no_write_can_delete or self._disk_space_low

    @property
    def read_only_can_delete(self) -> bool:
        """Read-only by a mark that leaves deletes allowed."""
        return self._no_write_can_delete and not self._no_write_or_delete

    @property
    def read_only_reasons(self) -> list[ReadOnlyReason]:
        """All causes at this moment."""
        with self._state_lock:
            reasons = list(self._reasons)
            if self._disk_space_low:
                reasons.append(ReadOnlyReason(DISK_LOW))
            return reasons

    def _apply_flags(self) -> None:
        current = self._native
        if current is None:
            return
        flags = 0
        if self.read_only:
            flags |= native.NO_WRITE
        if self._no_write_or_delete:
            flags |= native.NO_DELETE
        if self.unavailable:
            flags |= native.NO_FAST_READ
        if self.super_block.replica_placement.copy_count > 1:
            flags |= native.REPLICATED
        current.set_flags(flags)

    def forbid_changes(self, words: str) -> None:
        """Makes the volume read-only in memory because something went wrong."""
        with self._state_lock:
            self._no_write_or_delete = True
            self._reasons.append(ReadOnlyReason(words))
            self._apply_flags()
        log.error("volume %d is read-only now: %s", self.id, words)

    def mark_read_only(self, *, can_delete: bool, persist: bool) -> None:
        """An operator's mark (weed/storage/store.go: MarkVolumeReadonly).

        Raises:
            StorageError: the mark could not be persisted.
        """
        with self._state_lock:
            self._no_write_or_delete = not can_delete
            self._no_write_can_delete = can_delete
            self._reasons = [ReadOnlyReason(MARKED)]
            self._apply_flags()
            if persist:
                self._persist_mark(read_only=True, can_delete=can_delete, doing="read-only")

    def mark_writable(self) -> bool:
        """Takes the marks away, on disk too (MarkVolumeWritable).

        A volume that was opened read-only is opened anew, so that what its open left undone (a torn
        tail, an index without write access) is made good before the first write.

        Returns:
            Whether :attr:`native` is another object now.

        Raises:
            StorageError: the volume is unavailable, damaged, or its files are not writable; or the mark
                could not be persisted.
        """
        with self._state_lock:
            if self.unavailable:
                raise StorageError(
                    f"volume {self.id} cannot be marked writable: {self._unavailable_text()}"
                )
            self._persist_mark(read_only=False, can_delete=False, doing="writable")
            replaced = self._opened_read_only and self._open_again()
            self._no_write_or_delete = False
            self._no_write_can_delete = False
            self.quarantined = False
            self._reasons = []
            self._apply_flags()
            return replaced

    def _open_again(self) -> bool:
        opened = open_volume(
            self.directory,
            self.index_directory,
            self.collection,
            self.id,
            default_offset_width=self.offset_width,
        )
        if opened.no_write_or_delete:
            opened.native.release()
            words = "; ".join(reason.words for reason in opened.reasons)
            raise VolumeReadOnlyError(f"volume {self.id} cannot be marked writable: {words}")
        previous, self._native = self.native, opened.native
        self.super_block = opened.super_block
        self._opened_read_only = False
        previous.release()
        return True

    def _persist_mark(self, *, read_only: bool, can_delete: bool, doing: str) -> None:
        self.info.read_only = read_only
        self.info.read_only_can_delete = can_delete
        if self.ttl.seconds:
            self.info.expire_at_sec = int(time.time()) + self.ttl.seconds
        try:
            volume_info.save(self._files.data(".vif"), self.info)
        except OSError as error:
            raise StorageError(f"volume {self.id} persist {doing}: {error}") from error

    # --- needles ------------------------------------------------------------------------------

    def _unavailable_text(self) -> str:
        detail = f": {self.unavailable_reason}" if self.unavailable_reason else ""
        return f"volume {self.id} is unavailable{detail}: volume unavailable"

    def _check_available(self) -> None:
        if self.unavailable:
            raise DiskIOError(self._unavailable_text())

    def load(
        self,
        key: int,
        *,
        read_deleted: bool = False,
        meta_above: int | None = None,
        nowait: bool = False,
    ) -> StoredNeedle:
        """Reads a needle, its payload checked unless left out.

        Args:
            key: needle id.
            read_deleted: a deleted needle is read if its size is still known.
            meta_above: payloads of bodies larger than this many bytes are left out.
            nowait: do not wait for the disk.

        Raises:
            NeedleNotFoundError: also when its TTL has passed; NeedleDeletedError.
            NeedleCorruptedError, DiskIOError
            ColdReadError: only with ``nowait``.
        """
        self._check_available()
        current = self._native
        if current is None:
            raise NeedleNotFoundError("not found")
        entry = current.entry(key)
        if entry is None:
            raise NeedleNotFoundError("not found")
        size = abs(entry[1])
        meta = meta_above is not None and size > meta_above
        try:
            found = current.read(key, deleted=read_deleted, meta=meta, nowait=nowait)
        except NativeFaultError as fault:
            if fault.code == native.COLD:
                raise ColdReadError(f"needle {key:x} of volume {self.id} is not cached") from None
            raise read_error(
                fault,
                volume_id=self.id,
                needle_id=key,
                want_size=size,
                path=str(self._files.data(".dat")),
            ) from None
        stored = _stored_needle(found)
        if _is_expired(stored.needle):
            raise NeedleNotFoundError("not found")
        return stored

    def read(self, key: int, *, read_deleted: bool = False) -> Needle:
        """Reads a whole needle; see :meth:`load` for what it raises."""
        return self.load(key, read_deleted=read_deleted).needle

    def verify(self, stored: StoredNeedle, *, nowait: bool = False) -> None:
        """Checks the payload of a needle that was read without it; sets its raw checksum.

        Raises:
            NeedleCorruptedError, DiskIOError; ColdReadError only with ``nowait``.
        """
        try:
            computed = self.native.verify(
                stored.data_offset, stored.data_size, stored.needle.checksum, nowait=nowait
            )
        except NativeFaultError as fault:
            if fault.code == native.COLD:
                raise ColdReadError(f"a payload of volume {self.id} is not cached") from None
            raise read_error(
                fault,
                volume_id=self.id,
                needle_id=stored.needle.id,
                want_size=stored.needle.size,
                path=str(self._files.data(".dat")),
            ) from None
        stored.needle.checksum = computed

    def write(
        self, needle: Needle, *, check_cookie: bool = True, nowait: bool = False
    ) -> WriteResult:
        """Appends a needle (weed/storage/volume_write.go: doWriteRequest).

        Its ``checksum`` must be that of its data; TTL inheritance is done here.

        Raises:
            VolumeReadOnlyError, CookieMismatchError, OffsetOverflowError, DiskIOError
            BusyVolumeError, ColdReadError: only with ``nowait``; try again in a thread.
        """
        current = self.native
        ttl, flags = needle.ttl, needle.flags
        if ttl.count == 0 and (self.ttl.count or self.ttl.unit):
            ttl = self.ttl
            flags |= Needle.HAS_TTL
        try:
            done = current.write(
                needle_id=needle.id,
                cookie=needle.cookie,
                data=needle.data,
                checksum=needle.checksum,
                flags=flags,
                name=needle.name,
                mime=needle.mime,
                pairs=needle.pairs,
                last_modified=needle.last_modified,
                ttl=ttl.to_bytes(),
                check_cookie=check_cookie,
                nowait=nowait,
            )
        except NativeFaultError as fault:
            raise self._write_error(fault, needle.id, needle.cookie) from None
        return WriteResult(done.offset, done.size, done.unchanged)

    def delete(self, key: int, cookie: int, checksum: int, *, nowait: bool = False) -> int:
        """Appends a tombstone; returns the body size of what was deleted, 0 if nothing was.

        Args:
            key: needle id.
            cookie: the tombstone's; not compared with anything here.
            checksum: of the deleted data, 0 when it was not read.

        Raises:
            as :meth:`write`.
        """
        try:
            return self.native.delete(key, cookie, checksum, nowait=nowait).size
        except NativeFaultError as fault:
            raise self._write_error(fault, key, cookie) from None

    def _write_error(self, fault: NativeFaultError, key: int, cookie: int) -> StorageError:
        if fault.code == native.BUSY:
            return BusyVolumeError(f"volume {self.id} has a writer")
        if fault.code == native.COLD:
            return ColdReadError(f"needle {key:x} of volume {self.id} is not cached")
        return write_error(
            fault,
            volume_id=self.id,
            needle_id=key,
            cookie=cookie,
            dat_path=str(self._files.data(".dat")),
            idx_path=str(self._files.index(".idx")),
        )

    def commit(self) -> None:
        """Makes everything appended before this call durable, sharing the sync with other writers.

        Raises:
            DiskIOError
        """
        self._group_commit.wait()

    def sync(self) -> None:
        """Makes every acknowledged change durable: data first, then index.

        After a failure the kernel may have dropped what it could not write, so nothing more is
        written to the volume: it becomes read-only.

        Raises:
            DiskIOError
        """
        try:
            self.native.sync()
        except NativeFaultError as fault:
            path = self._files.index(".idx") if fault.on_index else self._files.data(".dat")
            text = f"sync {path}: {fault.os_text}"
            self.forbid_changes(text)
            raise DiskIOError(text) from None

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Syncs and lets go of the files; responses under way are finished."""
        with self._state_lock:
            current = self._native
            if current is None:
                return
            self._last_stat = current.stat()
            try:
                current.sync()
            except NativeFaultError as fault:
                log.error("volume %d: sync at close failed: %s", self.id, fault.os_text)
            self._native = None
            current.release()

    def destroy(self, *, keep_vif: bool = False) -> None:
        """Closes the volume and removes its files (weed/storage/volume_write.go: removeVolumeFiles).

        Raises:
            StorageError: a vacuum is running.
        """
        if self.compacting:
            raise StorageError(f"volume {self.id} is compacting")
        self.close()
        remove_volume_files(self._files, keep_vif=keep_vif)


def _stored_needle(found: NativeNeedle) -> StoredNeedle:
    needle = Needle(
        id=found.id,
        cookie=found.cookie,
        data=found.data,
        flags=found.flags,
        name=found.name,
        mime=found.mime,
        pairs=found.pairs,
        last_modified=found.last_modified,
        ttl=TTL.from_bytes(found.ttl),
        checksum=found.checksum,
        append_at_ns=found.append_at_ns,
        size=found.size,
    )
    return StoredNeedle(needle, found.data_offset, found.data_size, found.meta_only)


def _is_expired(needle: Needle) -> bool:
    """The base is the append time, and only needles with a last-modified time expire."""
    if not (needle.has_ttl and needle.has_last_modified and needle.ttl.minutes):
        return False
    return time.time_ns() >= needle.append_at_ns + needle.ttl.minutes * _NS_PER_MINUTE


def remove_volume_files(files: VolumeFiles, *, keep_vif: bool) -> None:
    """Removes a volume's files in both directories; failures are logged and do not stop it."""
    import shutil

    for extension in (*DATA_SIDE, *INDEX_SIDE):
        if extension == ".vif" and keep_vif:
            continue
        for path in {files.data(extension), files.index(extension)}:
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove %s: %s", path, error)


__all__ = [
    "BusyVolumeError",
    "ColdReadError",
    "NeedleCounters",
    "NeedleDeletedError",
    "StoredNeedle",
    "Volume",
    "WriteResult",
    "remove_volume_files",
]
