"""Waiting for many sockets of one's own by one descriptor on an event loop.

Not by the loop's ``add_reader``: uvloop calls that once when a connection was reset, also when
there is still input in front of the reset, and then never again.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Final

_EVENTS_MAX: Final = 256
_ANYTHING_TO_READ: Final = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


class Poller:
    """An epoll of its own on ``loop``; level-triggered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._waiting: dict[int, Readiness] = {}
        loop.add_reader(self._epoll.fileno(), self._on_events)

    def _on_events(self) -> None:
        for fd, events in self._epoll.poll(0, _EVENTS_MAX):
            # What an earlier event of this batch has closed is not there any more. A socket opened
            # since under the same number gets an event that is not its own, which does no harm.
            readiness = self._waiting.get(fd)
            if readiness is not None:
                readiness.on_event(events)

    def change(self, fd: int, before: int, mask: int, readiness: "Readiness") -> None:
        """Waits for ``mask`` instead of ``before``; 0 for nothing at all, not even resets."""
        if not before:
            self._waiting[fd] = readiness
            self._epoll.register(fd, mask)
        elif mask:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.unregister(fd)
            del self._waiting[fd]

    def close(self) -> None:
        """Nobody may wait any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


class Readiness:
    """What is waited for on one socket.

    A reset counts as something to read, or as room where only that is waited for: trying tells.
    """

    __slots__ = ("_fd", "_mask", "_on_readable", "_on_writable", "_poller")

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        on_readable: Callable[[], None],
        on_writable: Callable[[], None],
    ) -> None:
        self._poller = poller
        self._fd = sock.fileno()
        self._mask = 0
        self._on_readable = on_readable
        self._on_writable = on_writable

    def want(self, readable: bool, writable: bool) -> None:
        """Waits for just this; for nothing before the socket is closed."""
        mask = (select.EPOLLIN if readable else 0) | (select.EPOLLOUT if writable else 0)
        if mask != self._mask:
            self._poller.change(self._fd, self._mask, mask, self)
            self._mask = mask

    def on_event(self, events: int) -> None:
        """Something of what is waited for is there."""
        if self._mask & select.EPOLLIN and events & _ANYTHING_TO_READ:
            self._on_readable()
        elif self._mask:
            self._on_writable()
