"""Needle maps that are kept in Python, for C volumes.

The C core calls the functions of a :class:`ForeignMap`, from any thread, without the GIL until the
call is in Python.  What a function raises becomes an errno there: an error is an error of the
needle, never "not found".
"""

import errno
import logging
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.needle_map import MapEntry, NeedleMap
from fastvol.errors import VolumeClosedError
from fastvol.log_limiter import LogLimiter

log = logging.getLogger(__name__)
_per_call = LogLimiter(log)

Function = TypeVar("Function", bound=Callable[..., int | None])

# Taken again when a collection under it frees a map that nobody closed.
_alive_lock = threading.RLock()
_alive: dict[int, tuple[Any, "ForeignMap"]] = {}
"""Keeps handles and maps as long as C may call them: by the handle's address."""


class ForeignMap(NeedleMap):
    """To be derived from; the five functions below are called while the map is in use by C.

    They may raise :exc:`OSError`, :exc:`MemoryError`, :exc:`VolumeClosedError`; anything else is
    logged and becomes an I/O error.
    """

    __slots__ = ()

    def __init__(self, count: int, memory_bytes: int) -> None:
        """``count`` and ``memory_bytes`` are what the map will say of itself.

        :meth:`freed` is called even when this raises :exc:`MemoryError`.
        """
        handle = ffi.new_handle(self)
        with _alive_lock:
            _alive[_address(handle)] = (handle, self)
        super().__init__(lib.fv_map_new_foreign(_CALLS, handle, count, memory_bytes))

    @abstractmethod
    def find_entry(self, needle_id: int) -> tuple[int, int] | None:
        """(offset in units of 8 bytes, size) or None."""

    @abstractmethod
    def put_entry(self, needle_id: int, offset: int, size: int) -> None:
        """Sets an entry."""

    @abstractmethod
    def remove_entry(self, needle_id: int) -> bool:
        """Takes an entry out; whether it was there."""

    @abstractmethod
    def scan_entries(self, first: int, limit: int) -> list[MapEntry]:
        """Up to ``limit`` entries with id >= ``first``, ascending; fewer are the last ones."""

    @abstractmethod
    def freed(self) -> None:
        """C is done with it; called once, by any thread."""


def _address(handle: Any) -> int:
    return int(ffi.cast("uintptr_t", handle))


def _errno_of(_: type[BaseException], error: BaseException, __: TracebackType) -> int:
    if isinstance(error, VolumeClosedError):
        return -errno.ESHUTDOWN
    if isinstance(error, MemoryError):
        return -errno.ENOMEM
    if isinstance(error, OSError):
        return -(error.errno or errno.EIO)
    _per_call.error(type(error).__name__, "needle map: %r", error, exc_info=error)
    return -errno.EIO


# Whatever is raised has to pass through C: it comes out of the call as what _errno_of makes of it.
_called_by_c: Callable[[Function], Function] = ffi.def_extern(error=-errno.EIO, onerror=_errno_of)


@_called_by_c
def fastvol_map_find(handle: Any, needle_id: int, out: Any) -> int:
    """See ``foreign_map.h``, as for those below."""
    found = ffi.from_handle(handle).find_entry(needle_id)
    if found is None:
        return 0
    out.id = needle_id
    out.offset, out.size = found
    return 1


@_called_by_c
def fastvol_map_set(handle: Any, needle_id: int, offset: int, size: int) -> int:
    """Sets one entry."""
    ffi.from_handle(handle).put_entry(needle_id, offset, size)
    return 0


@_called_by_c
def fastvol_map_remove(handle: Any, needle_id: int) -> int:
    """Takes one entry out."""
    return int(ffi.from_handle(handle).remove_entry(needle_id))


@_called_by_c
def fastvol_map_scan(handle: Any, first: int, out: Any, capacity: int) -> int:
    """Copies entries out."""
    found = ffi.from_handle(handle).scan_entries(first, capacity)
    for i, (needle_id, offset, size) in enumerate(found):
        cell = out[i]
        cell.id = needle_id
        cell.offset = offset
        cell.size = size
    return len(found)


def _failed_to_close(_: type[BaseException], error: BaseException, __: TracebackType) -> None:
    log.error("closing a needle map: %r", error)


_freed_by_c: Callable[[Function], Function] = ffi.def_extern(onerror=_failed_to_close)


@_freed_by_c
def fastvol_map_free(handle: Any, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """The C map is gone."""
    if is_finalizing():
        return  # this module's names are gone, too
    with _alive_lock:
        _, gone = _alive.pop(_address(handle))
    gone.freed()


_CALLS = ffi.new(
    "fv_foreign_calls *",
    {
        "find": lib.fastvol_map_find,
        "set": lib.fastvol_map_set,
        "remove": lib.fastvol_map_remove,
        "scan": lib.fastvol_map_scan,
        "free": lib.fastvol_map_free,
    },
)
