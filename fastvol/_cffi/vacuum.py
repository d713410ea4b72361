"""Typed face of the C vacuum: copying what is alive into a new data file and its index."""

import os
from dataclasses import dataclass
from enum import IntEnum

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.volume import NativeVolume


class Order(IntEnum):
    """How the new files are sorted."""

    BY_KEY = lib.FV_VACUUM_BY_KEY
    BY_OFFSET = lib.FV_VACUUM_BY_OFFSET


class VacuumFault(IntEnum):
    """Why a step failed."""

    SOURCE = lib.FV_VACUUM_SOURCE_FAILED
    DATA = lib.FV_VACUUM_DATA_FAILED
    INDEX = lib.FV_VACUUM_INDEX_FAILED
    TOO_LARGE = lib.FV_VACUUM_TOO_LARGE
    NO_MEMORY = lib.FV_VACUUM_NO_MEMORY


class VacuumFaultError(Exception):
    """A step failed; ``sys_errno`` is 0 when it is not the operating system that says why."""

    def __init__(self, fault: VacuumFault, sys_errno: int) -> None:
        super().__init__(fault.name)
        self.fault = fault
        self.sys_errno = sys_errno


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """An index entry without a good record; ``offset`` in bytes, ``size`` of the body.

    ``dropped``: the index does not lead to a record.  Otherwise its checksum or a field is wrong.
    """

    needle_id: int
    offset: int
    size: int
    dropped: bool


@dataclass(frozen=True, slots=True)
class VacuumStat:
    """How far it is; counts of records, sizes in bytes.  ``damage`` lists the first few."""

    records: int
    bytes: int
    expired: int
    unreadable: int
    carried: int
    source_offset: int
    dat_size: int
    idx_size: int
    behind: int
    damage: tuple[DamagedRecord, ...]


class NativeVacuum:
    """One vacuum; used by one thread at a time, and keeps the old volume's files open."""

    def __init__(
        self,
        volume: NativeVolume,
        *,
        source_idx_fd: int,
        dat_fd: int,
        idx_fd: int,
        first: int,
        order: Order,
    ) -> None:
        """The descriptors stay the caller's; records of the new data file begin at ``first``.

        Raises:
            MemoryError
        """
        pointer = lib.fv_vacuum_new(volume.pointer, source_idx_fd, dat_fd, idx_fd, first, order)
        if pointer == ffi.NULL:
            raise MemoryError("no memory for a vacuum")
        self._pointer = ffi.gc(pointer, lib.fv_vacuum_free)

    def copy(self, step_bytes: int) -> bool:
        """Copies about so many bytes; whether there is more.

        Raises:
            VacuumFaultError: the new files are of no use.
        """
        return self._more(lib.fv_vacuum_copy(self._pointer, step_bytes))

    def catch_up(self, step_bytes: int) -> bool:
        """Replays what was written and deleted since the start; whether there was more.

        Raises:
            VacuumFaultError: as :meth:`copy`.
        """
        return self._more(lib.fv_vacuum_catch_up(self._pointer, step_bytes))

    def _more(self, code: int) -> bool:
        if code < 0:
            stat = ffi.new("fv_vacuum_stat *")
            lib.fv_vacuum_get_stat(self._pointer, stat)
            raise VacuumFaultError(VacuumFault(code), stat.sys_errno)
        return bool(code == lib.FV_VACUUM_MORE)

    def stat(self) -> VacuumStat:
        """The figures now."""
        stat = ffi.new("fv_vacuum_stat *")
        lib.fv_vacuum_get_stat(self._pointer, stat)
        return VacuumStat(
            records=stat.records,
            bytes=stat.bytes,
            expired=stat.expired,
            unreadable=stat.unreadable,
            carried=stat.carried,
            source_offset=stat.source_offset,
            dat_size=stat.dat_size,
            idx_size=stat.idx_size,
            behind=stat.behind,
            damage=tuple(
                DamagedRecord(one.id, one.offset, one.size, bool(one.dropped))
                for one in stat.damage[0 : stat.damage_count]
            ),
        )


def describe(error: VacuumFaultError) -> str:
    """For people; without the names of the files."""
    words = os.strerror(error.sys_errno).lower() if error.sys_errno else ""
    return {
        VacuumFault.SOURCE: f"reading the old files: {words or 'the index became shorter'}",
        VacuumFault.DATA: f"writing the new data file: {words}",
        VacuumFault.INDEX: f"writing the new index: {words}",
        VacuumFault.TOO_LARGE: "the new data file would exceed what its offsets can address",
        VacuumFault.NO_MEMORY: "out of memory",
    }[error.fault]
