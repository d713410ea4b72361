"""Long work that must not be felt: a thread of its own, which gives way to every other one.

A thread that lowered its priority may not be allowed to raise it again, so it cannot be one of a
pool.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from fastvol.limits import BACKGROUND_NICENESS

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class _Work(Generic[Result]):
    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self.result: Result
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            # On Linux both are the thread's, not the process's. As a batch thread it does not
            # preempt others when it wakes up.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)
        except OSError as error:
            log.debug("background work runs at full priority: %s", error)
        try:
            self.result = self._work()
        except BaseException as error:  # raised again where it is waited for
            self.error = error


def in_background(name: str, work: Callable[[], Result]) -> Result:
    """Runs ``work`` on a low-priority thread and waits for it; raises what it raises."""
    one = _Work(work)
    thread = threading.Thread(target=one.run, name=name, daemon=True)
    thread.start()
    thread.join()
    if one.error is not None:
        raise one.error
    return one.result
