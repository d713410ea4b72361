"""Keeping long work on a disk below a byte rate."""

import time
from collections.abc import Callable


class Throttle:
    """Sleeps so that what was spent since the start stays below the rate.

    Time that was not used is not saved up: after a pause the rate holds from then on.
    """

    def __init__(
        self,
        bytes_per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``bytes_per_second`` 0 means no limit."""
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def spend(self, count: int) -> None:
        """Notes ``count`` bytes of work, and waits until they are within the rate."""
        if self._rate <= 0:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + count / self._rate
        if self._free_at > now:
            self._sleep(self._free_at - now)
