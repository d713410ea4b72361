"""One plain-HTTP connection on a raw non-blocking socket.

Theory of operation
-------------------
A connection is in one of two hands. In C's hands (``FAST``) the fast read and the fast write answer
what they know; Python does not even hear of it. What they do not know comes here as an event, with
its bytes:

    FAST -> HEAD       the request's bytes are taken from C
    HEAD -> BODY       its head is complete and a body follows
    HEAD, BODY -> BUSY its handler is at work in a thread; nothing is read meanwhile
    .. -> SENDING      its response did not fit into the socket; nothing is read meanwhile
    SENDING <-> FETCHING  the next bytes of a body that comes from elsewhere are awaited
    .. -> FAST         all sent; the connection and the bytes behind the request are given back to C
    .. -> LINGER       the last words are said, but input is still coming: it is read and dropped
                       for a moment, because closing on it would reset the connection and take
                       the answer away from the client
    any -> CLOSED      the peer is gone, a deadline passed, or the response said so

Whoever makes a step returns to :meth:`Connection._settle`, which goes on until only an event can
help; so a pipeline of any length needs no recursion. After a number of requests it lets other
connections have their turn.

While Python holds it, the connection says which readiness it waits for (``watch``); a state that
waits for nothing says so and is left in peace.

A body is received whole before its handler runs. It is bounded before it is received: an upload by
the largest file, anything else by what is worth draining. Beyond that the answer is given at once
and the connection ends.
"""

import asyncio
import contextlib
import fcntl
import logging
import select
import socket
import struct
import termios
from collections.abc import Awaitable, Coroutine
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from fastvol._cffi import serve
from fastvol._cffi.serve import NativeConnection
from fastvol.errors import FastvolError, InvalidRequestError
from fastvol.http.body import ChunkedBody, FixedBody
from fastvol.http.head import HeadTaker
from fastvol.http.request import MalformedRequestError, Request, parse_head
from fastvol.http.response import (
    Body,
    FileBody,
    Response,
    StreamBody,
    is_chunked,
    json_error,
    let_go,
    refusal,
)
from fastvol.http.sending import LAST_CHUNK, Outgoing, chunk_of
from fastvol.http.upload_limit import too_large
from fastvol.limits import (
    HTTP_DRAIN_BYTES_MAX,
    HTTP_LINGER_SECONDS,
    HTTP_TURN_REQUESTS,
    KIB,
)
from fastvol.log_limiter import LogLimiter

if TYPE_CHECKING:
    from fastvol.http.plane import DataPlane

log = logging.getLogger(__name__)
_per_connection = LogLimiter(log)

_RECEIVE_BYTES: Final = 256 * KIB
_INT: Final = struct.Struct("i")


class State(Enum):
    """Whose turn it is; see the module's theory."""

    FAST = auto()
    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    SENDING = auto()
    FETCHING = auto()
    LINGER = auto()
    CLOSED = auto()


class Connection:
    """Drives one socket; every method runs on the event loop's thread."""

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_early",
        "_head_taker",
        "_linger",
        "_loop",
        "_native",
        "_outgoing",
        "_plane",
        "_request",
        "_socket",
        "_state",
        "_stream",
        "_task",
        "_unread",
        "_upload",
        "_wire",
        "peer",
        "public",
        "token",
    )

    def __init__(
        self,
        plane: "DataPlane",
        sock: socket.socket,
        token: int,
        peer: str,
        *,
        public: bool,
        wire: socket.socket | None = None,
    ) -> None:
        self._plane = plane
        self._loop = plane.loop
        self._socket = sock
        self._wire = sock if wire is None else wire
        """Whose addresses are the connection's."""
        self._native = NativeConnection(plane.native_loop, sock.fileno(), token, public=public)
        self.token = token
        self.peer = peer
        self.public = public
        self._state = State.FAST
        self._buffer = bytearray()
        """Received bytes that are not consumed yet."""
        self._head_taker = HeadTaker()
        self._request: Request | None = None
        self._early: Response | None = None
        """What the request will be answered with, whatever its body."""
        self._body: FixedBody | ChunkedBody | None = None
        self._upload = False
        """The body is wanted, not only drained."""
        self._unread = False
        """Bytes of this request will stay unread."""
        self._outgoing: Outgoing | None = None
        self._stream: StreamBody | None = None
        """What the rest of the body is fetched from."""
        self._chunked = False
        self._task: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None

    # --- events ---------------------------------------------------------------------------------

    def on_event(self, event: int) -> None:
        """What the C loop reports: this connection needs Python, or what Python watched is there."""
        try:
            if event & serve.EVENT_CLOSED:
                self.close()
            elif event & serve.EVENT_PYTHON:
                self._settle(serve.PYTHON)
            elif event & serve.EVENT_WRITABLE and self._state is State.SENDING:
                self._send_more()
                self._go_on()
            elif event & serve.EVENT_READABLE:
                self._on_readable()
        except Exception:
            self._fail()

    def _on_readable(self) -> None:
        if self._state in (State.HEAD, State.BODY):
            self._receive()
            self._go_on()
        elif self._state is State.LINGER:
            self._drop_input()

    def on_expired(self) -> None:
        """Nothing happened for too long, or a request head took too long."""
        try:
            if self._state is State.FAST and self._native.hold() and self._native.pending():
                self._buffer += self._native.take()
                self._state = State.HEAD
                self._take_head()
            elif self._state not in (State.HEAD, State.BODY):
                self.close()
            if self._state is State.HEAD:
                self._refuse(MalformedRequestError())
            elif self._state is State.BODY:
                local = _address_text(self._wire.getsockname())
                self._end_body(f"read tcp {local}->{self._remote_text()}: i/o timeout")
            self._go_on()
        except Exception:
            self._fail()

    def offer(self, data: memoryview) -> bool:
        """Takes the peer's next bytes past the socket, if it waits for some and none are in it.

        The caller knows that the socket is empty. False: they must go through it.
        """
        native = self._native
        if self._state is not State.FAST or len(data) > serve.GIVE_BYTES_MAX:
            return False
        if not native.is_idle() or not native.hold():
            return False
        try:
            self._settle(native.give(data))
        except Exception:
            self._fail()
        return True

    def touch(self) -> None:
        """There was traffic on the wire that has not come here yet."""
        if self._state is not State.CLOSED:
            self._native.touch()

    def _on_turn(self) -> None:
        try:
            if self._state is State.FAST:
                self._settle(serve.PYTHON)
        except Exception:
            self._fail()

    def _fail(self) -> None:
        """A fault of ours must not leave a connection behind that nobody drives."""
        _per_connection.error("failed", "a connection failed", exc_info=True)
        self.close()

    def _remote_text(self) -> str:
        with contextlib.suppress(OSError):
            return _address_text(self._wire.getpeername())
        return self.peer

    # --- going on -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._state is State.FAST:
            self._settle(self._give_back())

    def _settle(self, outcome: int) -> None:
        """Acts on what C left the connection in, and answers what can be answered now."""
        turn = HTTP_TURN_REQUESTS
        while outcome == serve.PYTHON:
            if turn == 0:
                self._native.watch()
                self._loop.call_soon(self._on_turn)
                return
            turn -= 1
            self._buffer += self._native.take()
            self._state = State.HEAD
            self._take_head()
            if self._state is not State.FAST:
                return
            outcome = self._give_back()
        if outcome == serve.CLOSED:
            self.close()

    def _give_back(self) -> int:
        """Hands the bytes behind the answered request to C; PYTHON when they do not fit."""
        buffer = self._buffer
        if len(buffer) > serve.GIVE_BYTES_MAX:
            return serve.PYTHON
        self._buffer = bytearray()
        return self._native.give(buffer)

    # --- receiving ------------------------------------------------------------------------------

    def _receive(self) -> None:
        body = self._body
        try:
            if self._state is State.BODY and isinstance(body, FixedBody):
                received = body.receive(self._socket)
            else:
                data = self._socket.recv(_RECEIVE_BYTES)
                received = len(data)
                self._buffer += data
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not received:
            self._on_end_of_input()
            return
        self._native.touch()
        if self._state is State.HEAD:
            self._take_head()
        else:
            self._take_body()

    def _on_end_of_input(self) -> None:
        if self._state is State.BODY:
            self._end_body("unexpected EOF")
        else:
            self._refuse(MalformedRequestError())

    def _drop_input(self) -> None:
        try:
            dropped = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            dropped = b""
        if not dropped:
            self.close()

    # --- the head -------------------------------------------------------------------------------

    def _take_head(self) -> None:
        """Takes one head from the buffer, if it is complete, and acts on it."""
        try:
            head = self._head_taker.take(self._buffer)
        except MalformedRequestError as error:
            self._refuse(error)
            return
        if head is None:
            self._await_head()
            return
        self._native.set_head_pending(False)
        try:
            request = parse_head(head)
        except MalformedRequestError as error:
            self._refuse(error)
            return
        request.peer = self.peer
        request.public = self.public
        request.client_gone = self._client_gone
        self._request = request
        self._unread = False
        checked = self._plane.router.check_head(request)
        if checked is None or isinstance(checked, Response):
            self._act_on_head(request, checked)
            return
        self._work_on(State.BUSY, self._await_check(request, checked))

    async def _await_check(self, request: Request, checked: Awaitable[Response | None]) -> None:
        """The request waits for its turn; its body stays in the socket meanwhile."""
        early = await checked
        if not self._rested(request):
            return
        try:
            self._act_on_head(request, early)
            self._go_on()
        except Exception:
            self._fail()

    def _act_on_head(self, request: Request, early: Response | None) -> None:
        self._early = early
        if request.has_body:
            self._begin_body(request)
        else:
            self._answer(request)

    def _await_head(self) -> None:
        if self._buffer:
            self._native.set_head_pending(True)
            self._native.watch(readable=True)
        else:
            self._state = State.FAST

    # --- the body -------------------------------------------------------------------------------

    def _begin_body(self, request: Request) -> None:
        length = request.content_length
        self._upload = self._early is None and self._plane.router.is_upload(request)
        unwanted = request.expects_continue and not self._upload
        if unwanted or (length is not None and length > self._body_bytes_max):
            self._end_body(too_large(self._plane.file_bytes_max))
            return
        self._body = ChunkedBody() if length is None else FixedBody(length)
        if request.expects_continue and not self._buffer:
            with contextlib.suppress(OSError):
                self._socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._state = State.BODY
        self._take_body()

    @property
    def _body_bytes_max(self) -> int:
        return self._plane.body_bytes_max if self._upload else HTTP_DRAIN_BYTES_MAX - 1

    def _take_body(self) -> None:
        """Takes what the buffer holds of the body, and answers when that was all."""
        request, body = self._request, self._body
        assert request is not None and body is not None
        try:
            if self._buffer:
                body.feed(self._buffer)
        except InvalidRequestError as error:
            self._end_body(str(error))
            return
        if len(body.data) > self._body_bytes_max:
            self._end_body(too_large(self._plane.file_bytes_max))
        elif body.complete:
            request.body = body.data
            self._body = None
            self._answer(request)
        else:
            self._native.watch(readable=True)

    def _end_body(self, why: str) -> None:
        """The body does not come, or not all of it: the connection ends after this answer.

        For an upload that is its failure; every other handler never wanted to see the body.
        """
        request = self._request
        assert request is not None
        self._body = None
        self._unread = True
        request.keep_alive = False
        if self._upload:
            self._send(json_error(400, why))
        else:
            self._answer(request)

    # --- handling -------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        early, self._early = self._early, None
        if early is not None:
            self._send(early)
            return
        self._state = State.BUSY
        result = self._plane.router.handle(request)
        if isinstance(result, Response):
            self._send(result)
            return
        self._work_on(State.BUSY, self._await_response(request, result))

    async def _await_response(self, request: Request, pending: Awaitable[Response]) -> None:
        response = await pending
        request.status = response.status
        if not self._rested(request):
            let_go(response.body)
            return
        try:
            self._send(response)
            self._go_on()
        except Exception:
            self._fail()

    def _work_on(self, state: State, work: Coroutine[None, None, None]) -> None:
        """Runs something that takes its time and raises nothing; nothing is read or sent meanwhile."""
        self._state = state
        self._native.watch()
        self._native.set_busy(True)
        self._task = self._loop.create_task(work)

    def _client_gone(self) -> bool:
        """Whether nobody waits for the answer to the request that is handled.

        Without anything to read or to send, only a look at the socket tells. An end of input behind
        all of an upload is no good-bye: the client may have nothing more to say, and wait.
        """
        if self._state is State.CLOSED:
            return True
        look = select.poll()
        look.register(self._socket, select.POLLRDHUP)
        found = look.poll(0)
        if not found:
            return False
        ended_both_ways = found[0][1] & (select.POLLERR | select.POLLHUP)
        return bool(ended_both_ways) or not self._has_whole_body()

    def _has_whole_body(self) -> bool:
        request = self._request
        if request is None or not request.has_body:
            return False
        if request.content_length is None:
            return True  # in chunks: it takes more than a look to tell
        unread = _INT.unpack(fcntl.ioctl(self._socket, termios.FIONREAD, bytes(_INT.size)))[0]
        return len(self._buffer) + int(unread) >= request.content_length

    def _rested(self, request: Request) -> bool:
        """The handler is done; False when the connection is closed by now."""
        self._task = None
        if self._state is State.BUSY:
            self._native.set_busy(False)
            return True
        request.done()
        return False

    # --- sending --------------------------------------------------------------------------------

    def _refuse(self, error: MalformedRequestError) -> None:
        """The last words on a connection whose bytes make no sense."""
        with contextlib.suppress(OSError):
            self._socket.send(refusal(error))
        self._begin_linger()

    def _send(self, response: Response) -> None:
        request = self._request
        assert request is not None
        # Only the end of the connection tells an old client where such a body ends.
        endless = request.http10 and response.body_length is None
        if not request.keep_alive or self._plane.closing or endless:
            response.close = True
        request.keep_alive = not response.close
        try:
            head = self._plane.router.finish(request, response)
        except Exception:
            let_go(response.body)
            raise
        if request.method == "HEAD":
            let_go(response.body)
            response.body = b""
        body = response.body
        if isinstance(body, Body | FileBody):
            self._outgoing = Outgoing(head, body)
        else:
            self._outgoing, self._stream = Outgoing(head, b""), body
            self._chunked = is_chunked(response, http10=request.http10)
        self._state = State.SENDING
        self._send_more()

    def _send_more(self) -> None:
        outgoing = self._outgoing
        assert outgoing is not None
        try:
            done = outgoing.send(self._socket)
        except OSError as error:
            log.debug("a response was cut short: %s", error)
            self.close()
            return
        self._native.touch()
        if not done:
            self._native.watch(writable=True)
        elif self._stream is not None:
            self._work_on(State.FETCHING, self._await_bytes(self._stream))
        else:
            self._finish_response()

    async def _await_bytes(self, stream: StreamBody) -> None:
        try:
            try:
                data = await stream.read()
            finally:
                self._task = None
            self._native.set_busy(False)
            self._outgoing = Outgoing(self._framed(data), b"")
            if not data:
                self._end_stream()
            self._state = State.SENDING
            self._send_more()
            self._go_on()
        except FastvolError as error:
            log.error("a response was cut short: %s", error)
            self.close()
        except Exception:
            self._fail()

    def _framed(self, data: Body) -> bytes:
        if not self._chunked:
            return bytes(data)
        return chunk_of(data) if data else LAST_CHUNK

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _finish_response(self) -> None:
        """FAST now: the caller goes on with what is pipelined behind."""
        request, self._request = self._request, None
        self._outgoing = None
        assert request is not None
        request.done()
        if request.keep_alive:
            self._state = State.FAST
        elif self._unread:
            self._begin_linger()
        else:
            self.close()

    # --- the end --------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Nothing is being received, handled or sent."""
        return self._state is State.FAST and self._native.is_idle()

    def _begin_linger(self) -> None:
        self._buffer = bytearray()
        self._body = None
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._state = State.LINGER
        self._native.watch(readable=True)
        self._linger = self._loop.call_later(HTTP_LINGER_SECONDS, self.close)

    def close(self) -> None:
        """Closes the socket and lets go of everything; safe to call twice."""
        if self._state is State.CLOSED:
            return
        handled = self._state is State.BUSY and self._task is not None
        if self._state is State.FETCHING and self._task is not None:
            self._task.cancel()
        if self._request is not None and not handled:
            self._request.done()
        self._state = State.CLOSED
        if self._linger is not None:
            self._linger.cancel()
        if self._outgoing is not None:
            self._outgoing.release()
            self._outgoing = None
        self._end_stream()
        self._native.close()
        self._socket.close()
        self._buffer = bytearray()
        self._body = None
        self._plane.forget(self)


def _address_text(address: object) -> str:
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address)
