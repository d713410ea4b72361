"""Holding background work to so many bytes per second."""

import time
from collections.abc import Callable


class Throttle:
    """Sleeps whenever more was spent than the time since the last pause allows.

    A worker that was slower than its rate for a while may not catch up with a burst.  Not for
    several threads.
    """

    def __init__(
        self,
        bytes_per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """``bytes_per_second`` 0 or less means no limit."""
        self.bytes_per_second = max(0, bytes_per_second)
        self._clock = clock
        self._sleep = sleep
        self._paid_until = clock()

    def spend(self, n_bytes: int) -> None:
        """Accounts for work done, and waits until it was allowed to be done."""
        seconds = self.due(n_bytes)
        if seconds > 0:
            self._sleep(seconds)

    def due(self, n_bytes: int) -> float:
        """The same for who waits by other means: seconds to be waited, 0 for none."""
        if not self.bytes_per_second or n_bytes <= 0:
            return 0.0
        now = self._clock()
        cost = n_bytes / self.bytes_per_second
        # What was not used up to now is gone, except for the time that this work itself took.
        self._paid_until = max(self._paid_until + cost, now)
        return self._paid_until - now
