"""Work on threads that must not be left alone when its caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(work: Callable[..., T], *arguments: object) -> T:
    """Runs ``work`` on a thread and returns, or passes a cancellation on, only when it has ended.

    For work with a descriptor, a lock or a file that whoever waits takes away next.
    """
    # Not a task: the end of the loop cancels every task, and a thread cannot be.
    running = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    left: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError as error:
            left = error
    if left is not None:
        running.exception()  # nobody is there to be told
        raise left
    return running.result()


@asynccontextmanager
async def on_threads(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A context whose ends may wait for locks; what was entered is left, whoever leaves when."""
    try:
        value = await to_the_end(context.__enter__)
    except asyncio.CancelledError:
        await to_the_end(context.__exit__, None, None, None)
        raise
    try:
        yield value
    finally:
        await to_the_end(context.__exit__, None, None, None)
