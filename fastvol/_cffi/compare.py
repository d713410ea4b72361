"""Typed face of the comparison of two replicas."""

import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.compact_map import CompactMap

_DIFFERENCES_A_STEP: Final = 128


class Kind(IntEnum):
    """What a needle is in the two replicas; the first that holds."""

    EQUAL = lib.FV_COMPARE_EQUAL
    ONLY_A = lib.FV_COMPARE_ONLY_A
    ONLY_B = lib.FV_COMPARE_ONLY_B
    UNREADABLE = lib.FV_COMPARE_UNREADABLE
    COOKIE = lib.FV_COMPARE_COOKIE
    SIZE = lib.FV_COMPARE_SIZE
    CHECKSUM = lib.FV_COMPARE_CHECKSUM


@dataclass(frozen=True, slots=True)
class Difference:
    """One needle that is not the same.  Pairs are of a and b; sizes are body sizes in bytes.

    ``reasons`` say why a record could not be read, empty when it could.
    """

    kind: Kind
    needle_id: int
    cookies: tuple[int, int]
    sizes: tuple[int, int]
    checksums: tuple[int, int]
    reasons: tuple[str, str]


class NativeComparison:
    """A comparison under way.  Maps and descriptors stay the caller's."""

    def __init__(
        self,
        maps: tuple[CompactMap, CompactMap],
        dat_fds: tuple[int, int],
        versions: tuple[int, int],
    ) -> None:
        """:exc:`MemoryError` when there is none."""
        self._maps = maps
        replicas = ffi.new("fv_replica[2]")
        for at in (0, 1):
            replicas[at].map = maps[at].cdata
            replicas[at].dat_fd = dat_fds[at]
            replicas[at].version = versions[at]
        pointer = lib.fv_compare_new(replicas, replicas + 1)
        if pointer == ffi.NULL:
            raise MemoryError("no memory for a comparison")
        self._pointer = ffi.gc(pointer, lib.fv_compare_free)
        self._out = ffi.new("fv_difference[]", _DIFFERENCES_A_STEP)
        self._count = ffi.new("size_t *")

    def step(self, needles: int, *, describe: bool) -> tuple[bool, list[Difference]]:
        """Compares so many more; whether there are others, and the differences.

        Without ``describe`` these are only counted.
        """
        capacity = _DIFFERENCES_A_STEP if describe else 0
        more = lib.fv_compare_step(self._pointer, needles, self._out, capacity, self._count)
        return bool(more), [_difference(self._out[i]) for i in range(self._count[0])]

    def counts(self) -> dict[Kind, int]:
        """How many needles were of each kind so far."""
        counts = ffi.new("uint64_t[]", lib.FV_COMPARE_KINDS)
        lib.fv_compare_counts(self._pointer, counts)
        return {kind: int(counts[kind]) for kind in Kind}


def _difference(cell: Any) -> Difference:
    return Difference(
        kind=Kind(cell.kind),
        needle_id=cell.id,
        cookies=(cell.cookie[0], cell.cookie[1]),
        sizes=(cell.size[0], cell.size[1]),
        checksums=(cell.checksum[0], cell.checksum[1]),
        reasons=(_reason(cell, 0), _reason(cell, 1)),
    )


def _reason(cell: Any, which: int) -> str:
    code = cell.code[which]
    if code == 0:
        return ""
    if code == lib.FV_IO_ERROR:
        return os.strerror(cell.sys_errno[which]).lower()
    return {
        lib.FV_NEEDLE_SHORT: "the data file ends before its record does",
        lib.FV_NEEDLE_SIZE_MISMATCH: "its record has another size than its row",
        lib.FV_NOT_FOUND: "the record at its place is another needle's",
    }[code]
