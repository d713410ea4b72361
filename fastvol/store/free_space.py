"""Free space: the minimum to keep, the disk's figures, and the watch over one directory.

The watch is a state machine.  A check asks the file system, waiting at most half a second, because
a dead network mount answers never.  A number of failed checks in a row makes the directory
*unavailable*; as many good ones make it available again.  Until then the last good figures hold.
Independent of that, a directory is *low* once its free space is below the minimum, until there is a
little more than the minimum again: a deletion must not open it for just the next write (upstream
recovers at once).  Sources: ``weed/util/minfreespace.go``, ``weed/stats/disk.go``,
``weed/storage/disk_location.go: CheckDiskSpace``.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.errors import reason_of
from fastvol.limits import (
    DISK_RECOVERY_COEFFICIENT,
    DISK_RECOVERY_MARGIN,
    DISK_STAT_FAILURES_MAX,
    DISK_STAT_SECONDS_MAX,
    MIN_FREE_SPACE_BYTES_MIN,
    MIN_FREE_SPACE_PERCENT_DEFAULT,
)

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_FLOAT: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_SIZE: Final = re.compile(r"([\d.,]+)\s*([a-z]*)", re.IGNORECASE)
_UNITS: Final = {
    "": 1,
    "b": 1,
    **{
        letter + suffix: base**power
        for power, letter in enumerate("kmgtpe", start=1)
        for base, suffixes in ((1000, ("", "b")), (1024, ("i", "ib")))
        for suffix in suffixes
    },
}
_UINT64_MAX: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class MinFreeSpace:
    """The space that a location keeps free: percent of the disk, or bytes when those are given."""

    percent: float | None = MIN_FREE_SPACE_PERCENT_DEFAULT
    bytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> MinFreeSpace:
        """Reads ``1``, ``2.5`` (percent) or ``10GiB``, ``1,000mb`` (bytes).

        :exc:`ValueError` for a percentage outside 0..100, an amount of at most 100 bytes, or
        anything else (ParseMinFreeSpace).
        """
        text = text.strip()
        if _FLOAT.fullmatch(text):
            percent = float(text)
            if not 0 <= percent <= 100:
                raise ValueError(f"{text} is no percentage")
            return cls(percent=percent)
        return cls(percent=None, bytes=_parse_bytes(text))

    def is_low(self, status: DiskStatus) -> bool:
        """Whether the disk has less than the minimum."""
        if self.bytes is not None:
            return status.free < self.bytes
        return status.percent_free < (self.percent or 0)

    def is_recovered(self, status: DiskStatus) -> bool:
        """Whether a disk that was low has enough again: the minimum and a margin."""
        minimum = self.reserved(status)
        margin = min(minimum * DISK_RECOVERY_MARGIN, (status.all - minimum) / 2)
        return status.free >= minimum + max(0, margin)

    def reserved(self, status: DiskStatus) -> int:
        """The minimum on this disk, in bytes."""
        if self.bytes is not None:
            return self.bytes
        return int(status.all * (self.percent or 0) / 100)

    def describe(self, status: DiskStatus) -> str:
        """What is free and what is required, for a log line."""
        if self.bytes is not None:
            return f"{status.free} bytes < required {self.bytes} bytes"
        return f"{status.percent_free:.2f}% < required {self.percent or 0:.2f}%"


def _parse_bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    multiple = _UNITS.get(match[2].lower()) if match else None
    if match is None or multiple is None:
        raise ValueError(f"{text} is no amount of space")
    size = int(float(match[1].replace(",", "")) * multiple)
    if not MIN_FREE_SPACE_BYTES_MIN < size <= _UINT64_MAX:
        raise ValueError(f"{text} is out of range")
    return size


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """Figures of one data directory, in bytes and percent; ``error`` when there are none."""

    dir: str
    all: int = 0
    used: int = 0
    free: int = 0
    percent_free: float = 0.0
    percent_used: float = 0.0
    disk_type: str = ""
    error: str = ""


def disk_status(directory: Path, disk_type: str = "") -> DiskStatus:
    """Asks the file system, without a time limit (NewDiskStatus)."""
    try:
        figures = os.statvfs(directory)
    except OSError as error:
        return DiskStatus(str(directory), disk_type=disk_type, error=reason_of(error))
    total = figures.f_blocks * figures.f_frsize
    free = figures.f_bavail * figures.f_frsize
    used = total - free
    return DiskStatus(
        dir=str(directory),
        all=total,
        used=used,
        free=free,
        percent_free=_float32(100 * free / total) if total else 0.0,
        percent_used=_float32(100 * used / total) if total else 0.0,
        disk_type=disk_type,
    )


def _float32(value: float) -> float:
    """The wire carries single precision; /status prints what that leaves."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


class _TimedStatus:
    """One question to the file system at a time, on a thread that may hang without harm."""

    def __init__(self, directory: Path, disk_type: str) -> None:
        self._directory = directory
        self._disk_type = disk_type
        self._answered = threading.Event()
        self._answered.set()
        self._answer: DiskStatus | None = None

    def ask(self, seconds: float) -> DiskStatus | None:
        """The figures, or None when there are none within the time."""
        if self._answered.is_set():
            self._answered.clear()
            threading.Thread(target=self._run, name="statfs", daemon=True).start()
        if not self._answered.wait(seconds):
            return None
        answer = self._answer
        return None if answer is None or answer.error else answer

    def _run(self) -> None:
        try:
            self._answer = disk_status(self._directory, self._disk_type)
        finally:
            self._answered.set()


class SpaceWatch:
    """The state of one directory's disk.  ``check`` is called by one thread at a time."""

    def __init__(self, directory: Path, disk_type: str, minimum: MinFreeSpace) -> None:
        self._directory = directory
        self._minimum = minimum
        self._timed = _TimedStatus(directory, disk_type)
        self._failures = 0
        self._successes = 0
        self.status = DiskStatus(str(directory), disk_type=disk_type)
        """The last good figures."""
        self.low = False
        self.unavailable = False

    @property
    def available_bytes(self) -> int:
        """What may still be written before the minimum is reached."""
        return max(0, self.status.free - self._minimum.reserved(self.status))

    def check(self) -> bool:
        """Looks once; True when ``low`` changed."""
        status = self._timed.ask(DISK_STAT_SECONDS_MAX)
        if status is None:
            self._note_failure()
            return False
        self._note_success()
        self.status = status
        was_low = self.low
        self.low = self._minimum.is_low(status) or (
            was_low and not self._minimum.is_recovered(status)
        )
        if self._minimum.is_low(status):
            log.warning("dir %s disk free %s", self._directory, self._minimum.describe(status))
        elif self.low:
            log.warning("dir %s has hardly more free space than its minimum", self._directory)
        return self.low != was_low

    def _note_failure(self) -> None:
        self._successes = 0
        self._failures += 1
        log.warning("dir %s: the file system does not answer", self._directory)
        if self._failures >= DISK_STAT_FAILURES_MAX and not self.unavailable:
            self.unavailable = True
            log.error(
                "dir %s is unavailable after %d failed checks", self._directory, self._failures
            )

    def _note_success(self) -> None:
        if self.unavailable:
            self._successes += 1
            if self._successes < max(1, self._failures * (1 / DISK_RECOVERY_COEFFICIENT - 1)):
                return
            self.unavailable = False
            log.warning("dir %s is available again", self._directory)
        self._failures = 0
        self._successes = 0
