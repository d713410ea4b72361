"""Typed face of the messages of bulk streams: many records with one call."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.visit import RecordBatch
from fastvol._cffi.volume import NativeVolume

_BUFFER_BYTES: Final = 1 << 20


class MessageBuilder:
    """Makes messages of the records of one file; not for several threads.

    ``damaged`` counts the live needles that were left out, ``damaged_id`` is the last one's.
    """

    def __init__(self, dat_fd: int) -> None:
        self.damaged = 0
        self.damaged_id = 0
        self._dat_fd = dat_fd
        self._capacity = _BUFFER_BYTES
        self._out: Any = ffi.new("uint8_t[]", self._capacity)
        self._result = ffi.new("fv_messages_result *")

    def live(self, volume: NativeVolume, volume_id: int, batch: RecordBatch) -> Iterator[bytes]:
        """ReadAllNeedlesResponses of the records to which the map of ``volume`` leads.

        Raises:
            NativeFaultError: ``SHORT`` and ``IO_ERROR``; ``on_map`` when the map cannot be asked.
        """
        pointer = volume.pointer

        def make(records: Any, count: int, ends: Any) -> None:
            lib.fv_messages_live(
                pointer,
                self._dat_fd,
                volume_id,
                records,
                count,
                self._out,
                self._capacity,
                ends,
                self._result,
            )

        yield from self._all(make, batch)

    def tail(self, version: int, batch: RecordBatch) -> Iterator[bytes]:
        """VolumeTailSenderResponses of all records, each in one piece.

        Raises:
            NativeFaultError: ``SHORT`` and ``IO_ERROR``.
        """

        def make(records: Any, count: int, ends: Any) -> None:
            lib.fv_messages_tail(
                self._dat_fd,
                version,
                records,
                count,
                self._out,
                self._capacity,
                ends,
                self._result,
            )

        yield from self._all(make, batch)

    def _all(self, make: Callable[[Any, int, Any], None], batch: RecordBatch) -> Iterator[bytes]:
        ends = ffi.new("uint32_t[]", max(1, batch.count))
        result = self._result
        at = 0
        while at < batch.count:
            make(batch.cdata + at, batch.count - at, ends)
            made = memoryview(ffi.buffer(self._out, ends[result.count - 1] if result.count else 0))
            start = 0
            for number in range(result.count):
                yield bytes(made[start : ends[number]])
                start = ends[number]
            at += result.used
            self.damaged += result.damaged
            self.damaged_id = result.damaged_id or self.damaged_id
            if result.code == lib.FV_MESSAGES_LARGE:
                self._capacity = result.needed
                self._out = ffi.new("uint8_t[]", self._capacity)
            elif result.code:
                raise NativeFaultError(
                    result.code, sys_errno=result.sys_errno, on_map=bool(result.failed_on_map)
                )


def newest_append_ns(batch: RecordBatch) -> int:
    """The youngest append time of a batch, 0 for an empty one."""
    return int(lib.fv_records_newest(batch.cdata, batch.count))
