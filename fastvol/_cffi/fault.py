"""What the C volume answers when it did not do what was asked."""

import errno
import os
import threading
from typing import Any, Final

from fastvol._cffi._core import lib

NOT_FOUND: Final[int] = lib.FV_NOT_FOUND
DELETED: Final[int] = lib.FV_DELETED
COLD: Final[int] = lib.FV_COLD
IO_ERROR: Final[int] = lib.FV_IO_ERROR
CLOSED: Final[int] = lib.FV_CLOSED
BAD_COOKIE: Final[int] = lib.FV_BAD_COOKIE
OVERFLOW: Final[int] = lib.FV_OVERFLOW
NO_MEMORY: Final[int] = lib.FV_NO_MEMORY
BUSY: Final[int] = lib.FV_BUSY
READ_ONLY: Final[int] = lib.FV_READ_ONLY
BAD_META: Final[int] = lib.FV_BAD_META
WRONG_ID: Final[int] = lib.FV_WRONG_ID
BAD_NEEDLE: Final[int] = lib.FV_BAD_NEEDLE
SHORT: Final[int] = lib.FV_NEEDLE_SHORT
SIZE_MISMATCH: Final[int] = lib.FV_NEEDLE_SIZE_MISMATCH
OUT_OF_RANGE: Final[int] = lib.FV_NEEDLE_OUT_OF_RANGE
BAD_CRC: Final[int] = lib.FV_NEEDLE_BAD_CRC


class _IoErrors:
    """How often a device failed a read or a write; any thread counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self) -> None:
        with self._lock:
            self._count += 1

    def count(self) -> int:
        return self._count


_io_errors: Final = _IoErrors()


def io_error_count() -> int:
    """EIO answers since the start, of all volumes (weed/stats: storage_io_error_total)."""
    return _io_errors.count()


class NativeFaultError(Exception):
    """A C call did not give what was asked; ``code`` is one of the constants above.

    The caller knows the volume and the needle and turns this into an error of the tree.
    """

    def __init__(
        self,
        code: int,
        *,
        sys_errno: int = 0,
        part: int = 0,
        found_id: int = 0,
        found_size: int = 0,
        computed: int = 0,
        stored: int = 0,
        offset: int = 0,
        got: int = 0,
        limit: int = 0,
        size: int = 0,
        on_index: bool = False,
        on_read: bool = False,
        on_map: bool = False,
        rollback_failed: bool = False,
    ) -> None:
        super().__init__(code)
        if sys_errno == errno.EIO:
            _io_errors.add()
        self.code = code
        self.sys_errno = sys_errno
        self.part = part
        self.found_id = found_id
        self.found_size = found_size
        self.computed = computed
        self.stored = stored
        self.offset = offset
        self.got = got
        self.limit = limit
        self.size = size
        self.on_index = on_index
        self.on_read = on_read
        self.on_map = on_map
        self.rollback_failed = rollback_failed

    @property
    def os_text(self) -> str:
        """The operating system's words for ``sys_errno``, as Go prints them (lower case)."""
        number = errno.ENOMEM if self.code == NO_MEMORY else self.sys_errno or errno.EIO
        return os.strerror(number).lower()


def read_fault(code: int, read: Any) -> NativeFaultError:
    """What an ``fv_read`` says about a failed read."""
    return needle_fault(
        code,
        read.fault,
        sys_errno=read.sys_errno,
        offset=read.offset,
        got=read.got,
        on_map=bool(read.failed_on_map),
    )


def needle_fault(code: int, found: Any, **more: Any) -> NativeFaultError:
    """What an ``fv_fault`` says of a record, with what else is known."""
    return NativeFaultError(
        code,
        part=found.part,
        found_id=found.found_id,
        found_size=found.found_size,
        computed=found.computed,
        stored=found.stored,
        **more,
    )


def write_fault(code: int, out: Any) -> NativeFaultError:
    """What an ``fv_write_result`` says about a failed write or delete."""
    return NativeFaultError(
        code,
        sys_errno=out.sys_errno,
        offset=out.offset,
        limit=out.limit,
        size=out.size,
        on_index=bool(out.failed_on_index),
        on_read=bool(out.failed_on_read),
        on_map=bool(out.failed_on_map),
        rollback_failed=bool(out.rollback_failed),
    )
