"""Typed face of the fast read: server, loop and connection of ``serve.h``.

Only the thread of the event loop may call into a :class:`NativeLoop` or a :class:`NativeConnection`;
a :class:`NativeServer` is shared.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastvol._cffi._core import ffi, lib
from fastvol._cffi.volume import NativeVolume

PYTHON: Final[int] = lib.FV_CONN_PYTHON
CLOSED: Final[int] = lib.FV_CONN_CLOSED

GIVE_BYTES_MAX: Final[int] = lib.FV_GIVE_MAX
"""The most that :meth:`NativeConnection.give` takes."""

EVENT_PYTHON: Final[int] = lib.FV_EVENT_PYTHON
EVENT_CLOSED: Final[int] = lib.FV_EVENT_CLOSED
EVENT_READABLE: Final[int] = lib.FV_EVENT_READABLE
EVENT_WRITABLE: Final[int] = lib.FV_EVENT_WRITABLE

_TOKENS: Final = 256
_UINT32_MAX: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took: a histogram."""

    buckets: tuple[int, ...]
    """Observations per bucket of up to 0.1 ms * 2^k, the last one being everything above."""
    seconds: float
    """All of them together."""


@dataclass(frozen=True, slots=True)
class ServeCounts:
    """Answers of the fast read so far, by method and status, and what it passed on."""

    get_200: int
    get_206: int
    get_304: int
    head_200: int
    head_304: int
    bytes_sent: int
    cold: int
    to_python: int
    post_201: int
    post_204: int
    bytes_received: int
    """Payloads stored."""
    gets: Durations
    """From a request's arrival until its answer was made; sending is not in it."""
    heads: Durations
    posts: Durations
    appends: Durations
    """The part of the posts in which the volume took them."""


class NativeServer:
    """What all event loops share: the volumes, the options, the counters."""

    def __init__(
        self,
        *,
        server_header: str,
        copy_max: int,
        map_max: int,
        inline_verify_max: int,
        upload_max: int,
        verify_once: bool,
        io_threads: int,
    ) -> None:
        """What all loops of this server share; all sizes are in bytes.

        Args:
            copy_max: bodies up to this are read whole and sent from that copy.
            map_max: payloads up to this are sent from the mapping, larger ones by sendfile.
            inline_verify_max: payloads above this are checked by the I/O threads.
            upload_max: largest payload of an upload.

        Raises:
            MemoryError
        """
        header = ffi.new("char[]", server_header.encode())
        options = ffi.new("fv_server_options *")
        options.server_header = header
        options.copy_max = copy_max
        options.map_max = map_max
        options.inline_verify_max = inline_verify_max
        # The fast write only takes what fits into one connection's buffer anyway.
        options.upload_max = min(upload_max, _UINT32_MAX)
        options.verify_once = verify_once
        options.io_threads = io_threads
        self._counting = threading.Lock()
        self._out = ffi.new("uint64_t[]", lib.FV_COUNTS)
        self._pointer = lib.fv_server_new(options)
        if self._pointer == ffi.NULL:
            raise MemoryError

    @property
    def pointer(self) -> Any:
        """The C object."""
        return self._pointer

    def add_mime_types(self, types: Iterable[tuple[str, str]], *, lower: bool) -> None:
        """Adds (extension with its dot, type) pairs to the exact or the lower-case table."""
        for extension, content_type in types:
            if lib.fv_server_add_mime(
                self._pointer, lower, extension.encode(), content_type.encode()
            ):
                raise MemoryError

    def set_fast_read(self, on: bool) -> None:
        """Switches the fast read; off, every request goes to the complete handlers."""
        lib.fv_server_set_fast_read(self._pointer, on)

    def set_fast_write(self, on: bool) -> None:
        """Switches the fast write in the same way."""
        lib.fv_server_set_fast_write(self._pointer, on)

    def put_volume(self, volume_id: int, volume: NativeVolume) -> None:
        """Serves ``volume`` under ``volume_id``; the table keeps its own reference."""
        if lib.fv_server_put_volume(self._pointer, volume_id, volume.pointer):
            raise MemoryError

    def drop_volume(self, volume_id: int) -> None:
        """Stops serving the id; responses under way are finished."""
        lib.fv_server_drop_volume(self._pointer, volume_id)

    def counts(self) -> ServeCounts:
        """The counters since start, from any thread; after ``close`` the last ones."""
        with self._counting:
            if self._pointer != ffi.NULL:
                lib.fv_server_counts(self._pointer, self._out)
            values = ffi.unpack(self._out, lib.FV_COUNTS)
        return ServeCounts(
            get_200=values[lib.FV_COUNT_GET_200],
            get_206=values[lib.FV_COUNT_GET_206],
            get_304=values[lib.FV_COUNT_GET_304],
            head_200=values[lib.FV_COUNT_HEAD_200],
            head_304=values[lib.FV_COUNT_HEAD_304],
            bytes_sent=values[lib.FV_COUNT_BYTES],
            cold=values[lib.FV_COUNT_COLD],
            to_python=values[lib.FV_COUNT_PYTHON],
            post_201=values[lib.FV_COUNT_POST_201],
            post_204=values[lib.FV_COUNT_POST_204],
            bytes_received=values[lib.FV_COUNT_RECEIVED],
            gets=_durations(values, lib.FV_DURATION_GET),
            heads=_durations(values, lib.FV_DURATION_HEAD),
            posts=_durations(values, lib.FV_DURATION_POST),
            appends=_durations(values, lib.FV_DURATION_APPEND),
        )

    def close(self) -> None:
        """Frees everything; all loops must be closed."""
        with self._counting:
            pointer, self._pointer = self._pointer, ffi.NULL
            if pointer != ffi.NULL:
                lib.fv_server_counts(pointer, self._out)
                lib.fv_server_free(pointer)


def _durations(values: list[int], kind: int) -> Durations:
    first = lib.FV_COUNT_DURATIONS + kind * lib.FV_DURATION_SLOTS
    last = first + lib.FV_DURATION_SLOTS - 1
    return Durations(tuple(values[first:last]), values[last] / 1e9)


class NativeLoop:
    """One event loop's connections and the cold reads that it waits for."""

    def __init__(self, server: NativeServer) -> None:
        self._pointer = lib.fv_loop_new(server.pointer)
        if self._pointer == ffi.NULL:
            raise MemoryError
        self._tokens = ffi.new("uint64_t[]", _TOKENS)
        self._events = ffi.new("fv_event[]", lib.FV_EVENTS_MAX)

    @property
    def pointer(self) -> Any:
        """The C object."""
        return self._pointer

    def fd(self) -> int:
        """The descriptor to watch: readable when :meth:`poll` has something to do."""
        return int(lib.fv_loop_fd(self._pointer))

    def poll(self) -> Sequence[tuple[int, int]]:
        """Serves every connection that is ready; (token, event) of those that need Python."""
        events = self._events
        count = lib.fv_loop_poll(self._pointer, events)
        if not count:  # by far the most calls: C has answered everything itself
            return ()
        return [(events[i].token, events[i].what) for i in range(count)]

    def expired(self, idle_ms: int, head_ms: int) -> list[int]:
        """Tokens of connections idle that long, or whose request head is unfinished that long."""
        count = lib.fv_loop_expired(self._pointer, idle_ms, head_ms, self._tokens, _TOKENS)
        return [self._tokens[i] for i in range(count)]

    def connections(self) -> int:
        """How many connections are open."""
        return int(lib.fv_loop_connections(self._pointer))

    def close(self) -> None:
        """Frees the loop; its connections must be closed."""
        pointer, self._pointer = self._pointer, ffi.NULL
        if pointer != ffi.NULL:
            lib.fv_loop_free(pointer)


class NativeConnection:
    """One raw non-blocking socket."""

    __slots__ = ("_pointer",)

    def __init__(self, loop: NativeLoop, fd: int, token: int, *, public: bool) -> None:
        self._pointer = lib.fv_conn_new(loop.pointer, fd, token, public)
        if self._pointer == ffi.NULL:
            raise MemoryError

    def watch(self, *, readable: bool = False, writable: bool = False) -> None:
        """Says which readiness is to be reported while Python holds the connection."""
        lib.fv_conn_watch(self._pointer, readable, writable)

    def is_idle(self) -> bool:
        """In C's hands, with nothing received, waited for or to be sent."""
        return bool(lib.fv_conn_is_idle(self._pointer))

    def hold(self) -> bool:
        """Takes the connection in the middle of a request; False while answers are on their way."""
        return bool(lib.fv_conn_hold(self._pointer))

    def pending(self) -> int:
        """Bytes received and not consumed."""
        return int(lib.fv_conn_pending(self._pointer))

    def take(self) -> bytearray:
        """Takes those bytes away."""
        size = self.pending()
        out = bytearray(size)
        if size:
            lib.fv_conn_take(self._pointer, ffi.from_buffer("uint8_t[]", out), size)
        return out

    def give(self, data: bytes | bytearray | memoryview) -> int:
        """Gives the connection back with at most ``GIVE_BYTES_MAX`` bytes, and goes on with them.

        Returns:
            PYTHON when they are Python's again, CLOSED when it is to be closed, else another state.
        """
        if not data:
            return int(lib.fv_conn_give(self._pointer, ffi.NULL, 0))
        view = ffi.from_buffer("uint8_t[]", data)
        return int(lib.fv_conn_give(self._pointer, view, len(data)))

    def touch(self) -> None:
        """There was traffic that C did not see."""
        lib.fv_conn_touch(self._pointer)

    def set_busy(self, busy: bool) -> None:
        """While a handler works, the connection does not expire."""
        lib.fv_conn_set_busy(self._pointer, busy)

    def set_head_pending(self, pending: bool) -> None:
        """An unfinished head is in Python's hands; its deadline runs, from now if it did not yet."""
        lib.fv_conn_set_head_pending(self._pointer, pending)

    def close(self) -> None:
        """Frees the C side; the descriptor stays the caller's."""
        pointer, self._pointer = self._pointer, ffi.NULL
        if pointer != ffi.NULL:
            lib.fv_conn_free(pointer)


def http_date(second: int) -> str:
    """IMF-fixdate of a Unix time in seconds; empty when the year has not four digits."""
    out = ffi.new("char[]", 32)
    length = lib.fv_http_date_text(second, out)
    return bytes(ffi.buffer(out, length)).decode()


def request_id() -> str:
    """24 upper-case hex digits: nanoseconds, then four random bytes."""
    out = ffi.new("char[]", 24)
    lib.fv_request_id(out)
    return bytes(ffi.buffer(out, 24)).decode()


def sniff_content_type(data: bytes | bytearray | memoryview) -> str:
    """Content type by the first 512 bytes (Go's net/http.DetectContentType)."""
    head = bytes(data[:512])
    view = ffi.from_buffer("uint8_t[]", head) if head else ffi.NULL
    return ffi.string(lib.fv_sniff_content_type(view, len(head))).decode()  # type: ignore[no-any-return]


def format_disposition(name: bytes) -> str | None:
    """``inline; filename=…`` of a stored name, or None when it needs the extended form."""
    out = ffi.new("char[]", 2 * len(name) + 32)
    view = ffi.from_buffer("uint8_t[]", name) if name else ffi.NULL
    length = lib.fv_format_disposition(view, len(name), out, 2 * len(name) + 32)
    return bytes(ffi.buffer(out, length)).decode() if length else None
