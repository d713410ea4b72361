"""The vacuum of a volume in use: one at a time, from its building to its commit.

What is built and how: ``vacuum``. Between the two calls of whoever drives it (the master, an offline
tool) the new files wait here; they go when the volume is closed or another vacuum begins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastvol.errors import StorageError
from fastvol.volume.background import in_background
from fastvol.volume.reasons import REMOTE
from fastvol.volume.vacuum import Vacuum, VacuumPlan, VacuumReport, check_room
from fastvol.volume.vacuum_files import remove_built

if TYPE_CHECKING:
    from fastvol.index.kinds import IndexOptions
    from fastvol.volume.volume import Volume


class Compaction:
    """Drives the vacuums of one volume; any thread may call any method."""

    __slots__ = ("_built", "_lock", "_volume", "busy")

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._lock = threading.Lock()
        """Guards ``busy``; whoever set it owns the rest."""
        self.busy = False
        self._built: Vacuum | None = None

    @contextmanager
    def _at_work(self) -> Iterator[bool]:
        """Whether the caller is the one at work now; another may be already."""
        with self._lock:
            mine = not self.busy
            self.busy = True
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self.busy = False

    def build(self, plan: VacuumPlan) -> VacuumReport | None:
        """See :meth:`Volume.compact`."""
        volume = self._volume
        with self._at_work() as mine:
            if not mine:
                return None
            self.drop()
            source = volume.sound_native()
            if volume.remote is not None:
                raise StorageError(f"volume {volume.id} cannot be compacted: {REMOTE}")
            stat = source.stat()
            check_room(
                volume.files,
                dat_size=stat.dat_size,
                idx_size=stat.idx_size,
                preallocate=plan.preallocate,
            )
            vacuum = Vacuum(volume.files, source, volume.super_block, plan)
            report = in_background(f"vacuum {volume.id}", vacuum.build)
            self._built = vacuum
            return report

    def commit(self, index: IndexOptions) -> bool:
        """See :meth:`Volume.commit_compaction`; ``index`` says which map the volume has."""
        volume = self._volume
        with self._at_work() as mine:
            if not mine:
                return False
            vacuum, self._built = self._built, None
            if vacuum is None:
                raise StorageError(f"volume {volume.id} compact swap aborted: missing .cpd/.cpx")
            prepare = partial(vacuum.prepare_commit, index, volume.offset_width)
            in_background(f"vacuum {volume.id}", prepare)
            volume.swap_files(vacuum)
            return True

    def cleanup(self) -> None:
        """See :meth:`Volume.cleanup_compaction`."""
        volume = self._volume
        with self._at_work() as mine:
            if not mine:
                raise StorageError(f"volume {volume.id} is compacting")
            if volume.files.data(".cpc").exists():
                raise StorageError(
                    f"volume {volume.id}: refusing cleanup while commit marker present"
                )
            self.drop()
            remove_built(volume.files)

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """No vacuum meanwhile, and none that was built before is committed.

        Raises:
            StorageError: one is at work.
        """
        self.end()
        try:
            yield
        finally:
            self.resume()

    def end(self) -> None:
        """No other vacuum begins from here on.

        Raises:
            StorageError: one is at work.
        """
        with self._lock:
            if self.busy:
                raise StorageError(f"volume {self._volume.id} is compacting")
            self.busy = True
        self.drop()

    def resume(self) -> None:
        """After :meth:`end`: they may begin again."""
        with self._lock:
            self.busy = False

    def drop(self) -> None:
        """Removes what was built and not committed, if anything was."""
        vacuum, self._built = self._built, None
        if vacuum is not None:
            vacuum.discard()
