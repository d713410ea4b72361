"""Typed face of deleting many needles with one call."""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.volume import NativeVolume

_VOLUMES_MAX: Final = 1024
_OPEN: Final[int] = lib.FV_DELETION_OPEN


class Checking(IntEnum):
    """Whether a needle is read and its cookie compared before it is deleted."""

    NONE = 0
    COOKIE = 1


class DeletionBatch:
    """Fids to be deleted; each is decided by :meth:`delete_from`, or left to the caller.

    Not for several threads.
    """

    def __init__(self, fids: list[str], checking: Checking) -> None:
        """A fid with a line break in it leaves all of them to the caller."""
        text = "\n".join(fids).encode("utf-8", "surrogateescape")
        self.count = len(fids)
        self._checking = checking
        self._text = ffi.from_buffer("char[]", text or b"\0")
        self._items: Any = ffi.new("fv_deletion[]", max(1, self.count))
        found = lib.fv_deletions_read(self._text, len(text), int(checking), self._items, self.count)
        if found != max(1, self.count):
            for at in range(self.count):
                self._items[at].result = _OPEN

    def volume_ids(self) -> Iterator[int]:
        """Ids of volumes that have fids to be decided; each is to be settled before the next.

        All fids are gone through for each, so there are not any number of them: the fids of others are
        left to the caller.
        """
        at = 0
        for _ in range(_VOLUMES_MAX):
            at = lib.fv_deletions_next(self._items, self.count, at)
            if at == self.count:
                return
            volume_id = self._items[at].volume_id
            yield volume_id
            # Whatever happened to them: they are not looked at again.
            lib.fv_deletions_leave(self._items, self.count, volume_id)
        while (at := lib.fv_deletions_next(self._items, self.count, at)) < self.count:
            self._items[at].result = _OPEN

    def delete_from(self, volume: NativeVolume, volume_id: int) -> None:
        """Deletes what is of this volume; what is not common is left to the caller."""
        lib.fv_volume_delete_many(
            volume.pointer, volume_id, self._items, self.count, int(self._checking)
        )

    def open_ones(self) -> list[int]:
        """Numbers, from 0, of those that were left to the caller, untouched."""
        return [at for at in range(self.count) if self._items[at].result == _OPEN]

    def results(self, first: int, end: int) -> bytes:
        """Results [first, end), none of them open, as the wire form of BatchDeleteResponse."""
        size = lib.fv_deletions_write(self._text, self._items, first, end, ffi.NULL, 0)
        out = ffi.new("uint8_t[]", size or 1)
        lib.fv_deletions_write(self._text, self._items, first, end, out, size)
        return bytes(ffi.buffer(out, size))
