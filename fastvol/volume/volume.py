"""One volume: its state, and reading, writing and deleting needles.

Locking: reads take no lock. Writes and deletes are serialised inside the C volume. What changes
the volume as a whole (marks, closing, opening its files anew) is under ``_admin_lock``, which may
be held during I/O; the read-only state has its own lock (``write_gate``). Closing waits for the
append under way, refuses later ones and gives up this object's reference; a response that is still
being sent keeps the files open until it is done.

A vacuum's commit replaces the files of a volume in use (see ``vacuum``): readers hold on to the C
volume that they began with, and writers that find theirs sealed go on with the new one.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from fastvol._cffi import fault as native_fault
from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.needle_map import MapEntry
from fastvol._cffi.volume import NativeVolume, NativeWrite, VolumeStat
from fastvol.errors import (
    DiskIOError,
    NeedleNotFoundError,
    StorageError,
    VolumeClosedError,
    VolumeReadOnlyError,
)
from fastvol.formats import volume_info
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.volume.background import in_background
from fastvol.volume.creation import check_version, create_volume
from fastvol.volume.facts import VolumeFacts
from fastvol.volume.figures import NeedleCounters
from fastvol.volume.files import VolumeFiles, remove_volume_files
from fastvol.volume.group_commit import GroupCommit
from fastvol.volume.needles import (
    BusyVolumeError,
    StoredNeedle,
    WouldWaitError,
    WriteResult,
    append_error,
    append_needle,
    find_needle,
    load_needle,
    verify_payload,
)
from fastvol.volume.opening import OpenedVolume, open_volume
from fastvol.volume.vacuum import Vacuum, VacuumPlan, VacuumReport, check_room, finish
from fastvol.volume.vacuum_files import remove_built

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

__all__ = [
    "BusyVolumeError",
    "NeedleCounters",
    "StoredNeedle",
    "Volume",
    "WouldWaitError",
    "WriteResult",
    "remove_volume_files",
]


class Volume(VolumeFacts):
    """A live volume; see the module's theory for threads."""

    def __init__(self, opened: OpenedVolume) -> None:
        super().__init__(opened)
        self._admin_lock = threading.RLock()
        self._must_reopen = self._gate.no_write_or_delete
        """Before it takes changes, its files must be opened anew."""
        self._sync_lock = threading.Lock()
        self._sync_failure = ""
        self._group_commit = GroupCommit(self.sync)
        self._vacuum_lock = threading.Lock()
        """Guards ``compacting``; whoever set it owns what follows."""
        self._vacuum: Vacuum | None = None
        """Built, and not committed yet."""
        self._swap_unfinished = False

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
        index: IndexOptions = IN_MEMORY,
    ) -> "Volume":
        """Opens an existing volume, with a needle map of the given kind.

        Raises:
            VolumeDamagedError: it cannot be served; its files are as they were.
        """
        files = VolumeFiles.of(directory, index_directory, collection, volume_id)
        return cls(open_volume(files, default_offset_width=default_offset_width, index=index))

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
        index: IndexOptions = IN_MEMORY,
    ) -> "Volume":
        """Creates an empty volume; a failure leaves nothing behind.

        Raises:
            VolumeExistsError, StorageError
        """
        check_version(version)
        files = VolumeFiles.of(directory, index_directory, collection, volume_id)
        super_block = SuperBlock(version=version, replica_placement=replica_placement, ttl=ttl)
        return cls(
            create_volume(
                files,
                super_block,
                offset_width=offset_width,
                preallocate=preallocate,
                index=index,
            )
        )

    # --- read-only state ----------------------------------------------------------------------

    def forbid_changes(self, words: str) -> None:
        """Makes the volume read-only in memory because something went wrong with its files.

        They are opened anew, and so checked, before it takes changes again.
        """
        self._must_reopen = True
        self._gate.damage(words)
        log.error("volume %d is read-only now: %s", self.id, words)

    def mark_read_only(self, *, can_delete: bool, persist: bool) -> bool:
        """An operator's mark (weed/storage/store.go: MarkVolumeReadonly).

        With ``can_delete`` a volume that was opened read-only is opened anew, as in
        :meth:`mark_writable`.

        Returns:
            Whether :attr:`native` is another object now.

        Raises:
            StorageError: it cannot take deletes, or the mark could not be persisted.
        """
        with self._admin_lock:
            replaced = False
            if can_delete:
                try:
                    replaced = self._reopen_for_changes()
                except StorageError as error:
                    raise StorageError(f"volume {self.id} reopen idx for write: {error}") from error
            self._gate.mark(can_delete=can_delete)
            if persist:
                self._persist_mark(read_only=True, can_delete=can_delete, doing="read-only")
            return replaced

    def mark_writable(self) -> bool:
        """Takes the marks away, on disk too (MarkVolumeWritable).

        A volume that was opened read-only is opened anew, so that what its open left undone (a torn
        tail, an index without write access) is made good before the first write.

        Returns:
            Whether :attr:`native` is another object now.

        Raises:
            StorageError: the volume is unavailable, damaged, or its files are not writable; or the
            mark could not be persisted.
        """
        with self._admin_lock:
            try:
                replaced = self._reopen_for_changes()
            except StorageError as error:
                raise StorageError(
                    f"volume {self.id} cannot be marked writable: {error}"
                ) from error
            self._persist_mark(read_only=False, can_delete=False, doing="writable")
            self.quarantined = False
            self._gate.unmark()
            return replaced

    def _reopen_for_changes(self) -> bool:
        """Puts a C volume that can take changes in the place of one that cannot; whether it did.

        The mark stays. A fast read that still has the old one leaves it alone from now on.

        Raises:
            StorageError: it is damaged, unavailable or closed.
        """
        if self.unavailable:
            raise StorageError(self._unavailable_text())
        if self.closed:
            raise VolumeClosedError(f"volume {self.id} is closed")
        old = self.native
        if not self._must_reopen and old.map_takes_writes:
            return False
        self._finish_swap()
        with self._writers_waiting(old):
            old.retire_map()
            opened = self._open_for_writing()
            self._gate.replace(opened)
            with self._sync_lock:
                self._install(opened)
                self._sync_failure = ""
            self._must_reopen = False
            old.seal()
        return True

    def _open_for_writing(self) -> OpenedVolume:
        files = dataclasses.replace(
            self._files, index_directory=self._files.configured_index_directory
        )
        opened = open_volume(
            files, default_offset_width=self.offset_width, index=self._index, for_writing=True
        )
        if opened.unavailable is None and not opened.no_write_or_delete:
            return opened
        opened.native.close_map(durable=False)
        if opened.unavailable is not None:
            raise StorageError(f"volume {self.id} is unavailable: {opened.unavailable}")
        raise VolumeReadOnlyError("; ".join(reason.words for reason in opened.damage))

    def _persist_mark(self, *, read_only: bool, can_delete: bool, doing: str) -> None:
        info = dataclasses.replace(
            self.info, read_only=read_only, read_only_can_delete=can_delete, problem=""
        )
        if self.ttl.seconds:
            info.expire_at_sec = volume_info.expiry_of(self.ttl)
        try:
            volume_info.save(self._files.data(".vif"), info)
        except OSError as error:
            raise StorageError(f"volume {self.id} persist {doing}: {error}") from error
        self.info = info

    # --- needles ------------------------------------------------------------------------------

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
            read_deleted: a deleted needle is read if its size is still known.
            meta_above: payloads of bodies larger than this many bytes are left out.
            nowait: do not wait for the disk.

        Raises:
            NeedleNotFoundError: also when its TTL has passed; NeedleDeletedError.
            NeedleCorruptedError, DiskIOError
            ColdReadError: only with ``nowait``.
        """
        if self.unavailable:
            raise DiskIOError(self._unavailable_text())

        def look(current: NativeVolume) -> StoredNeedle:
            return load_needle(
                current,
                self._names,
                key,
                read_deleted=read_deleted,
                meta_above=meta_above,
                nowait=nowait,
            )

        return self._in_open_map(look)

    def entry(self, key: int) -> MapEntry | None:
        """What the needle map has of a needle, deleted ones included.

        Raises:
            NeedleNotFoundError: the volume is closed.
            DiskIOError
        """
        return self._in_open_map(lambda current: find_needle(current, self._names, key))

    def _in_open_map(self, look: Callable[[NativeVolume], _Result]) -> _Result:
        """Looks; again if the map was closed because the volume has another one."""
        while True:
            current = self._native
            if current is None:
                raise NeedleNotFoundError("not found")
            try:
                return look(current)
            except VolumeClosedError:
                if self._native is current:
                    raise

    def read(self, key: int, *, read_deleted: bool = False) -> Needle:
        """Reads a whole needle; see :meth:`load` for what it raises."""
        return self.load(key, read_deleted=read_deleted).needle

    def verify(self, stored: StoredNeedle, *, nowait: bool = False) -> None:
        """Checks the payload of a needle that was read without it; sets its raw checksum.

        Raises:
            NeedleCorruptedError, DiskIOError; ColdReadError only with ``nowait``.
        """
        verify_payload(self._names, stored, nowait=nowait)

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
            return append_needle(
                current, needle, self.ttl, check_cookie=check_cookie, nowait=nowait
            )

        try:
            return self._in_current_files(append)
        except NativeFaultError as fault:
            raise self._append_error(fault, needle.id, needle.cookie) from None

    def delete(self, key: int, cookie: int, checksum: int, *, nowait: bool = False) -> int:
        """Appends a tombstone; returns the body size of what was deleted, 0 if nothing was.

        Args:
            key: needle id.
            cookie: the tombstone's; not compared with anything here.
            checksum: of the deleted data, 0 when it was not read.

        Raises:
            as :meth:`write`.
        """

        def append(current: NativeVolume) -> NativeWrite:
            return current.delete(key, cookie, checksum, nowait=nowait)

        try:
            return self._in_current_files(append).size
        except NativeFaultError as fault:
            raise self._append_error(fault, key, cookie) from None

    def _in_current_files(self, append: Callable[[NativeVolume], _Result]) -> _Result:
        """Appends; again if the files were replaced while it waited."""
        while True:
            current = self.native
            try:
                return append(current)
            except NativeFaultError as fault:
                if fault.code != native_fault.CLOSED or self._native is current:
                    raise

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
        self._group_commit.wait()

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
                path = self._names.idx_path if fault.on_index else self._names.dat_path
                self._sync_failure = f"sync {path}: {fault.os_text}"
                self.forbid_changes(self._sync_failure)
                raise DiskIOError(self._sync_failure) from None

    # --- vacuum -------------------------------------------------------------------------------

    def compact(self, plan: VacuumPlan) -> VacuumReport | None:
        """Builds the files of a vacuum (weed/storage/volume_vacuum.go: CompactByIndex).

        The volume is read and written as always meanwhile; nothing changes for it.

        Returns:
            None, having done nothing, when a vacuum of this volume is at work already.

        Raises:
            StorageError: no room, stopped by ``plan.progress``, or a file could not be read or
            written; what was built is gone.
        """
        if not self._begin_vacuum():
            return None
        try:
            self._drop_vacuum()
            current, stat = self._vacuum_source()
            check_room(
                self._files,
                dat_size=stat.dat_size,
                idx_size=stat.idx_size,
                preallocate=plan.preallocate,
            )
            vacuum = Vacuum(self._files, current, self.super_block, plan)
            report = in_background(f"vacuum {self.id}", vacuum.build)
            self._vacuum = vacuum
            return report
        finally:
            self._end_vacuum()

    def commit_compaction(self) -> bool:
        """Puts what was built in the place of the files (CommitCompact).

        Returns:
            Whether :attr:`native` is another object now; False when a vacuum is at work.

        Raises:
            StorageError: the old files are in use as before; or, if the swap began and could not be
            ended, read-only with that reason.
        """
        if not self._begin_vacuum():
            return False
        try:
            vacuum, self._vacuum = self._vacuum, None
            if vacuum is None:
                raise StorageError(f"volume {self.id} compact swap aborted: missing .cpd/.cpx")
            in_background(f"vacuum {self.id}", partial(self._prepare_commit, vacuum))
            with self._admin_lock:
                try:
                    old, _ = self._vacuum_source()
                except StorageError:
                    vacuum.discard()
                    raise
                self._swap(vacuum, old)
            return True
        finally:
            self._end_vacuum()

    def _prepare_commit(self, vacuum: Vacuum) -> None:
        vacuum.catch_up()
        if self._index.kind != "memory":
            vacuum.prepare_map(self._index, self.offset_width)
            vacuum.catch_up()

    def cleanup_compaction(self) -> None:
        """Removes what was built and not committed (CleanupCompact).

        Raises:
            StorageError: a swap has begun, or a vacuum is at work.
        """
        if not self._begin_vacuum():
            raise StorageError(f"volume {self.id} is compacting")
        try:
            if self._files.data(".cpc").exists():
                raise StorageError(
                    f"volume {self.id}: refusing cleanup while commit marker present"
                )
            self._drop_vacuum()
            remove_built(self._files)
        finally:
            self._end_vacuum()

    def _begin_vacuum(self) -> bool:
        with self._vacuum_lock:
            if self.compacting:
                return False
            self.compacting = True
            return True

    def _end_vacuum(self) -> None:
        with self._vacuum_lock:
            self.compacting = False

    def _drop_vacuum(self) -> None:
        vacuum, self._vacuum = self._vacuum, None
        if vacuum is not None:
            vacuum.discard()

    def _vacuum_source(self) -> tuple[NativeVolume, VolumeStat]:
        current = self._native
        if current is None:
            raise StorageError(f"volume {self.files.base} backend is empty remote:false")
        if self._gate.damaged or self.unavailable:
            # Its index does not tell what is alive, and a vacuum would drop the rest for good.
            words = "; ".join(reason.words for reason in self.read_only_reasons)
            raise StorageError(f"volume {self.id} is damaged and must be repaired first: {words}")
        return current, current.stat()

    def _swap(self, vacuum: Vacuum, old: NativeVolume) -> None:
        with self._writers_waiting(old):
            try:
                old.retire_map()
            except StorageError:
                vacuum.discard()
                raise
            vacuum.declare_complete()
            self._swap_unfinished = True
            try:
                vacuum.swap()
                self._swap_unfinished = False
                opened = open_volume(
                    self._files,
                    default_offset_width=self.offset_width,
                    index=self._index,
                    for_writing=not self._must_reopen,
                    append_times_above=old.stat().last_append_ns,
                )
            except (OSError, StorageError) as error:
                # The names may be those of the new files now: the old ones must not be changed.
                text = f"a vacuum could not be ended: {error}"
                self.forbid_changes(text)
                raise StorageError(f"volume {self.id}: {text}") from error
            self._gate.replace(opened)
            with self._sync_lock:
                self._install(opened)
            self._must_reopen = opened.no_write_or_delete
            old.seal()

    @contextmanager
    def _writers_waiting(self, volume: NativeVolume) -> Iterator[None]:
        volume.pause()
        try:
            yield
        finally:
            volume.resume()

    def _finish_swap(self) -> None:
        """What a commit could not do to the end."""
        if not self._swap_unfinished:
            return
        try:
            finish(self._files)
        except OSError as error:
            raise StorageError(f"a vacuum's files cannot be swapped: {error}") from error
        self._swap_unfinished = False

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends writes, syncs and lets go of the files; responses under way are finished."""
        with self._admin_lock:
            current = self._native
            if current is None:
                return
            self._drop_vacuum()
            current.seal()
            durable = True
            try:
                self.sync()
            except StorageError as error:
                log.warning("volume %d: sync at close failed: %s", self.id, error)
                durable = False
            self._last_stat = current.stat()
            self._native = None
            self._gate.close()
            current.close_map(durable=durable)

    def destroy(self, *, keep_vif: bool = False) -> None:
        """Closes the volume and removes its files (volume_write.go: Destroy).

        Raises:
            StorageError: a vacuum is running.
        """
        if self.compacting:
            raise StorageError(f"volume {self.id} is compacting")
        self.close()
        remove_volume_files(self._files, keep_vif=keep_vif)
