"""What the HTTP handlers count by name (weed/stats/metrics_names.go).

Any thread may count. Nothing here knows how the numbers are shown.
"""

from __future__ import annotations

import threading
from enum import StrEnum


class Event(StrEnum):
    """Label ``type`` of ``handler_total``."""

    DOWNLOAD_LIMIT = "downloadLimitCondition"
    UPLOAD_LIMIT = "uploadLimitCondition"
    READ_PROXY = "readProxyRequest"
    READ_REDIRECT = "readRedirectRequest"
    EMPTY_READ_PROXY = "emptyReadProxyLocaction"  # spelled so on dashboards
    FAILED_READ_PROXY = "failedReadProxyRequest"
    SIZE_MISMATCH = "errorSizeMismatch"
    CHECKSUM = "errorCRC"
    INDEX_OUT_OF_RANGE = "errorIndexOutOfRange"
    GET_NOT_FOUND = "errorGetNotFound"
    GET_INTERNAL = "errorGetInternal"
    WRITE_TO_LOCAL_DISK = "errorWriteToLocalDisk"
    WRITE_TO_REPLICAS = "errorWriteToReplicas"
    UNMARSHAL_PAIRS = "errorUnmarshalPairs"
    READ_DELETED = "readDeletedNeedle"


class Total(StrEnum):
    """Counters without labels."""

    READ_FAILURES = "file_read_failures"
    INVALID_NEEDLES = "file_read_invalid_needles"
    WRITE_FAILURES = "file_write_failures"


class Counts:
    """Counters by name; one that was never counted is not there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[Event | Total, int] = {}

    def add(self, *names: Event | Total) -> None:
        """Counts one of each."""
        with self._lock:
            for name in names:
                self._counted[name] = self._counted.get(name, 0) + 1

    def events(self) -> dict[Event, int]:
        """Those of ``handler_total``."""
        with self._lock:
            return {name: n for name, n in self._counted.items() if isinstance(name, Event)}

    def total(self, name: Total) -> int:
        """One of the others, 0 at first."""
        with self._lock:
            return self._counted.get(name, 0)
