"""Reading, writing and deleting in a live volume, whichever files it has at the moment.

Reads take no lock; writes and deletes are serialised inside the C volume. Its files may be replaced
at any time (a vacuum, a mark taken away): readers hold on to the C volume that they began with, and
whoever finds theirs sealed, or its map closed, goes on with the new one.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.needle_map import MapEntry
from fastvol._cffi.volume import NativeVolume
from fastvol.errors import DiskIOError, NeedleNotFoundError, StorageError, VolumeClosedError
from fastvol.formats.file_range import FileEndsError, read_exactly
from fastvol.formats.needle import Needle
from fastvol.remote.tier import RemoteData
from fastvol.volume.facts import VolumeFacts, remote_of
from fastvol.volume.group_commit import GroupCommit
from fastvol.volume.needles import (
    ColdReadError,
    StoredNeedle,
    WriteResult,
    append_error,
    append_needle,
    find_needle,
    load_needle,
    verify_payload,
)
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.tiered_needles import load_tiered_needle, verify_tiered_payload
from fastvol.volume.tiered_opening import read_super_block

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class NeedleAccess(VolumeFacts):
    """The part of a volume that clients use; any thread may call any of it at any time."""

    __slots__ = ("_group_commit", "_must_reopen", "_sync_failure", "_sync_lock")

    def __init__(self, opened: OpenedVolume) -> None:
        super().__init__(opened)
        self._must_reopen = self._gate.no_write_or_delete
        """Before it takes changes, its files must be opened anew."""
        self._sync_lock = threading.Lock()
        self._sync_failure = ""
        self._group_commit: GroupCommit | None = None
        """Made by the first commit: most volumes never see one."""

    def forbid_changes(self, words: str) -> None:
        """Makes the volume read-only in memory because something went wrong with its files.

        They are opened anew, and so checked, before it takes changes again.
        """
        self._must_reopen = True
        self._gate.damage(words)
        log.error("volume %d is read-only now: %s", self.id, words)

    def require_available(self) -> None:
        """Raises DiskIOError when a failed rollback left the volume unusable."""
        if self.unavailable:
            raise DiskIOError(self._unavailable_text())

    def _unavailable_text(self) -> str:
        detail = f": {self.unavailable_reason}" if self.unavailable_reason else ""
        return f"volume {self.id} is unavailable{detail}: volume unavailable"

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
            read_deleted: a deleted needle is read if its size is still known; never in a tiered
                volume.
            meta_above: payloads of bodies larger than this many bytes are left out.
            nowait: do not wait for the disk.

        Raises:
            NeedleNotFoundError: also when its TTL has passed; NeedleDeletedError.
            NeedleCorruptedError, DiskIOError
            ColdReadError: only with ``nowait``.
        """
        self.require_available()

        def look(current: NativeVolume) -> StoredNeedle:
            remote = remote_of(current)
            if remote is not None:
                stored = load_tiered_needle(
                    current, self._names, remote, key, meta_above=meta_above, nowait=nowait
                )
                if not self._super_block_known:
                    self._learn_super_block(remote)
                return stored
            return load_needle(
                current,
                self._names,
                key,
                read_deleted=read_deleted,
                meta_above=meta_above,
                nowait=nowait,
            )

        return self._look(look)

    def _learn_super_block(self, remote: RemoteData) -> None:
        """The store did not answer when the volume was opened, and does now."""
        try:
            found = read_super_block(self._files, self.info, remote)
        except (StorageError, ValueError):
            return
        if found.version == self.super_block.version:
            self.super_block = found
            self._super_block_known = True

    def entry(self, key: int) -> MapEntry | None:
        """What the needle map has of a needle, deleted ones included.

        Raises:
            NeedleNotFoundError: the volume is closed.
            DiskIOError
        """
        return self._look(lambda current: find_needle(current, self._names, key))

    def _with_current(self, act: Callable[[NativeVolume], _Result]) -> _Result:
        """Acts on the C volume; again if that was replaced meanwhile.  :exc:`VolumeClosedError`."""
        while True:
            current = self.native
            try:
                return act(current)
            except VolumeClosedError:
                if self._native is current:
                    raise

    def _look(self, look: Callable[[NativeVolume], _Result]) -> _Result:
        """As :meth:`_with_current`, for readers: a closed volume has no needles."""
        try:
            return self._with_current(look)
        except VolumeClosedError:
            raise NeedleNotFoundError("not found") from None

    def read(self, key: int, *, read_deleted: bool = False) -> Needle:
        """Reads a whole needle; see :meth:`load` for what it raises."""
        return self.load(key, read_deleted=read_deleted).needle

    def verify(self, stored: StoredNeedle, *, nowait: bool = False) -> None:
        """Checks the payload of a needle that was read without it; sets its raw checksum.

        Raises:
            NeedleCorruptedError, DiskIOError; ColdReadError only with ``nowait``.
        """
        if stored.remote is None:
            verify_payload(self._names, stored, nowait=nowait)
        elif nowait:
            raise ColdReadError(f"volume {self.id} is in an object store")
        else:
            verify_tiered_payload(stored)

    def read_data(self, offset: int, length: int) -> bytes:
        """Bytes of the data file, fewer where it ends; may wait.

        Raises:
            OSError, OverflowError
            StorageError: the volume is closed, or the object store fails.
        """
        native = self.native  # a reference of our own: its descriptor stays open
        remote = remote_of(native)
        if remote is not None:
            return remote.read(offset, length)
        try:
            return read_exactly(native.dat_fd(), length, offset)
        except FileEndsError as error:
            return os.pread(native.dat_fd(), max(0, error.position - offset), offset)

    def write(
        self, needle: Needle, *, check_cookie: bool = True, nowait: bool = False
    ) -> WriteResult:
        """Appends a needle (weed/storage/volume_write.go: doWriteRequest).

        Its ``checksum`` must be that of its data; TTL inheritance is done here.

        Raises:
            VolumeReadOnlyError, CookieMismatchError, OffsetOverflowError, DiskIOError
            StorageError: a field does not fit a record.
            BusyVolumeError, ColdReadError: only with ``nowait``; try again in a thread.
        """

        def append(current: NativeVolume) -> WriteResult:
            try:
                return append_needle(
                    current, needle, self.ttl, check_cookie=check_cookie, nowait=nowait
                )
            except NativeFaultError as fault:
                raise self._append_error(fault, needle.id, needle.cookie) from None

        return self._with_current(append)

    def append_record(self, key: int, record: bytes | memoryview) -> WriteResult:
        """Appends a whole record as it is, under an id (weed/storage/volume_write.go: WriteNeedleBlob).

        Its append time becomes that of now, and the id in it is ``key``: upstream leaves the one that
        was there, so that a damaged index row and a record under two ids look alike.  Nothing is
        written when the needle has the same content already.

        Raises:
            as :meth:`write`; the payload is not checked.
        """

        def append(current: NativeVolume) -> WriteResult:
            try:
                done = current.append_record(key, record)
            except NativeFaultError as fault:
                raise self._append_error(fault, key, 0) from None
            return WriteResult(done.offset, done.size, done.unchanged)

        return self._with_current(append)

    def delete(
        self,
        key: int,
        cookie: int,
        checksum: int,
        *,
        always: bool = False,
        nowait: bool = False,
    ) -> int:
        """Appends a tombstone; returns the body size of what was deleted, 0 if nothing was.

        Args:
            key: needle id.
            cookie: the tombstone's; not compared with anything here.
            checksum: of the deleted data, 0 when it was not read.
            always: even when there is nothing to delete; a volume that takes only deletions
                refuses it.

        Raises:
            as :meth:`write`.
        """

        def append(current: NativeVolume) -> int:
            try:
                return current.delete(key, cookie, checksum, always=always, nowait=nowait).size
            except NativeFaultError as fault:
                raise self._append_error(fault, key, cookie) from None

        return self._with_current(append)

    def _append_error(self, fault: NativeFaultError, key: int, cookie: int) -> StorageError:
        error = append_error(fault, self._names, needle_id=key, cookie=cookie)
        if fault.rollback_failed and not self._must_reopen:
            self.forbid_changes(f"a failed append could not be undone: {error}")
        return error

    def commit(self) -> None:
        """Makes everything appended before this call durable, sharing the sync with other writers.

        Raises:
            DiskIOError
        """
        (self._group_commit or self._first_group_commit()).wait()

    def _first_group_commit(self) -> GroupCommit:
        with self._sync_lock:
            if self._group_commit is None:
                self._group_commit = GroupCommit(self.sync)
            return self._group_commit

    def sync(self) -> None:
        """Makes every acknowledged change durable: data first, then index.

        After a failure the kernel may have dropped what it could not write, and it tells so only
        once. So the volume becomes read-only, and every later call fails as well, until the files
        are opened anew.

        Raises:
            DiskIOError
        """
        with self._sync_lock:
            if self._sync_failure:
                raise DiskIOError(self._sync_failure)
            try:
                self.native.sync()
            except NativeFaultError as fault:
                path = self._names.files.idx if fault.on_index else self._names.files.dat
                self._sync_failure = f"sync {path}: {fault.os_text}"
                self.forbid_changes(self._sync_failure)
                raise DiskIOError(self._sync_failure) from None
