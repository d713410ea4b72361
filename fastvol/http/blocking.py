"""Where a handler works: on the event loop if it need not wait there, else in a thread."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from fastvol.volume.volume import WouldWaitError

_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class RunBlocking(Protocol):
    """Calls a function in a thread."""

    def __call__(self, work: Callable[[], _Result], /) -> Awaitable[_Result]: ...


class Work(Protocol[_Result_co]):
    """What can be tried on the event loop.

    With ``nowait`` it raises :exc:`WouldWaitError`, having changed nothing, when it would wait.
    """

    def __call__(self, *, nowait: bool) -> _Result_co: ...


def here_or_in_thread(
    work: Work[_Result], run_blocking: RunBlocking
) -> _Result | Awaitable[_Result]:
    """The result of ``work(nowait=True)``, or of a new start in a thread."""
    try:
        return work(nowait=True)
    except WouldWaitError:
        return run_blocking(lambda: work(nowait=False))


def only_in_thread(what: str, *, nowait: bool) -> None:
    """What follows keeps whoever does it for long: on the event loop, it is not begun.

    Raises:
        WouldWaitError: only with ``nowait``.
    """
    if nowait:
        raise WouldWaitError(f"{what} computes too much for the event loop")
