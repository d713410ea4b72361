"""Messages of streaming calls, between the control plane's loop and the threads that make them.

grpc.aio objects belong to the loop.  A handler that reads files runs on a thread and hands its
replies over in lists, for one change of threads costs more than ten small messages: while one list
is being written the next is made.  A message may be given as its bytes already.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from fastvol.errors import ClientGoneError
from fastvol.limits import KIB

_NOTICE_SECONDS: Final = 0.02
_LOOP_CHECK_SECONDS: Final = 1.0
_BATCH_BYTES: Final = 512 * KIB
_BATCH_MESSAGES: Final = 256

T = TypeVar("T")

if TYPE_CHECKING:
    from concurrent.futures import Future

    from google.protobuf.message import Message

    Reply = Message | bytes
    Context = grpc.aio.ServicerContext[Any, Any]


def as_bytes(reply: Reply) -> bytes:
    """A reply as it goes out."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


class ReplySender:
    """The replies of one call.

    ``sender(reply)`` and :meth:`send_all` are for threads, one at a time; :meth:`write` is for
    coroutines on the loop.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._under_way: Future[None] | None = None
        self._gone = threading.Event()

    @property
    def is_gone(self) -> bool:
        """Whether the caller is known to have gone; any thread may ask."""
        return self._gone.is_set()

    def __call__(self, reply: Reply) -> bool:
        """Sends one reply and waits until it is on its way; False when the caller has gone."""
        return self.send_all((reply,)) and self.flush()

    def send_all(self, replies: Iterable[Reply]) -> bool:
        """Hands replies over, waiting for those before; False when the caller has gone."""
        messages = [as_bytes(reply) for reply in replies]
        if not self.flush():
            return False
        try:
            self._under_way = _submit(self._write_all(messages), self._loop)
        except RuntimeError:
            self._gone.set()
        return not self._gone.is_set()

    def send_each(self, replies: Iterable[Reply]) -> bool:
        """Sends any number of replies, as they are made; False when the caller has gone."""
        batch: list[Reply] = []
        size = 0
        for reply in replies:
            batch.append(reply)
            size += len(reply) if isinstance(reply, bytes) else reply.ByteSize()
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_MESSAGES:
                if not self.send_all(batch):
                    return False
                batch, size = [], 0
        return self.send_all(batch) if batch else not self._gone.is_set()

    def flush(self) -> bool:
        """Waits for what was handed over; False when the caller has gone."""
        if self._under_way is not None and not self._gone.is_set():
            try:
                _wait(self._under_way, self._loop)
            except BaseException:  # whatever it is, nothing reaches the caller any more
                self._gone.set()
            self._under_way = None
        return not self._gone.is_set()

    async def write(self, reply: Reply) -> None:
        """Sends one reply from the loop."""
        await self._context.write(as_bytes(reply))

    async def _write_all(self, messages: list[bytes]) -> None:
        for message in messages:
            await self._context.write(message)

    def drop(self) -> None:
        """The call is over: nothing more is sent."""
        self._gone.set()
        under_way = self._under_way
        if under_way is not None:
            under_way.cancel()


class RequestReceiver:
    """The requests of one call that streams them, for a thread to go through once."""

    def __init__(self, context: Context, decode: Callable[[bytes], Any]) -> None:
        self._context = context
        self._decode = decode
        self._loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()

    def drop(self) -> None:
        """The call is over: what looks like the end of its requests may be that of its caller."""
        self._gone.set()

    def __iter__(self) -> Iterator[Any]:
        """Every request until the caller's last one.

        Raises:
            ClientGoneError: it left before.
            google.protobuf.message.DecodeError: what it sent is no request.
        """
        while True:
            raw = self._next()
            if raw is None:
                return
            yield self._decode(raw)

    def _next(self) -> bytes | None:
        try:
            return _wait(_submit(self._read(), self._loop), self._loop)
        except ClientGoneError:
            raise
        except BaseException as error:
            raise ClientGoneError(str(error) or type(error).__name__) from error

    async def _read(self) -> bytes | None:
        raw = await self._context.read()
        if raw is not grpc.aio.EOF:  # type: ignore[attr-defined]
            return raw  # type: ignore[no-any-return]
        # A caller that vanished ends its stream as well, and is known to have vanished a step later.
        try:
            await asyncio.wait_for(self._gone.wait(), _NOTICE_SECONDS)
        except TimeoutError:
            return None
        raise ClientGoneError("context canceled")


def _submit(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> Future[T]:
    """Has the loop do it.  :exc:`RuntimeError`: it has been closed."""
    try:
        return asyncio.run_coroutine_threadsafe(work, loop)
    except BaseException:
        work.close()
        raise


def _wait(future: Future[T], loop: asyncio.AbstractEventLoop) -> T:
    """The result; :exc:`ClientGoneError` when the loop has been closed without one."""
    while True:
        try:
            return future.result(_LOOP_CHECK_SECONDS)
        except TimeoutError:
            if future.done():
                return future.result()
            if loop.is_closed():
                raise ClientGoneError("the server has stopped") from None
