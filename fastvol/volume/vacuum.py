"""Vacuum: a volume without its garbage, built beside it and put in its place.

Theory of operation
-------------------
*Building* copies what is alive into ``.cpd`` and ``.cpx`` while the volume is read and written as
always; what changed meanwhile is replayed afterwards (``_cffi/vacuum.h`` says why that is right).
*Committing* catches up again, in rounds, until little is left; makes the new files durable; then
keeps the writers waiting for the last few rows, the swap of the files (``vacuum_files``) and their
opening. Readers that still have the old files finish on them; writers go on in the new ones.

A failure before the marker leaves the old files in use as if nothing had been. After it there is no
way back: the names may be those of the new files, so the old ones take no more changes; they are
read until the swap is finished: when an operator marks the volume writable, or by the next start.

What is kept and dropped: weed/storage/volume_vacuum.go: copyDataBasedOnIndexFile. On purpose
different: a needle expires here by its own TTL and append time, as for a read; a record whose
checksum is wrong is carried over as it is, for it may be the only copy; real tombstones are
copied, with their cookies; an empty file stays what it is.
"""

import dataclasses
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastvol._cffi.vacuum import NativeVacuum, Order, VacuumFaultError, VacuumStat, describe
from fastvol._cffi.volume import NativeVolume, reserve
from fastvol.errors import NoSpaceError, StorageError
from fastvol.formats.super_block import SuperBlock
from fastvol.index.kinds import IndexOptions
from fastvol.index.loading import prepare_needle_map
from fastvol.limits import (
    VACUUM_CATCH_UP_ROUNDS,
    VACUUM_PAUSED_BYTES,
    VACUUM_STEP_BYTES,
)
from fastvol.volume.files import VolumeFiles, open_file
from fastvol.volume.vacuum_files import (
    clear_way,
    create_built,
    remove_built,
    swap_in,
    write_marker,
)

log = logging.getLogger(__name__)

METHODS: Final = {"index": Order.BY_KEY, "data": Order.BY_OFFSET}
"""Sorted by needle id, or in the order of the old data file."""
_REVISIONS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class VacuumPlan:
    """How to build.

    Args:
        order: see :data:`METHODS`.
        preallocate: bytes to reserve for the new data file.
        pace: called with the bytes of each step; sleeps as the throttle wants it.
        progress: called with the offset in the old data file; False stops the vacuum.
    """

    order: Order = Order.BY_KEY
    preallocate: int = 0
    pace: Callable[[int], None] | None = None
    progress: Callable[[int], bool] | None = None


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What building did; sizes in bytes."""

    records: int
    expired: int
    unreadable: int
    carried: int
    dat_size_before: int
    dat_size: int


def check_room(files: VolumeFiles, *, dat_size: int, idx_size: int, preallocate: int) -> None:
    """Raises NoSpaceError unless the new files have room beside the old ones."""
    figures = os.statvfs(files.directory)
    free = figures.f_bavail * figures.f_frsize
    need = max(preallocate, dat_size + idx_size)
    if need > free:
        raise NoSpaceError(
            f"insufficient free space for compaction: need {need} bytes "
            f"(volume: {dat_size}, index: {idx_size}), but only {free} bytes available: "
            "insufficient free space"
        )


class Vacuum:
    """The new files of one volume, from the first byte to the swap.  One thread at a time."""

    def __init__(
        self, files: VolumeFiles, native: NativeVolume, super_block: SuperBlock, plan: VacuumPlan
    ) -> None:
        """Creates the new files.

        Raises:
            StorageError: nothing of them is left.
        """
        self._files = files
        self._native = native
        self._plan = plan
        self._fds: list[int] = []
        self._has_map = False
        self._dat_size_before = native.stat().dat_size
        revision = (super_block.compaction_revision + 1) % _REVISIONS
        # No released server can open a super block with an extra part.
        self._head = dataclasses.replace(
            super_block, compaction_revision=revision, extra=b""
        ).to_bytes()
        try:
            clear_way(files)
            self._create()
        except (OSError, MemoryError) as error:
            self.discard()
            raise StorageError(f"cannot begin: {error}") from error
        except BaseException:
            self.discard()
            raise

    def _create(self) -> None:
        files, head = self._files, self._head
        dat_fd = self._own(create_built(files.data(".cpd"), files.dat))
        idx_fd = self._own(create_built(files.index(".cpx"), files.idx))
        source_idx_fd = self._own(open_file(files.idx, os.O_RDONLY))
        if self._plan.preallocate > 0:
            reserve(dat_fd, self._plan.preallocate)
        if os.pwrite(dat_fd, head, 0) != len(head):
            raise OSError(f"{files.data('.cpd')}: the super block was cut short")
        self._copying = NativeVacuum(
            self._native,
            source_idx_fd=source_idx_fd,
            dat_fd=dat_fd,
            idx_fd=idx_fd,
            first=len(head),
            order=self._plan.order,
        )
        self._built = (dat_fd, idx_fd)

    def _own(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    # --- building -----------------------------------------------------------------------------

    def build(self) -> VacuumReport:
        """Copies everything, throttled.

        Raises:
            StorageError: stopped by ``progress``, or a file could not be read or written; the new
            files are gone.
        """
        try:
            while self._step(self._copying.copy):
                pass
            self._catch_up(throttled=True)
            self._sync()
        except BaseException as error:
            self.discard()
            raise self._as_storage_error(error) from error
        stat = self._copying.stat()
        self._log_damage(stat)
        return VacuumReport(
            records=stat.records,
            expired=stat.expired,
            unreadable=stat.unreadable,
            carried=stat.carried,
            dat_size_before=self._dat_size_before,
            dat_size=stat.dat_size,
        )

    def _step(self, move: Callable[[int], bool]) -> bool:
        before = self._copying.stat().bytes
        more = move(VACUUM_STEP_BYTES)
        stat = self._copying.stat()
        if self._plan.progress is not None and not self._plan.progress(stat.source_offset):
            raise StorageError("interrupted")
        if self._plan.pace is not None:
            self._plan.pace(stat.bytes - before)
        return more

    def _catch_up(self, *, throttled: bool) -> None:
        """Until little is left; a writer that is faster than the copy must not make it endless."""
        for _ in range(VACUUM_CATCH_UP_ROUNDS):
            if throttled:
                self._step(self._copying.catch_up)
            else:
                self._copying.catch_up(VACUUM_STEP_BYTES)
            if self._copying.stat().behind <= VACUUM_PAUSED_BYTES:
                return

    def _sync(self) -> None:
        for fd in self._built:
            os.fsync(fd)

    def _log_damage(self, stat: VacuumStat) -> None:
        for one in stat.damage:
            log.warning(
                "vacuum volume %d: %s needle key=%x offset=%d size=%d",
                self._files.volume_id,
                "dropping unreadable" if one.dropped else "carrying over damaged",
                one.needle_id,
                one.offset,
                one.size,
            )
        more = stat.unreadable + stat.carried - len(stat.damage)
        if more > 0:
            log.warning("vacuum volume %d: and %d more", self._files.volume_id, more)

    def _as_storage_error(self, error: BaseException) -> BaseException:
        if isinstance(error, VacuumFaultError):
            return StorageError(f"{self._files.data('.dat')}: {describe(error)}")
        if isinstance(error, OSError | MemoryError):
            return StorageError(f"{self._files.data('.cpd')}: {error}")
        return error

    # --- committing ---------------------------------------------------------------------------

    def prepare_commit(self, index: IndexOptions, width: int) -> None:
        """Everything of a commit that writers need not wait for.

        A needle map that is kept on the disk is built from the new index now; best effort.

        Raises:
            StorageError: the new files are gone.
        """
        try:
            self._catch_up(throttled=False)
            if index.kind != "memory":
                _, idx_fd = self._built
                self._has_map = prepare_needle_map(
                    idx_fd, self._files.index(".cpldb"), width=width, options=index
                )
                self._catch_up(throttled=False)
            self._sync()
        except BaseException as error:
            self.discard()
            raise self._as_storage_error(error) from error

    def declare_complete(self) -> None:
        """The last rows, durable, and the marker; writers are waiting.

        Raises:
            StorageError: there is no marker, and the new files are gone.
        """
        try:
            while self._copying.catch_up(VACUUM_STEP_BYTES):
                pass
            self._sync()
            self._check_complete()
            write_marker(self._files)
        except BaseException as error:
            self.discard()
            raise self._as_storage_error(error) from error

    def _check_complete(self) -> None:
        for path in (self._files.data(".cpd"), self._files.index(".cpx")):
            if not path.exists():
                raise StorageError(
                    f"volume {self._files.volume_id} compact swap aborted: "
                    f"missing .cpd/.cpx ({path})"
                )

    def swap(self) -> None:
        """Puts the new files in the place of the old ones.

        Raises:
            OSError: not all of it is done, and the marker stays; ``vacuum_files.swap_in`` goes on.
        """
        self._close()
        swap_in(self._files, with_map=self._has_map)

    # --- the end ------------------------------------------------------------------------------

    def keep(self) -> None:
        """Leaves the new files where they are, for whoever asked for them and no more."""
        self._close()

    def discard(self) -> None:
        """Removes the new files; only before they were declared complete."""
        self._close()
        remove_built(self._files)

    def _close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
