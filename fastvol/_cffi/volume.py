"""Typed face of the C volume: one open data file with its index log and map.

Everything here may be called from any thread; reads never wait for a writer's I/O.

The C volume is reference counted, and each :class:`NativeVolume` owns one reference.  It is given
back when the last Python reference to the pointer goes, and a call under way holds one: releasing
while another thread is inside a call is safe.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.fault import (
    BAD_NEEDLE,
    IO_ERROR,
    NOT_FOUND,
    NativeFaultError,
    read_fault,
    write_fault,
)
from fastvol._cffi.needle import set_bytes
from fastvol._cffi.needle_map import MapEntry, NeedleCounters, NeedleMap

NO_WRITE: Final[int] = lib.FV_VOLUME_NO_WRITE
NO_DELETE: Final[int] = lib.FV_VOLUME_NO_DELETE
NO_FAST_READ: Final[int] = lib.FV_VOLUME_NO_FAST_READ
REPLICATED: Final[int] = lib.FV_VOLUME_REPLICATED

_FIELD_BYTES_MAX: Final = 2**31 - 1
_SCAN_ENTRIES: Final = 1024


@dataclass(frozen=True, slots=True)
class VolumeStat:
    """Counters and positions of a volume at one moment; byte counts are in bytes."""

    dat_size: int
    idx_size: int
    last_append_ns: int
    modified_second: int
    last_modified_second: int
    file_count: int
    deleted_count: int
    content_size: int
    deleted_size: int
    max_file_key: int
    max_end: int
    map_memory: int
    map_count: int


@dataclass(slots=True)
class NativeNeedle:
    """A needle as read: fields as in the record; ``data`` is empty when ``meta_only``."""

    id: int
    cookie: int
    size: int
    checksum: int
    data_size: int
    flags: int
    name: bytes
    mime: bytes
    pairs: bytes
    ttl: bytes
    last_modified: int
    append_at_ns: int
    data: bytes
    data_offset: int
    record_offset: int
    meta_only: bool


@dataclass(frozen=True, slots=True)
class NativeWrite:
    """What a write or a delete did; ``offset`` and sizes in bytes."""

    offset: int
    size: int
    unchanged: bool
    old_data_size: int
    append_at_ns: int


def _bytes_of(pointer: Any, length: int) -> bytes:
    return bytes(ffi.buffer(pointer, length)) if length else b""


class NativeVolume:
    """Owns one reference to a C volume; :meth:`release` gives it back."""

    __slots__ = ("_map", "_pointer", "elsewhere")

    def __init__(
        self,
        *,
        volume_id: int,
        version: int,
        offset_width: int,
        dat_fd: int,
        idx_fd: int,
        dat_size: int,
        idx_size: int,
        last_append_ns: int,
        modified_second: int,
        last_modified_second: int,
        ttl: bytes,
        needle_map: NeedleMap,
        counters: NeedleCounters,
        elsewhere: Any = None,
    ) -> None:
        """Takes over both descriptors and the map; ``idx_fd`` -1 means a read-only index.

        ``elsewhere``: where the data is, if not in ``dat_fd``, which is an empty file then; deletions
        write rows only.  Kept for whoever reads it, not looked at.

        Raises:
            MemoryError: the descriptors are closed and the map is void then, too.
            OverflowError, ValueError: an argument is out of range; nothing was taken over.
        """
        spec = ffi.new("fv_volume_spec *")
        spec.id = volume_id
        spec.version = version
        spec.offset_width = offset_width
        spec.dat_fd = dat_fd
        spec.idx_fd = idx_fd
        spec.dat_size = dat_size
        spec.idx_size = idx_size
        spec.last_append_ns = last_append_ns
        spec.modified_second = modified_second
        spec.last_modified_second = last_modified_second
        spec.ttl[0], spec.ttl[1] = ttl
        spec.dat_is_elsewhere = elsewhere is not None
        pointer = lib.fv_volume_new(spec, needle_map.detach(), counters.cdata)
        if pointer == ffi.NULL:
            raise MemoryError(f"no memory for volume {volume_id}")
        self._pointer = ffi.gc(pointer, lib.fv_volume_unref)
        self._map: NeedleMap | None = needle_map
        self.elsewhere = elsewhere

    def share(self) -> "NativeVolume":
        """A second reference, to be released on its own: the files stay open for it."""
        twin = object.__new__(NativeVolume)
        twin._pointer = ffi.gc(lib.fv_volume_ref(self._pointer), lib.fv_volume_unref)
        twin.elsewhere = self.elsewhere
        twin._map = None  # whoever only sends bytes needs none
        return twin

    @property
    def pointer(self) -> Any:
        """The C object, for the fast read's table; None after :meth:`release`."""
        return self._pointer

    def release(self) -> None:
        """Gives the reference back; files close when the last reader is done.

        Any other method raises TypeError afterwards.
        """
        self._pointer = None

    def stat(self) -> VolumeStat:
        """A consistent copy of the counters."""
        stat = ffi.new("fv_volume_stat *")
        lib.fv_volume_get_stat(self._pointer, stat)
        counters = stat.counters
        return VolumeStat(
            dat_size=stat.dat_size,
            idx_size=stat.idx_size,
            last_append_ns=stat.last_append_ns,
            modified_second=stat.modified_second,
            last_modified_second=stat.last_modified_second,
            file_count=counters.file_count,
            deleted_count=counters.deletion_count,
            content_size=counters.file_bytes,
            deleted_size=counters.deletion_bytes,
            max_file_key=counters.max_key,
            max_end=counters.max_end,
            map_memory=stat.map_memory,
            map_count=stat.map_count,
        )

    def set_flags(self, flags: int) -> None:
        """Replaces the flags (``NO_WRITE``, ``NO_DELETE``, ``NO_FAST_READ``).

        Waits for an append under way: what the new flags forbid does not happen after the return.
        """
        lib.fv_volume_set_flags(self._pointer, flags)

    def seal(self) -> None:
        """Ends all appends for good, after the one under way; later ones raise ``CLOSED``."""
        lib.fv_volume_seal(self._pointer)

    def reserve_for_deletes(self) -> None:
        """Reserves a little room, so that a disk which fills up still takes deletions."""
        lib.fv_volume_reserve_for_deletes(self._pointer)

    def pause(self) -> None:
        """Keeps appends waiting, after the one under way, until :meth:`resume` or :meth:`seal`."""
        lib.fv_volume_pause(self._pointer)

    def resume(self) -> None:
        """Lets appends go on."""
        lib.fv_volume_resume(self._pointer)

    @property
    def map_takes_writes(self) -> bool:
        """Whether its map takes more than deletions."""
        return self._map is None or self._map.takes_writes

    def retire_map(self) -> None:
        """Frees the map's files for another map, before this volume's files are opened anew.

        Its answers stay what they are.
        """
        if self._map is not None:
            self._map.retire()

    def close_map(self, *, durable: bool) -> None:
        """Closes the map after the last append; look-ups raise ``CLOSED`` from then on.

        A map in memory stays.  ``durable``: :meth:`sync` was called after that append.
        """
        if self._map is not None:
            self._map.close(durable=durable)

    def find(self, needle_id: int, *, nowait: bool = False) -> MapEntry | None:
        """The map's entry, deleted ones included.

        Raises:
            NativeFaultError: ``IO_ERROR`` with ``on_map``, ``NO_MEMORY``, ``CLOSED``; ``COLD`` only
            with ``nowait``.
        """
        entry = ffi.new("fv_entry *")
        sys_errno = ffi.new("int *")
        code = lib.fv_volume_find(self._pointer, needle_id, nowait, entry, sys_errno)
        if code == NOT_FOUND:
            return None
        if code != 0:
            raise NativeFaultError(code, sys_errno=sys_errno[0], on_map=code == IO_ERROR)
        return MapEntry(entry.id, entry.offset, entry.size)

    def live_ids(self) -> Iterator[int]:
        """Ids of the needles that are not deleted, ascending; writers may run meanwhile.

        Raises:
            NativeFaultError: ``IO_ERROR`` with ``on_map``.
        """
        batch = ffi.new("fv_entry[]", _SCAN_ENTRIES)
        pointer = self._pointer  # keeps the volume, and so its map, alive
        first = 0
        while True:
            count = lib.fv_map_scan(lib.fv_volume_map(pointer), first, batch, _SCAN_ENTRIES)
            if count < 0:
                raise NativeFaultError(IO_ERROR, sys_errno=-count, on_map=True)
            yield from (batch[i].id for i in range(count) if batch[i].size >= 0)
            if count < _SCAN_ENTRIES or batch[count - 1].id == 2**64 - 1:
                return
            first = batch[count - 1].id + 1

    def has_live_empty_file(self) -> bool:
        """Whether some live entry has no payload.

        Raises:
            NativeFaultError: ``IO_ERROR`` with ``on_map``.
        """
        found = lib.fv_volume_has_live_empty_file(self._pointer)
        if found < 0:
            raise NativeFaultError(IO_ERROR, sys_errno=-found, on_map=True)
        return bool(found)

    def dat_fd(self) -> int:
        """Descriptor of the data file, valid as long as this reference is."""
        return int(lib.fv_volume_dat_fd(self._pointer))

    def read(
        self, entry: MapEntry, *, deleted: bool = False, meta: bool = False, nowait: bool = False
    ) -> NativeNeedle:
        """Reads the needle of an entry that :meth:`find` gave, its checksum checked unless ``meta``.

        Raises:
            NativeFaultError: any failure; ``COLD`` only with ``nowait``.
        """
        mode = (
            (lib.FV_READ_DELETED if deleted else 0)
            | (lib.FV_READ_META if meta else 0)
            | (lib.FV_READ_NOWAIT if nowait else 0)
        )
        read = ffi.new("fv_read *")
        found = ffi.new("fv_entry *", tuple(entry))
        code = lib.fv_volume_read_entry(self._pointer, found, mode, read)
        try:
            if code != 0:
                raise read_fault(code, read)
            needle = read.needle
            return NativeNeedle(
                id=needle.id,
                cookie=needle.cookie,
                size=needle.size,
                checksum=needle.checksum,
                data_size=needle.data_size,
                flags=needle.flags,
                name=_bytes_of(needle.name, needle.name_size),
                mime=_bytes_of(needle.mime, needle.mime_size),
                pairs=_bytes_of(needle.pairs, needle.pairs_size),
                ttl=bytes((needle.ttl[0], needle.ttl[1])),
                last_modified=needle.last_modified,
                append_at_ns=needle.append_at_ns,
                data=b"" if read.meta_only else _bytes_of(needle.data, needle.data_size),
                data_offset=read.data_offset,
                record_offset=read.offset,
                meta_only=bool(read.meta_only),
            )
        finally:
            lib.fv_read_release(read)

    def verify(self, data_offset: int, data_size: int, stored: int, *, nowait: bool = False) -> int:
        """Checks a payload in place and returns its raw checksum.

        Raises:
            NativeFaultError: ``BAD_CRC``, ``IO_ERROR``; ``COLD`` only with ``nowait``.
        """
        fault = ffi.new("fv_fault *")
        code = lib.fv_volume_verify(self._pointer, data_offset, data_size, stored, nowait, fault)
        if code != 0:
            raise NativeFaultError(code, computed=fault.computed, stored=fault.stored)
        return int(fault.computed)

    def write(
        self,
        *,
        needle_id: int,
        cookie: int,
        data: bytes | bytearray | memoryview,
        checksum: int,
        flags: int,
        name: bytes,
        mime: bytes,
        pairs: bytes,
        last_modified: int,
        ttl: bytes,
        check_cookie: bool,
        nowait: bool = False,
    ) -> NativeWrite:
        """Appends one needle; nothing stays behind after a failure.

        Raises:
            NativeFaultError: ``BUSY`` and ``COLD`` only with ``nowait``.
        """
        if max(len(data), len(name), len(mime), len(pairs)) > _FIELD_BYTES_MAX:
            raise NativeFaultError(BAD_NEEDLE)
        needle = ffi.new("fv_needle *")
        needle.id = needle_id
        needle.cookie = cookie
        needle.checksum = checksum
        keep_alive = []
        if len(data):  # a record without a payload has no other field either
            keep_alive = set_bytes(needle, data=data, name=name, mime=mime, pairs=pairs)
            needle.flags = flags
            needle.ttl[0], needle.ttl[1] = ttl
        needle.last_modified = last_modified
        out = ffi.new("fv_write_result *")
        code = lib.fv_volume_write(self._pointer, needle, check_cookie, nowait, out)
        del keep_alive
        if code != 0:
            raise write_fault(code, out)
        return self._write_result(out)

    def append_record(self, needle_id: int, record: bytes | memoryview) -> NativeWrite:
        """Appends a whole record under an id; only its own id and its append time are replaced.

        Raises:
            NativeFaultError: ``BAD_NEEDLE`` when its length is not that of its size.
        """
        out = ffi.new("fv_write_result *")
        source = ffi.from_buffer("uint8_t[]", record)
        if len(source) < lib.FV_NEEDLE_HEADER:
            raise NativeFaultError(BAD_NEEDLE)
        code = lib.fv_volume_append_record(self._pointer, needle_id, source, len(source), out)
        if code != 0:
            raise write_fault(code, out)
        return self._write_result(out)

    def delete(
        self,
        needle_id: int,
        cookie: int,
        checksum: int,
        *,
        always: bool = False,
        nowait: bool = False,
    ) -> NativeWrite:
        """Appends a tombstone; ``size`` 0 when there was nothing to delete.

        Nothing is appended then, unless ``always``; that is refused where writes are.

        Raises:
            NativeFaultError: as :meth:`write`.
        """
        out = ffi.new("fv_write_result *")
        code = lib.fv_volume_delete(self._pointer, needle_id, cookie, checksum, always, nowait, out)
        if code != 0:
            raise write_fault(code, out)
        return self._write_result(out)

    def sync(self) -> None:
        """Makes everything appended so far durable: data, then index.

        Raises:
            NativeFaultError: ``IO_ERROR`` with ``on_index`` telling which file.
        """
        on_index = ffi.new("int *")
        code = lib.fv_volume_sync(self._pointer, on_index)
        if code != 0:
            raise NativeFaultError(IO_ERROR, sys_errno=-code, on_index=bool(on_index[0]))

    @staticmethod
    def _write_result(out: Any) -> NativeWrite:
        return NativeWrite(
            offset=out.offset,
            size=out.size,
            unchanged=bool(out.unchanged),
            old_data_size=out.old_data_size,
            append_at_ns=out.append_at_ns,
        )


def reserve(fd: int, size: int) -> None:
    """Reserves ``size`` bytes of blocks without growing the file, where the file system can."""
    lib.fv_reserve(fd, size)


def write_behind(fd: int, offset: int, length: int) -> None:
    """Begins to write a range to the disk without waiting, so that a later sync has less to do."""
    lib.fv_write_behind(fd, offset, length)
