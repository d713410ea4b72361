"""Which changes a volume takes, and why not the others.

Theory of operation
-------------------
Six facts close a volume, each with its own owner; a volume takes a change when none forbids it:

* *damage*: set by opening, or by an I/O error that leaves the files in doubt; taken away by opening
  the files anew; forbids writes and deletes.
* *a mark*: set by an operator or the ``.vif``, taken away by an operator; forbids writes, and
  deletes unless it allows them.
* *remote data*: set and taken away by opening, for a tiered volume; forbids writes.
* *a move*: set and taken away by whoever copies the data to remote storage or back; forbids writes
  and deletes, which the copy would not have.
* *a replacement*: set and taken away by whoever receives a copy that will take its place; forbids
  writes and deletes, which would go with it.
* *a full disk*: set and taken away by the watcher of the disk; forbids writes.

Readers of the properties take no lock; whoever changes a fact holds one until the C volume has the
new flags, so that the flags always are those of the last change. The C volume takes them only
after the append under way, so what a change forbids does not happen after it. Source of the rules:
weed/storage/store.go: MarkVolumeReadonly, weed/storage/volume.go: IsReadOnly.
"""

import threading

from fastvol._cffi import volume as native
from fastvol._cffi.volume import NativeVolume
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.reasons import (
    BEING_REPLACED,
    DISK_LOW,
    MARKED,
    MOVING,
    REMOTE,
    ReadOnlyReason,
)


def shut_off(volume: NativeVolume) -> None:
    """For a C volume no longer in use: whoever still has it must not answer from it."""
    volume.set_flags(native.NO_WRITE | native.NO_DELETE | native.NO_FAST_READ)


def _is_replicated(opened: OpenedVolume) -> bool:
    """Changes must reach other servers too, so the fast write leaves them alone."""
    return opened.super_block.replica_placement.copy_count > 1


def _remote_reason(opened: OpenedVolume) -> ReadOnlyReason | None:
    return None if opened.remote is None else ReadOnlyReason(REMOTE)


class WriteGate:
    """The read-only state of one volume, applied to its C volume."""

    __slots__ = (
        "_damage",
        "_disk_low",
        "_lock",
        "_mark",
        "_mark_allows_deletes",
        "_moving",
        "_native",
        "_remote",
        "_replaced",
        "_replicated",
        "_unavailable",
    )

    def __init__(self, opened: OpenedVolume, *, disk_space_low: bool = False) -> None:
        self._lock = threading.Lock()
        self._native: NativeVolume | None = opened.native
        self._damage = tuple(opened.damage)
        self._unavailable = opened.unavailable is not None
        if opened.unavailable is not None:
            self._damage += (ReadOnlyReason(f"unavailable: {opened.unavailable}"),)
        self._mark = opened.persisted_mark
        self._mark_allows_deletes = opened.no_write_can_delete
        self._replicated = _is_replicated(opened)
        self._replaced: ReadOnlyReason | None = None
        self._moving: ReadOnlyReason | None = None
        self._remote = _remote_reason(opened)
        self._disk_low = ReadOnlyReason(DISK_LOW) if disk_space_low else None
        self._apply()

    @property
    def damaged(self) -> bool:
        """Its files are in doubt."""
        return bool(self._damage)

    @property
    def no_write_or_delete(self) -> bool:
        """Takes no change at all."""
        marked = self._mark is not None and not self._mark_allows_deletes
        changing = self._replaced is not None or self._moving is not None
        return bool(self._damage) or marked or changing

    @property
    def no_write_can_delete(self) -> bool:
        """Takes deletes only, by its mark or because its data is remote."""
        marked = self._mark is not None and self._mark_allows_deletes
        return marked or self._remote is not None

    @property
    def disk_space_low(self) -> bool:
        """The disk is too full for writes."""
        return self._disk_low is not None

    @property
    def read_only(self) -> bool:
        """Takes no writes, for whatever reason."""
        facts = (self._mark, self._remote, self._moving, self._replaced, self._disk_low)
        return bool(self._damage) or any(fact is not None for fact in facts)

    @property
    def reasons(self) -> list[ReadOnlyReason]:
        """All causes at this moment."""
        with self._lock:
            others = (self._mark, self._remote, self._moving, self._replaced, self._disk_low)
            found = [*self._damage, *others]
        return [reason for reason in found if reason is not None]

    def set_disk_space_low(self, low: bool) -> None:
        """What the watcher of the disk found."""
        with self._lock:
            if low != self.disk_space_low:
                self._disk_low = ReadOnlyReason(DISK_LOW) if low else None
                self._apply()

    def set_being_replaced(self, replaced: bool) -> None:
        """Whether a copy that will take the volume's place is on its way."""
        with self._lock:
            self._replaced = ReadOnlyReason(BEING_REPLACED) if replaced else None
            self._apply()

    def set_moving(self, moving: bool) -> None:
        """Whether the data is being copied to remote storage, or back."""
        with self._lock:
            self._moving = ReadOnlyReason(MOVING) if moving else None
            self._apply()

    def damage(self, words: str) -> None:
        """The files are in doubt."""
        with self._lock:
            self._damage += (ReadOnlyReason(words),)
            self._apply()

    def mark(self, *, can_delete: bool) -> None:
        """An operator's mark."""
        with self._lock:
            self._mark = ReadOnlyReason(MARKED)
            self._mark_allows_deletes = can_delete
            self._apply()

    def unmark(self) -> None:
        """Takes the mark away."""
        with self._lock:
            self._mark = None
            self._mark_allows_deletes = False
            self._apply()

    def replace(self, opened: OpenedVolume) -> None:
        """The files were opened anew; the mark stays until it is taken away."""
        with self._lock:
            assert opened.unavailable is None
            if self._native is not None:
                shut_off(self._native)
            self._native = opened.native
            self._replicated = _is_replicated(opened)
            self._damage = tuple(opened.damage)
            self._remote = _remote_reason(opened)
            self._apply()

    def remark(self, opened: OpenedVolume) -> None:
        """Takes the mark that the ``.vif`` has, in place of whatever was marked since the start."""
        with self._lock:
            self._mark = opened.persisted_mark
            self._mark_allows_deletes = opened.no_write_can_delete
            self._apply()

    def close(self) -> None:
        """Lets go of the C volume, which takes no change at all from now on."""
        with self._lock:
            if self._native is not None:
                shut_off(self._native)
            self._native = None

    def _apply(self) -> None:
        if self._native is None:
            return
        if self._disk_low is not None:
            self._native.reserve_for_deletes()
        flags = 0
        if self.read_only:
            flags |= native.NO_WRITE
        if self.no_write_or_delete:
            flags |= native.NO_DELETE
        if self._unavailable or self._remote is not None:
            flags |= native.NO_FAST_READ
        if self._replicated:
            flags |= native.REPLICATED
        self._native.set_flags(flags)
