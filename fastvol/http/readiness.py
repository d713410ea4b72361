"""Waiting for a socket of one's own on an event loop."""

import asyncio
import socket
from collections.abc import Callable


class Readiness:
    """What is waited for on one socket; the loop is told of changes only."""

    __slots__ = ("_fd", "_loop", "_on_readable", "_on_writable", "_readable", "_writable")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_readable: Callable[[], None],
        on_writable: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._fd = sock.fileno()
        self._on_readable = on_readable
        self._on_writable = on_writable
        self._readable = False
        self._writable = False

    def want(self, readable: bool, writable: bool) -> None:
        """Waits for just this; for nothing before the socket is closed."""
        if readable is not self._readable:
            self._readable = readable
            if readable:
                self._loop.add_reader(self._fd, self._on_readable)
            else:
                self._loop.remove_reader(self._fd)
        if writable is not self._writable:
            self._writable = writable
            if writable:
                self._loop.add_writer(self._fd, self._on_writable)
            else:
                self._loop.remove_writer(self._fd)
