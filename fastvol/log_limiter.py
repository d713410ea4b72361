"""Log lines about requests: an error that hits each of them must not write a line for each.

A disk that fails, fails every read; at full load the lines would fill the disk that is left, and cost
more than the requests. So the first line of a kind is written at once, and further ones at most once
in a while, with how many were left out in between.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from fastvol.limits import LOG_REPEAT_KINDS_MAX, LOG_REPEAT_SECONDS

_ALL_OTHERS: Final = object()
_CALLER: Final = 3
"""Frames from here up to whoever asked for the line, whose place is to be in it."""


@dataclass(slots=True)
class _Kind:
    quiet_until: float
    left_out: int = 0


class LogLimiter:
    """Writes to a logger; any thread may use it at any time.

    Lines are of the same ``kind`` when one may stand for the others: those about one volume, say.
    """

    def __init__(
        self,
        log: logging.Logger,
        *,
        seconds: float = LOG_REPEAT_SECONDS,
        kinds_max: int = LOG_REPEAT_KINDS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``seconds`` without a further line of a kind; beyond ``kinds_max`` all others are one."""
        self._log = log
        self._seconds = seconds
        self._kinds_max = kinds_max
        self._clock = clock
        # A finalizer may run, and log, wherever memory is taken.
        self._lock = threading.RLock()
        self._kinds: dict[Hashable, _Kind] = {}

    def warning(self, kind: Hashable, message: str, *args: Any, exc_info: Any = None) -> None:
        """As ``Logger.warning``, but for lines that are left out."""
        self._write(logging.WARNING, kind, message, args, exc_info)

    def error(self, kind: Hashable, message: str, *args: Any, exc_info: Any = None) -> None:
        """As ``Logger.error``, but for lines that are left out."""
        self._write(logging.ERROR, kind, message, args, exc_info)

    def _write(
        self, level: int, kind: Hashable, message: str, args: tuple[Any, ...], exc_info: Any
    ) -> None:
        left_out = self._admit(kind)
        if left_out is None:
            return
        if left_out:
            message += " (%d more since the last such line)"
            args = (*args, left_out)
        self._log.log(level, message, *args, exc_info=exc_info, stacklevel=_CALLER)

    def _admit(self, kind: Hashable) -> int | None:
        """How many were left out since the last line of this kind; None: so is this one."""
        now = self._clock()
        with self._lock:
            if kind not in self._kinds and len(self._kinds) >= self._kinds_max:
                self._forget(now)
                if len(self._kinds) >= self._kinds_max:
                    kind = _ALL_OTHERS
            known = self._kinds.get(kind)
            if known is not None and now < known.quiet_until:
                known.left_out += 1
                return None
            self._kinds[kind] = _Kind(now + self._seconds)
            return known.left_out if known is not None else 0

    def _forget(self, now: float) -> None:
        for kind, known in list(self._kinds.items()):
            if known.quiet_until <= now:
                del self._kinds[kind]
