"""One volume: making one, its marks, the replacement of its files, its end.

Locking: what changes the volume as a whole (marks, closing, opening its files anew, the swap of a
vacuum) is under ``_admin_lock``, which may be held during I/O; the read-only state has its own lock
(``write_gate``), and so has a vacuum (``compaction``). What clients do takes neither
(``needle_access``). Closing waits for the append under way, refuses later ones and gives up this
object's reference; a response that is still being sent keeps the files open until it is done.
"""

import dataclasses
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastvol._cffi.volume import NativeVolume
from fastvol.errors import StorageError, VolumeClosedError, VolumeReadOnlyError, reason_of
from fastvol.formats import volume_info
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import RemoteFile
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.remote.tier import Tier
from fastvol.volume.compaction import Compaction
from fastvol.volume.creation import check_version, create_volume
from fastvol.volume.facts import remote_of
from fastvol.volume.figures import NeedleCounters
from fastvol.volume.files import VolumeFiles, remove_volume_files
from fastvol.volume.index_replacement import copy_index, remove_index
from fastvol.volume.needle_access import NeedleAccess
from fastvol.volume.needles import BusyVolumeError, StoredNeedle, WouldWaitError, WriteResult
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.opening import open_volume
from fastvol.volume.vacuum import Vacuum, VacuumPlan, VacuumReport
from fastvol.volume.vacuum_files import swap_in

log = logging.getLogger(__name__)

__all__ = [
    "BusyVolumeError",
    "NeedleCounters",
    "StoredNeedle",
    "Volume",
    "WouldWaitError",
    "WriteResult",
    "remove_volume_files",
]


class Volume(NeedleAccess):
    """A live volume; see the module's theory for threads."""

    __slots__ = ("_admin_lock", "_compaction", "_swap_unfinished")

    def __init__(self, opened: OpenedVolume) -> None:
        super().__init__(opened)
        self._admin_lock = threading.RLock()
        self._compaction = Compaction(self)
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
        tier: Tier | None = None,
    ) -> "Volume":
        """Opens an existing volume, with a needle map of the given kind.

        Args:
            tier: where its data may lie that is on remote storage.

        Raises:
            VolumeDamagedError: it cannot be served; its files are as they were.
        """
        files = VolumeFiles.of(directory, index_directory, collection, volume_id)
        return cls(
            open_volume(files, default_offset_width=default_offset_width, index=index, tier=tier)
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
            if can_delete and self.remote is None:
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
        if not self._must_reopen and (old.map_takes_writes or self.remote is not None):
            return False
        self._finish_swap()
        with self._writers_waiting(old):
            old.retire_map()
            self._replace(old, self._open_for_writing())
        return True

    @contextmanager
    def _writers_waiting(self, native: NativeVolume) -> Iterator[None]:
        native.pause()
        try:
            yield
        finally:
            native.resume()

    def _open_anew(self, old: NativeVolume, files: VolumeFiles) -> None:
        """Goes over to files that hold what ``old`` holds; its writers are waiting."""
        opened = self._opened(files, for_writing=not self._must_reopen, like=old)
        self._replace(old, opened)

    def _opened(
        self, files: VolumeFiles, *, for_writing: bool = False, like: NativeVolume | None = None
    ) -> OpenedVolume:
        """Its files as they are now; ``like`` has the same records, perhaps in another order."""
        return open_volume(
            files,
            default_offset_width=self.offset_width,
            index=self._index,
            for_writing=for_writing,
            append_times_above=0 if like is None else like.stat().last_append_ns,
            tier=self._tier,
        )

    def _replace(self, old: NativeVolume, opened: OpenedVolume) -> None:
        """Puts files that were opened anew in the place of ``old``, whose writers are waiting."""
        self._gate.replace(opened)
        with self._sync_lock:
            self._install(opened)
            self._sync_failure = ""
        self._must_reopen = opened.no_write_or_delete
        old.seal()

    def _open_for_writing(self) -> OpenedVolume:
        files = dataclasses.replace(
            self._files, index_directory=self._files.configured_index_directory
        )
        opened = self._opened(files, for_writing=True)
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
        self._save_info(info, f"persist {doing}")

    def _save_info(self, info: volume_info.VolumeInfo, doing: str) -> None:
        if self.ttl.seconds:
            info.expire_at_sec = volume_info.expiry_of(self.ttl)
        try:
            volume_info.save(self._files.data(".vif"), info)
        except OSError as error:
            raise StorageError(f"volume {self.id} {doing}: {reason_of(error)}") from error
        self.info = info

    # --- its index ----------------------------------------------------------------------------

    def consolidate_index(self) -> bool:
        """Moves an index that lies beside the data to the directory that is meant for it.

        Returns:
            Whether :attr:`native` is another object now.

        Raises:
            StorageError: a vacuum is at work, or the files cannot be moved or opened anew.
        """
        with self._admin_lock:
            files = self._files
            if files.index_directory == files.configured_index_directory:
                return False
            with self._compaction.kept_out():
                old = self.native
                with self._writers_waiting(old):
                    self.sync()
                    self._move_index(old)
            return True

    def _move_index(self, old: NativeVolume) -> None:
        files = self._files
        moved = dataclasses.replace(files, index_directory=files.configured_index_directory)
        copy_index(files, moved)  # while both are there, an opening takes the one beside the data
        old.retire_map()
        try:
            remove_index(files)
            self._open_anew(old, moved)
        except BaseException as error:
            text = f"its index could not be moved: {error}"
            self.forbid_changes(text)
            raise StorageError(f"volume {self.id}: {text}") from error

    # --- vacuum -------------------------------------------------------------------------------

    @property
    def compacting(self) -> bool:
        """Whether a vacuum is at work."""
        return self._compaction.busy

    def compact(self, plan: VacuumPlan) -> VacuumReport | None:
        """Builds the files of a vacuum (weed/storage/volume_vacuum.go: CompactByIndex).

        The volume is read and written as always meanwhile; nothing changes for it.

        Returns:
            None, having done nothing, when a vacuum of this volume is at work already.

        Raises:
            StorageError: no room, stopped by ``plan.progress``, or a file could not be read or
            written; what was built is gone.
        """
        return self._compaction.build(plan)

    def commit_compaction(self) -> bool:
        """Puts what was built in the place of the files (CommitCompact).

        Returns:
            Whether :attr:`native` is another object now; False when a vacuum is at work.

        Raises:
            StorageError: the old files are in use as before; or, if the swap began and could not be
            ended, read-only with that reason.
        """
        return self._compaction.commit(self._index)

    def cleanup_compaction(self) -> None:
        """Removes what was built and not committed (CleanupCompact).

        Raises:
            StorageError: a swap has begun, or a vacuum is at work.
        """
        self._compaction.cleanup()

    def sound_native(self) -> NativeVolume:
        """The C volume, for a vacuum to copy.

        Raises:
            StorageError: it is closed, or its files are in doubt.
        """
        current = self._native
        if current is None:
            raise StorageError(f"volume {self.files.base} backend is empty remote:false")
        if self._gate.damaged or self.unavailable:
            # Its index does not tell what is alive, and a vacuum would drop the rest for good.
            words = "; ".join(reason.words for reason in self.read_only_reasons)
            raise StorageError(f"volume {self.id} is damaged and must be repaired first: {words}")
        return current

    def swap_files(self, vacuum: Vacuum) -> None:
        """Goes over to the files of a vacuum; see :meth:`commit_compaction` for what it raises."""
        with self._admin_lock:
            try:
                old = self.sound_native()
                with self._writers_waiting(old):
                    self._go_over(old, vacuum)
            except StorageError:
                if not self._swap_unfinished:
                    vacuum.discard()
                raise

    def _go_over(self, old: NativeVolume, vacuum: Vacuum) -> None:
        old.retire_map()
        vacuum.declare_complete()
        self._swap_unfinished = True
        try:
            vacuum.swap()
            self._swap_unfinished = False
            self._open_anew(old, self._files)
        except BaseException as error:
            # The names may be those of the new files now: whatever it was that failed, the old ones
            # must not take a change any more.
            text = f"a vacuum could not be ended: {error}"
            self.forbid_changes(text)
            raise StorageError(f"volume {self.id}: {text}") from error

    def _finish_swap(self) -> None:
        """What a commit could not do to the end."""
        if not self._swap_unfinished:
            return
        try:
            swap_in(self._files)
        except OSError as error:
            raise StorageError(f"a vacuum's files cannot be swapped: {error}") from error
        self._swap_unfinished = False

    # --- remote storage -----------------------------------------------------------------------

    @contextmanager
    def moving(self) -> Iterator[None]:
        """While its data is copied to remote storage, or back, it takes no change and no vacuum.

        Raises:
            StorageError: a vacuum, or another move, is at work.
        """
        with self._compaction.kept_out():
            self._gate.set_moving(True)
            try:
                self.sync()
                yield
            finally:
                self._gate.set_moving(False)

    def go_remote(self, file: RemoteFile, tier: Tier) -> None:
        """Goes over to the object that the data was copied to; :attr:`native` is another one then.

        The data file stays.  What was marked read-only, and not persisted, is forgotten, as the next
        start would forget it.

        Raises:
            StorageError: the volume is as it was.
        """
        with self._admin_lock:
            old, before = self.native, self.info
            self._save_remote_files((*before.files, file))
            try:
                self._tier = tier
                self._open_as_told(old)
            except StorageError as error:
                self._save_remote_files(tuple(before.files))
                raise StorageError(
                    f"volume {self.id} failed to load remote file: {error}"
                ) from error

    def go_local(self) -> None:
        """Goes over to the data file, which is there again; :attr:`native` is another one then.

        Raises:
            StorageError: it goes on with the remote one; its ``.vif`` may name the local one by then.
        """
        with self._admin_lock:
            old = self.native
            self._save_remote_files(tuple(self.info.files[1:]))
            try:
                self._open_as_told(old)
            except StorageError as error:
                path = self._files.data(".dat")
                raise StorageError(
                    f"volume {self.id} failed to open local dat file {path}: {error}"
                ) from error
            remote = remote_of(old)
            if remote is not None:
                remote.close()

    def _save_remote_files(self, files: tuple[RemoteFile, ...]) -> None:
        info = dataclasses.replace(self.info, files=files)
        self._save_info(info, "failed to save remote file info")

    def _open_as_told(self, old: NativeVolume) -> None:
        """Puts what the ``.vif`` says now in the place of ``old``; else no change is taken any more."""
        with self._writers_waiting(old):
            old.retire_map()
            try:
                opened = self._opened(self._files, like=old)
            except StorageError as error:
                self.forbid_changes(str(error))
                raise
            self._replace(old, opened)
            self._gate.remark(opened)

    # --- the end ------------------------------------------------------------------------------

    def retire(self) -> None:
        """Makes way for another volume of the same names; reads are answered as before until closed.

        For a volume that is being replaced, and takes no change.

        Raises:
            StorageError: a vacuum is at work, or there is no memory; then nothing has changed.
        """
        with self._admin_lock:
            current = self.native
            self._compaction.end()
            try:
                current.retire_map()
            except BaseException:
                self._compaction.resume()
                raise

    def revive(self) -> None:
        """After :meth:`retire`: it stays.

        Raises:
            StorageError: its files cannot be opened anew; it takes no change.
        """
        with self._admin_lock:
            old = self.native
            self._compaction.resume()
            if self._index.kind == "memory":
                return
            with self._writers_waiting(old):
                try:
                    self._open_anew(old, self._files)
                except BaseException as error:
                    text = f"its map could not be opened anew: {error}"
                    self.forbid_changes(text)
                    raise StorageError(f"volume {self.id}: {text}") from error

    def close(self) -> None:
        """Ends writes, syncs and lets go of the files; responses under way are finished."""
        with self._admin_lock:
            current = self._native
            if current is None:
                return
            self._compaction.drop()
            current.seal()
            durable = True
            try:
                self.sync()
            except StorageError as error:
                log.warning("volume %d: sync at close failed: %s", self.id, error)
                durable = False
            self._stat_at_close = current.stat()
            self._native = None
            self._gate.close()
            current.close_map(durable=durable)
            remote = remote_of(current)
            if remote is not None:
                remote.close()

    def destroy(self, *, keep_vif: bool = False, keep_remote_data: bool = False) -> None:
        """Closes the volume and removes its files (volume_write.go: Destroy).

        The object of a tiered volume goes last, unless it is kept because another server uses it: a
        crash in between leaves an object without a volume rather than a volume without its data.

        Raises:
            StorageError: a vacuum is running.
        """
        if self.compacting:
            raise StorageError(f"volume {self.id} is compacting")
        remote = self.remote
        self.close()
        remove_volume_files(self._files, keep_vif=keep_vif)
        if remote is not None and not keep_remote_data:
            remote.remove()
