"""Bytes in flight, and who waits while there are too many (weed/server/volume_server_handlers.go:
checkDownloadLimit, waitForUploadSlot).

Theory of operation
-------------------
A request counts from the moment its size is known until its connection is through with it, which is
after the last byte has left. Whoever finds more in flight than the limit waits, first come first
served, until that is no longer so or its time is up. Nothing is reserved for those who may go on, so
that one object larger than the limit always gets through an idle server; several may pass together.

Everything here belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from fastvol.errors import ClientGoneError
from fastvol.limits import HTTP_GONE_POLL_SECONDS

if TYPE_CHECKING:
    from fastvol.http.request import Request


class Throttle:
    """Bytes of one direction."""

    def __init__(self, limit: int, wait_seconds: float) -> None:
        """``limit`` in bytes; 0: nobody waits."""
        self.limit = limit
        self._wait_seconds = wait_seconds
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def in_flight(self) -> int:
        """Bytes now."""
        return self._in_flight

    @property
    def is_over(self) -> bool:
        """Whether a newcomer has to wait."""
        return 0 < self.limit < self._in_flight

    def count(self, request: Request, size: int) -> None:
        """Counts ``size`` bytes until the connection is through with the request."""
        if size <= 0:
            return
        self._in_flight += size
        request.when_done(lambda: self._release(size))

    def _release(self, size: int) -> None:
        self._in_flight -= size
        if not self.is_over:
            waiting, self._waiting = self._waiting, deque()
            for turn in waiting:
                if not turn.done():
                    turn.set_result(None)

    async def wait(self, request: Request) -> bool:
        """Waits for less to be in flight; False when the time is up.

        Raises:
            ClientGoneError: the client has left meanwhile.
        """
        try:
            async with asyncio.timeout(self._wait_seconds):
                while self.is_over:
                    await self._turn(request)
        except TimeoutError:
            return False
        return True

    async def _turn(self, request: Request) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            while not turn.done():
                await asyncio.wait((turn,), timeout=HTTP_GONE_POLL_SECONDS)
                if request.client_gone():
                    raise ClientGoneError("the client has left")
        finally:
            with contextlib.suppress(ValueError):  # whoever let it go on took it out
                self._waiting.remove(turn)
