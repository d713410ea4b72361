"""One plain-HTTP connection on a raw non-blocking socket.

Theory of operation
-------------------
A connection is in one of two hands. In C's hands (``FAST``) the fast read and the fast write answer what
they know; Python does not even hear of it. What they do not know comes here as an event, with its bytes:

    FAST -> HEAD       the request's bytes are taken from C
    HEAD -> BODY       its head is complete and a body follows
    HEAD, BODY -> BUSY the handler has it; nothing is read meanwhile
    BUSY -> SENDING    its response is on the way out
    SENDING -> FAST    all sent; bytes behind the request are given back to C
    SENDING -> LINGER  all sent, but the client may still be sending: what comes is dropped for a moment,
                       for closing at once would reset the connection and so take the answer away
    any -> CLOSED      the peer is gone, a deadline passed, or the response said so

While Python holds it, the connection says which readiness it waits for (``watch``); a state that waits
for nothing says so and is left in peace.

A body is received into one buffer of its own. It is bounded before it is received: what is larger than
any upload may be is refused at the head. A request refused at its head has its body drained when that is
short, else the connection is closed after the answer; the body of a request to which it means nothing (a
read, a delete) is treated in the same way.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from fastvol._cffi import serve
from fastvol._cffi.serve import NativeConnection
from fastvol.errors import InvalidRequestError
from fastvol.http.request import HeadParser, MalformedRequestError, Request
from fastvol.http.response import PLAIN_TEXT, FileBody, Response, json_error
from fastvol.limits import HTTP_DRAIN_BYTES_MAX, HTTP_HEAD_BYTES_MAX, KIB, MIB

if TYPE_CHECKING:
    from fastvol.http.plane import DataPlane

log = logging.getLogger(__name__)

_RECEIVE_BYTES: Final = 256 * 1024
_BODY_FIRST_BYTES: Final = 64 * KIB
_SENDFILE_BYTES: Final = 1 * MIB
_LINGER_SECONDS: Final = 0.5
_TURN_REQUESTS: Final = 8
"""How many pipelined requests one connection may have answered before others get their turn."""
_TURN_BYTES: Final = 4 * MIB
"""What one connection may send by sendfile before others get their turn."""
_HEAD_END: Final = b"\r\n\r\n"


class State(Enum):
    """Whose turn it is; see the module's theory."""

    FAST = auto()
    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    SENDING = auto()
    LINGER = auto()
    CLOSED = auto()


class Connection:
    """Drives one socket; every method runs on the event loop's thread."""

    __slots__ = (
        "_body",
        "_body_at",
        "_buffer",
        "_drain",
        "_fd",
        "_file",
        "_head_parser",
        "_linger",
        "_loop",
        "_native",
        "_out",
        "_plane",
        "_request",
        "_response",
        "_searched",
        "_socket",
        "_state",
        "_task",
        "peer",
        "public",
        "token",
    )

    def __init__(
        self, plane: "DataPlane", sock: socket.socket, token: int, peer: str, *, public: bool
    ) -> None:
        self._plane = plane
        self._loop = plane.loop
        self._socket = sock
        self._fd = sock.fileno()
        self._native = NativeConnection(plane.native_loop, self._fd, token, public=public)
        self.token = token
        self.peer = peer
        self.public = public
        self._state = State.FAST
        self._buffer = bytearray()
        self._searched = 0
        self._head_parser: HeadParser | None = None
        self._request: Request | None = None
        self._body: bytearray = bytearray()
        self._body_at = 0
        self._drain = 0
        self._linger = False
        self._response: Response | None = None
        self._out: memoryview | None = None
        self._file: FileBody | None = None
        self._task: asyncio.Task[None] | None = None

    # --- events ---------------------------------------------------------------------------------

    def on_event(self, event: int) -> None:
        """What the C loop reports: this connection needs Python, or what Python watched is there."""
        if event & serve.EVENT_CLOSED:
            self.close()
        elif event & serve.EVENT_PYTHON:
            self._take_over()
        elif event & serve.EVENT_WRITABLE and self._state is State.SENDING:
            self._send_more()
            self._give_back()
        elif event & serve.EVENT_READABLE and self._state in (State.HEAD, State.BODY):
            self._receive()
        elif event & serve.EVENT_READABLE and self._state is State.LINGER:
            self._drop_input()

    def on_expired(self) -> None:
        """Nothing happened for too long, or a request head took too long."""
        if self._state is State.FAST and self._native.pending() and self._native.hold():
            # Incomplete in C's hands; whether head or body is, decides what is to be said.
            self._take_over()
        if self._state is State.BODY and self._request is not None and not self._drain:
            local = _address_text(self._socket.getsockname())
            remote = self._remote_text()
            response = json_error(400, f"read tcp {local}->{remote}: i/o timeout")
            response.close = True
            self._send(response)
        elif self._state is State.HEAD:
            self._refuse(MalformedRequestError())
        else:
            self.close()

    def _remote_text(self) -> str:
        with contextlib.suppress(OSError):
            return _address_text(self._socket.getpeername())
        return self.peer

    # --- the fast paths -----------------------------------------------------------------------

    def _take_over(self) -> None:
        self._buffer += self._native.take()
        self._state = State.HEAD
        self._on_head_bytes()
        self._give_back()

    def _give_back(self) -> None:
        """Hands the connection and the bytes behind the answered request to C, if it is done here."""
        turn = _TURN_REQUESTS
        while self._state is State.FAST:
            if turn == 0 and self._buffer:
                # More is pipelined behind it: others first.
                self._state = State.HEAD
                self._native.watch()
                self._loop.call_soon(self._next_turn)
                return
            turn -= 1
            buffer, self._buffer = self._buffer, bytearray()
            outcome = serve.PYTHON
            if len(buffer) <= serve.GIVE_BYTES_MAX:
                outcome = self._native.give(buffer)
                buffer = bytearray()
            if outcome == serve.CLOSED:
                self.close()
            if outcome != serve.PYTHON:
                return
            self._buffer = buffer or self._native.take()
            self._state = State.HEAD
            self._on_head_bytes()

    def _next_turn(self) -> None:
        if self._state is State.HEAD:
            self._on_head_bytes()
            self._give_back()

    # --- receiving ------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            if self._state is State.BODY and self._head_parser is None and not self._drain:
                self._receive_into_body()
                return
            data = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not data:
            self._on_end_of_input()
            return
        self._native.touch()
        self._buffer += data
        if self._state is State.HEAD:
            self._on_head_bytes()
        else:
            self._on_body_bytes()
        self._give_back()

    def _receive_into_body(self) -> None:
        request = self._request
        assert request is not None and request.content_length is not None
        left = request.content_length - self._body_at
        self._grow_body(left)
        with memoryview(self._body) as view:
            count = self._socket.recv_into(view[self._body_at :])
        if count == 0:
            self._on_end_of_input()
            return
        self._native.touch()
        self._body_at += count
        if self._body_at == request.content_length:
            self._dispatch(request)
            self._give_back()

    def _grow_body(self, left: int) -> None:
        """Room for what is coming, doubling: a client's promise alone reserves little memory."""
        room = len(self._body) - self._body_at
        if room == 0:
            self._body.extend(bytes(min(left, max(len(self._body), _BODY_FIRST_BYTES))))

    def _on_end_of_input(self) -> None:
        if self._state is State.BODY and self._request is not None and not self._drain:
            response = json_error(400, "unexpected EOF")
            response.close = True
            self._send(response)
        else:
            self.close()

    # --- the head -------------------------------------------------------------------------------

    def _on_head_bytes(self) -> None:
        """Answers as many complete requests of the buffer as can be answered at once."""
        while self._state is State.HEAD:
            buffer = self._buffer
            end = buffer.find(_HEAD_END, self._searched)
            if end < 0 or end + 4 > HTTP_HEAD_BYTES_MAX:
                self._on_unfinished_head()
                return
            self._searched = 0
            head = bytes(memoryview(buffer)[: end + 4])
            del buffer[: end + 4]
            self._native.set_head_pending(False)
            self._on_head(head)

    def _on_unfinished_head(self) -> None:
        buffer, start = self._buffer, self._searched
        # A head that drips in must not be searched from its beginning for each drop.
        self._searched = max(len(buffer) - len(_HEAD_END) + 1, 0)
        if len(buffer) > HTTP_HEAD_BYTES_MAX:
            reason = "Request Header Fields Too Large"
            self._refuse(MalformedRequestError(431, reason))
        elif (
            buffer.find(b"\n\n", start) >= 0
            or buffer.find(b"\n\r\n", start) >= 0
            or buffer.startswith((b"\r", b"\n"))
        ):
            self._refuse(MalformedRequestError())
        elif buffer:
            self._native.set_head_pending(True)
            self._native.watch(readable=True)
        else:
            self._state = State.FAST

    def _on_head(self, head: bytes) -> None:
        parser = HeadParser()
        try:
            request = parser.parse(head)
        except MalformedRequestError as error:
            self._refuse(error)
            return
        request.peer = self.peer
        request.public = self.public
        self._request = request
        early = self._plane.router.check_head(request)
        if early is not None:
            self._answer_early(request, early)
            return
        if not request.has_body:
            self._dispatch(request)
        elif (request.content_length or 0) > self._body_limit(request):
            self._answer_without_body(request)
        else:
            self._begin_body(request, parser)

    def _body_limit(self, request: Request) -> int:
        wanted = self._plane.router.wants_body(request)
        return self._plane.body_bytes_max if wanted else HTTP_DRAIN_BYTES_MAX

    def _answer_without_body(self, request: Request) -> None:
        """Of a request to which it means nothing, and which is too long to be waited for."""
        self._head_parser = None
        request.keep_alive = False
        self._linger = True
        self._dispatch(request)

    def _answer_early(self, request: Request, response: Response) -> None:
        """A request refused before its body: drain what is short, close behind what is not."""
        too_long = request.chunked or (request.content_length or 0) > HTTP_DRAIN_BYTES_MAX
        if too_long or (request.expects_continue and request.has_body):
            response.close = self._linger = True
        elif request.content_length:
            self._drain = request.content_length
            self._response = response
            self._state = State.BODY
            self._on_body_bytes()
            return
        self._send(response)

    # --- the body -------------------------------------------------------------------------------

    def _begin_body(self, request: Request, parser: HeadParser) -> None:
        self._state = State.BODY
        if request.expects_continue and not self._buffer:
            with contextlib.suppress(OSError):
                self._socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.chunked:
            self._head_parser = parser
        else:
            self._body = bytearray()
            self._body_at = 0
        self._on_body_bytes()

    def _on_body_bytes(self) -> None:
        if self._drain:
            self._drain_body()
        elif self._head_parser is not None:
            self._feed_chunked(self._head_parser)
        else:
            self._take_fixed()

    def _drain_body(self) -> None:
        count = min(self._drain, len(self._buffer))
        del self._buffer[:count]
        self._drain -= count
        if self._drain:
            self._native.watch(readable=True)
        else:
            response, self._response = self._response, None
            assert response is not None
            self._send(response)

    def _take_fixed(self) -> None:
        request = self._request
        assert request is not None and request.content_length is not None
        buffer = self._buffer
        length = request.content_length
        if len(buffer) >= length:
            # The usual small upload: head and body came in one piece.
            self._body = buffer[:length]
            self._body_at = length
            del buffer[:length]
            self._dispatch(request)
            return
        self._body = bytearray(buffer)
        self._body_at = len(buffer)
        self._buffer = bytearray()
        self._native.watch(readable=True)

    def _feed_chunked(self, parser: HeadParser) -> None:
        request = self._request
        assert request is not None
        data, self._buffer = self._buffer, bytearray()
        try:
            parser.feed_chunked(data)
        except InvalidRequestError as error:
            self._refuse_body(json_error(400, str(error)))
            return
        if len(parser.body) > self._body_limit(request):
            if self._plane.router.wants_body(request):
                text = f"file over the limited {self._plane.file_bytes_max} bytes"
                self._refuse_body(json_error(400, text))
            else:
                self._answer_without_body(request)
            return
        if parser.complete:
            self._head_parser = None
            self._body = parser.body
            # Where the next request begins inside these bytes is not known any more.
            request.keep_alive = request.keep_alive and not parser.began_another
            self._dispatch(request)
        else:
            self._native.watch(readable=True)

    def _refuse_body(self, response: Response) -> None:
        response.close = self._linger = True
        self._head_parser = None
        self._send(response)

    # --- handling -------------------------------------------------------------------------------

    def _dispatch(self, request: Request) -> None:
        request.body = self._body
        self._body = bytearray()
        self._body_at = 0
        self._state = State.BUSY
        result = self._plane.router.handle(request)
        if isinstance(result, Response):
            self._send(result)
            return
        self._native.watch()
        self._native.set_busy(True)
        self._task = self._loop.create_task(self._await_response(result))

    async def _await_response(self, pending: Awaitable[Response]) -> None:
        try:
            response = await pending
        except Exception:
            log.exception("a handler failed")
            response = Response(500)
        self._task = None
        if self._state is not State.BUSY:
            _release(response)
            return
        try:
            self._native.set_busy(False)
            self._send(response)
            self._give_back()
        except Exception:
            log.exception("answering on a connection failed")
            self.close()

    # --- sending --------------------------------------------------------------------------------

    def _refuse(self, error: MalformedRequestError) -> None:
        """The last words on a connection whose bytes make no sense."""
        body = error.body.strip()
        head = (
            f"HTTP/1.1 {error.status} {error.reason}\r\n"
            + (f"Content-Type: {PLAIN_TEXT}\r\n" if body else "Content-Length: 0\r\n")
            + "Connection: close\r\n\r\n"
        )
        self._state = State.SENDING
        with contextlib.suppress(OSError):
            self._socket.send(head.encode() + body.encode())
        self._end_output()

    def _send(self, response: Response) -> None:
        request = self._request
        if request is None:
            self.close()
            return
        is_head = request.method == "HEAD"
        keep = request.keep_alive and not response.close and not self._plane.closing
        response.close = not keep
        head = self._plane.router.finish(request, response)
        body = response.body
        self._state = State.SENDING
        self._response = response
        if isinstance(body, FileBody):
            if is_head:
                _release(response)
            else:
                self._file = body
            self._out = memoryview(head)
        elif is_head or not body:
            self._out = memoryview(head)
        elif len(body) <= _RECEIVE_BYTES:
            self._out = memoryview(b"".join((head, body)))
        else:
            self._out = memoryview(head)
            self._response.body = body
            self._send_large(body)
            return
        self._send_more()

    def _send_large(self, body: bytes | bytearray | memoryview) -> None:
        """Head and a large body that lies in memory, without joining them."""
        assert self._out is not None
        try:
            sent = self._socket.sendmsg([self._out, body])
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        head = self._out
        if sent < len(head):
            self._out = memoryview(b"".join((head[sent:], body)))
        else:
            self._out = memoryview(body)[sent - len(head) :]
        self._send_more()

    def _send_more(self) -> None:
        try:
            done = self._send_memory() and self._send_file()
        except (BlockingIOError, InterruptedError):  # also the end of its turn
            self._native.touch()
            self._native.watch(writable=True)
            return
        except OSError:
            self.close()
            return
        if not done:
            self.close()
            return
        self._finish_response()

    def _send_memory(self) -> bool:
        flags = socket.MSG_MORE if self._file is not None else 0
        while self._out is not None and len(self._out):
            sent = self._socket.send(self._out, flags)
            self._out = self._out[sent:]
        self._out = None
        return True

    def _send_file(self) -> bool:
        """True when all is sent, False when the file ends early."""
        file = self._file
        if file is None:
            return True
        turn = _TURN_BYTES
        while file.length > 0:
            if turn <= 0:
                raise BlockingIOError
            sent = os.sendfile(
                self._fd, file.volume.dat_fd(), file.offset, min(file.length, _SENDFILE_BYTES)
            )
            if sent == 0:
                log.error("a data file ended at offset %d under a response", file.offset)
                return False
            self._native.touch()
            file.offset += sent
            file.length -= sent
            turn -= sent
        return True

    def _finish_response(self) -> None:
        response, self._response = self._response, None
        if self._file is not None:
            self._file.volume.release()
            self._file = None
        self._request = None
        self._native.touch()
        if response is None or response.close:
            if self._linger:
                self._end_output()
            else:
                self.close()
            return
        # The caller gives what is pipelined behind to C, which may know it.
        self._state = State.FAST

    # --- the end --------------------------------------------------------------------------------

    def _end_output(self) -> None:
        self._buffer = bytearray()
        self._body = bytearray()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._state = State.LINGER
        self._native.watch(readable=True)
        self._loop.call_later(_LINGER_SECONDS, self.close)

    def _drop_input(self) -> None:
        try:
            if self._socket.recv(_RECEIVE_BYTES):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self.close()

    @property
    def idle(self) -> bool:
        """Nothing is being received, handled or sent."""
        return self._state is State.FAST and self._native.is_idle()

    def close(self) -> None:
        """Closes the socket and lets go of everything; safe to call twice."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        if self._file is not None:
            self._file.volume.release()
            self._file = None
        self._native.close()
        self._socket.close()
        self._buffer = bytearray()
        self._body = bytearray()
        self._out = None
        self._plane.forget(self)


def _release(response: Response) -> None:
    if isinstance(response.body, FileBody):
        response.body.volume.release()


def _address_text(address: object) -> str:
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address)
