"""Where a handler works: on the event loop if it need not wait there, else in a thread."""

from collections.abc import Awaitable, Callable

from fastvol.http.request import Request
from fastvol.http.response import Response
from fastvol.volume.volume import WouldWaitError

RunBlocking = Callable[..., Awaitable[Response]]
"""Calls its first argument with the others in a thread."""


def here_or_in_thread(
    answer: Callable[..., Response], request: Request, run_blocking: RunBlocking
) -> Response | Awaitable[Response]:
    """The answer of ``answer(request, nowait=True)``, or of a new start in a thread.

    ``answer`` must have changed nothing when it raises :exc:`WouldWaitError`.
    """
    try:
        return answer(request, nowait=True)
    except WouldWaitError:
        return run_blocking(answer, request, nowait=False)
