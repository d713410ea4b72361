"""Long work that must not be felt: a thread of its own, which gives way to every other one."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from fastvol.limits import BACKGROUND_NICENESS

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


def _give_way() -> None:
    try:
        # On Linux both are the thread's, not the process's. As a batch thread it does not preempt
        # others when it wakes up.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)
    except OSError as error:
        log.debug("background work runs at full priority: %s", error)


def in_background(name: str, work: Callable[[], _Result]) -> _Result:
    """Runs ``work`` on a low-priority thread and waits for it; raises what it raises."""
    outcome: Future[_Result] = Future()

    def run() -> None:
        _give_way()
        try:
            outcome.set_result(work())
        except BaseException as error:  # raised again where it is waited for
            outcome.set_exception(error)

    # A thread of its own: one of a pool may not be allowed to raise its priority again, and an
    # executor takes nothing once the interpreter's main thread has ended.
    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome.result()
