"""TLS connections, each with the plain one behind it.

Theory of operation
-------------------
The HTTP connection behind TLS is the very one that serves plain sockets, C paths and all: it holds
one end of a socket pair, and a bridge carries bytes between the other end (``inner``) and the
client's socket (``outer``), with OpenSSL in between.

    GREETING -> HANDSHAKE   five bytes are there, and they are no plain HTTP request
    HANDSHAKE -> OPEN       done; the plane makes a connection of the pair's other end
    OPEN -> FLUSHING        that connection has closed: what it said last is still on its way
    GREETING, HANDSHAKE -> LINGER   the client is refused, and told so; its input is dropped for a
                            moment, because closing on it would reset the connection and take the
                            last words away
    any -> CLOSED           all is said, the client is gone or broke the protocol, or a deadline
                            passed

Each direction holds at most one piece that its receiver has not taken (``_to_inner``,
``_to_outer``); while it does, nothing more is read in that direction. So a slow reader stops the
connection's writing as it would on a plain socket, and memory stays bounded.

Ends are carried over too. The client's good-bye (or the bare end of its stream) ends the input of
the connection behind, whose answers still go out. A connection that shuts down its sending says
good-bye here, and what comes from then on is dropped unread.

Deadlines: greeting and handshake together have the time of a request head. In OPEN the connection
behind decides; traffic that it cannot see (a record that is not complete, a full pair that empties
slowly) is reported to it. FLUSHING ends when the client has taken nothing for the idle time.
"""

import contextlib
import fcntl
import logging
import socket
import ssl
import struct
import termios
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from fastvol.http.readiness import Readiness
from fastvol.http.tls_session import RECORD_BYTES_MAX, TlsSession
from fastvol.limits import HTTP_LINGER_SECONDS, HTTP_TURN_BYTES, TLS_PIECE_BYTES

if TYPE_CHECKING:
    from fastvol.http.connection import Connection
    from fastvol.http.tls_bridges import TlsBridges

log = logging.getLogger(__name__)

_GREETING_BYTES: Final = 5
_PLAIN_GREETINGS: Final = frozenset({b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"})
"""What upstream recognizes as plain HTTP (Go's net/http); anything else gets no answer."""
_PLAIN_REFUSAL: Final = (
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)
_FIRST_RECORDS: Final = frozenset({0x15, 0x16})
"""Alert and handshake: a stream that begins with something else is not TLS."""

_FULL_BYTES: Final = TLS_PIECE_BYTES - RECORD_BYTES_MAX
"""When so much was decrypted at once, there may be more."""
_INT: Final = struct.Struct("i")


class State(Enum):
    """See the module's theory."""

    GREETING = auto()
    HANDSHAKE = auto()
    OPEN = auto()
    FLUSHING = auto()
    LINGER = auto()
    CLOSED = auto()


class TlsBridge:
    """Drives both sockets; every method runs on the event loop's thread."""

    __slots__ = (
        "_bridges",
        "_connection",
        "_context",
        "_deadline",
        "_greeting",
        "_inner",
        "_inner_ended",
        "_inner_readiness",
        "_input_ended",
        "_loop",
        "_moved_at",
        "_outer",
        "_outer_ended",
        "_outer_readiness",
        "_output_ended",
        "_pair_used",
        "_peer",
        "_plane",
        "_said_bye",
        "_session",
        "_state",
        "_to_inner",
        "_to_outer",
    )

    def __init__(
        self, bridges: "TlsBridges", outer: socket.socket, peer: str, context: ssl.SSLContext
    ) -> None:
        self._bridges = bridges
        self._plane = bridges.plane
        self._loop = bridges.plane.loop
        self._outer = outer
        self._peer = peer
        self._context = context
        self._greeting = b""
        self._session: TlsSession | None = None
        """From the handshake on."""
        self._inner: socket.socket | None = None
        """From OPEN on."""
        self._connection: Connection | None = None
        self._to_inner = b""
        """Decrypted, and not taken yet."""
        self._to_outer = b""
        """Encrypted, and not taken yet."""
        self._moved_at = 0.0
        """When the client last took something, or began to be slow."""
        self._pair_used = False
        """There may be bytes in the pair that the connection behind has not taken."""
        self._outer_ended = False
        """Nothing more is read from the client."""
        self._input_ended = False
        """The connection behind knows that."""
        self._inner_ended = False
        """The connection behind says no more."""
        self._said_bye = False
        self._output_ended = False
        self._outer_readiness = Readiness(
            bridges.poller, outer, self._on_outer_readable, self._on_ready
        )
        self._inner_readiness: Readiness | None = None
        self._state = State.GREETING
        self._deadline: float | None = self._loop.time() + self._plane.head_seconds
        self._watch()

    # --- events ---------------------------------------------------------------------------------

    def _on_outer_readable(self) -> None:
        self._step(self._receive)

    def _on_ready(self) -> None:
        self._step(self._carry)

    def _step(self, work: Callable[[], None]) -> None:
        try:
            work()
            self._watch()
        except ssl.SSLError as error:
            self._break_off(error)
        except OSError as error:
            log.debug("TLS connection of %s ended: %s", self._peer, error)
            self.close()
        except Exception:
            # A fault of ours must not leave a connection behind that nobody drives.
            log.exception("a TLS connection failed")
            self.close()

    def _break_off(self, error: ssl.SSLError) -> None:
        """The client broke the protocol: it gets OpenSSL's alert, and that is all."""
        words = self._session.take_records() if self._session is not None else b""
        if self._state is State.HANDSHAKE:
            self._refuse(words, error.reason or str(error))
            return
        log.debug("TLS connection of %s broken off: %s", self._peer, error)
        with contextlib.suppress(OSError):
            self._outer.send(self._to_outer or words)
        self.close()

    def _receive(self) -> None:
        room = self._bridges.room
        try:
            data = room[: self._outer.recv_into(room)]
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._outer_ended = True
        if self._state is State.GREETING:
            self._look_at_greeting(data)
        elif self._state is State.LINGER:
            if not data:
                self.close()
        elif self._said_bye:
            if not data:
                self._end_input()
        else:
            self._take_records(data)

    def _take_records(self, data: bytes | memoryview) -> None:
        session = self._session
        assert session is not None
        session.feed(data)
        if self._state is State.HANDSHAKE:
            done = session.shake_hands()
            self._flush()
            if not done:
                return
            self._open()
        if self._connection is not None:
            self._connection.touch()
        self._carry()

    def on_sweep(self, now: float) -> None:
        """Ends what takes too long."""
        if self._deadline is not None and now >= self._deadline:
            self.close()

    def on_connection_closed(self) -> None:
        """The connection behind is gone; what it said last may still be in the pair."""
        self._connection = None
        if self._state is State.OPEN:
            self._state = State.FLUSHING
            since = self._moved_at if self._to_outer else self._loop.time()
            self._deadline = since + self._plane.idle_seconds
            # Later, because it may have been this bridge's own step that closed it.
            self._loop.call_soon(self._on_ready)

    # --- the handshake --------------------------------------------------------------------------

    @property
    def is_new(self) -> bool:
        """No request can have come yet."""
        return self._state in (State.GREETING, State.HANDSHAKE)

    def _look_at_greeting(self, data: memoryview) -> None:
        self._greeting += data
        if len(self._greeting) < _GREETING_BYTES and data:
            return
        greeting, self._greeting = self._greeting, b""
        if greeting[:_GREETING_BYTES] in _PLAIN_GREETINGS:
            self._refuse(_PLAIN_REFUSAL, "client sent an HTTP request to an HTTPS server")
        elif len(greeting) < _GREETING_BYTES or greeting[0] not in _FIRST_RECORDS:
            self._refuse(b"", "first record does not look like a TLS handshake")
        else:
            self._session = TlsSession(self._context)
            self._state = State.HANDSHAKE
            self._take_records(greeting)

    def _refuse(self, words: bytes, why: str) -> None:
        log.info("http: TLS handshake error from %s: %s", self._peer, why)
        try:
            if words:
                self._outer.send(words)
            self._outer.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._to_outer = b""
        self._state = State.LINGER
        self._deadline = self._loop.time() + HTTP_LINGER_SECONDS
        self._watch()

    def _open(self) -> None:
        try:
            inner, other = socket.socketpair()
        except OSError as error:
            log.error("cannot serve a TLS connection: %s", error)
            raise
        inner.setblocking(False)
        other.setblocking(False)
        self._inner = inner
        self._inner_readiness = Readiness(
            self._bridges.poller, inner, self._on_ready, self._on_ready
        )
        self._connection = self._plane.adopt(other, self._peer, public=False, wire=self._outer)
        if self._connection is None:
            self.close()
            return
        self._bridges.behind(self._connection, self)
        self._deadline = None
        self._state = State.OPEN

    # --- carrying -------------------------------------------------------------------------------

    def _carry(self) -> None:
        """Both directions, until nothing moves or others must have their turn."""
        if self._state is State.CLOSED:
            return
        left = HTTP_TURN_BYTES
        while True:
            came = self._carry_in() if self._state is State.OPEN else 0
            went = self._carry_out() if self._flush() else 0
            left -= came + went
            if came <= _FULL_BYTES and went < TLS_PIECE_BYTES:
                return  # a piece that was not full was the last one for now
            if left <= 0:
                self._loop.call_soon(self._on_ready)
                return

    def _carry_in(self) -> int:
        """From the client to the connection behind; bytes that moved."""
        session, inner = self._session, self._inner
        assert session is not None and inner is not None
        moved = 0
        if self._to_inner:
            moved = _send(inner, self._to_inner)
            self._to_inner = self._to_inner[moved:]
        if self._to_inner or self._said_bye:
            return moved
        room = self._bridges.room
        size, ended = session.decrypt_into(room)
        if size:
            moved += self._hand_over(room[:size])
        if ended:
            self._outer_ended = True
            if not self._to_inner:
                self._end_input()
        return moved

    def _hand_over(self, data: memoryview) -> int:
        """Gives bytes to the connection behind and lets it answer; how many it took."""
        inner, connection = self._inner, self._connection
        assert inner is not None
        if connection is not None and self._pair_is_empty() and connection.offer(data):
            return len(data)
        self._pair_used = True
        sent = _send(inner, data)
        self._to_inner = bytes(data[sent:])
        self._plane.serve_now()
        return sent

    def _pair_is_empty(self) -> bool:
        """Whether everything that went into the pair was taken out at the other end."""
        if self._pair_used:
            assert self._inner is not None
            (waiting,) = _INT.unpack(fcntl.ioctl(self._inner, termios.TIOCOUTQ, _INT.pack(0)))
            self._pair_used = waiting != 0
        return not self._pair_used

    def _end_input(self) -> None:
        """The client sends no more, and the connection behind has got everything."""
        if self._inner is not None and not self._input_ended:
            self._input_ended = True
            with contextlib.suppress(OSError):
                self._inner.shutdown(socket.SHUT_WR)

    def _carry_out(self) -> int:
        """From the connection behind to the client, which has taken all before; bytes that moved."""
        session, inner = self._session, self._inner
        if session is None or inner is None or self._inner_ended:
            return 0
        room = self._bridges.room
        try:
            size = inner.recv_into(room)
        except (BlockingIOError, InterruptedError):
            return 0
        except ConnectionResetError:
            size = 0  # it closed on input that it did not want
        if size:
            session.encrypt(room[:size])
        else:
            self._inner_ended = self._said_bye = True
            self._to_inner = b""
            session.say_bye()
        self._flush()
        return size

    def _flush(self) -> bool:
        """Sends what there is for the client; True when it has taken everything."""
        session = self._session
        waited = bool(self._to_outer)
        while self._to_outer or (session is not None and session.has_records):
            if not self._to_outer and session is not None:
                self._to_outer = session.take_records()
            sent = _send(self._outer, self._to_outer)
            self._to_outer = self._to_outer[sent:]
            if sent or not waited:
                self._note_progress()
            if self._to_outer:
                return False
        if self._said_bye:
            self._end_output()
        return self._state is not State.CLOSED

    def _note_progress(self) -> None:
        self._moved_at = self._loop.time()
        if self._connection is not None:
            self._connection.touch()
        elif self._state is State.FLUSHING:
            self._deadline = self._moved_at + self._plane.idle_seconds

    def _end_output(self) -> None:
        """Everything is said, good-bye included."""
        if self._state is State.FLUSHING:
            self.close()
        elif not self._output_ended:
            self._output_ended = True
            self._outer.shutdown(socket.SHUT_WR)

    # --- readiness ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Waits for just what can be acted on."""
        if self._state is State.CLOSED:
            return
        reads = self._state is not State.FLUSHING and not self._outer_ended
        blocked = bool(self._to_outer)
        self._outer_readiness.want(reads and not self._is_held_up(), blocked)
        if self._inner_readiness is not None:
            fills = bool(self._to_inner) and self._state is State.OPEN
            self._inner_readiness.want(not self._inner_ended and not blocked, fills)

    def _is_held_up(self) -> bool:
        """Something that was read must move on before more is read from the client."""
        if self._to_inner:
            return True
        # Answers to key updates must not pile up for a client that does not read.
        return bool(self._to_outer) and self._session is not None and self._session.has_records

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends both connections at once; safe to call twice."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self._outer_readiness.want(False, False)
        self._outer.close()
        if self._inner is not None and self._inner_readiness is not None:
            self._inner_readiness.want(False, False)
            self._inner.close()
        self._to_inner = self._to_outer = b""
        self._bridges.forget(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _send(sock: socket.socket, data: "bytes | memoryview") -> int:
    """Bytes that a socket took now."""
    try:
        return sock.send(data)
    except (BlockingIOError, InterruptedError):
        return 0
