"""A request whose head has been parsed, and the rules that frame its body.

The grammar is that of Go's server, with its answers to what it refuses, except where two parsers
could see two different requests in the same bytes: bare line feeds, folded lines, both framings at
once and a coding sent by an HTTP/1.0 client are refused although Go accepts them.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httptools

from fastvol.errors import InvalidRequestError
from fastvol.http.headers import Headers, RawHeaders, is_token
from fastvol.http.query import Target, decode_path, split_target

_REQUEST_LINE: Final = re.compile(rb"([^ \r\n]+) ([^ \r\n]+) HTTP/([0-9])\.([0-9])\r\n")
_HEADER: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
_LENGTH: Final = re.compile(rb"0*([0-9]{1,19})")
_LENGTH_MAX: Final = (1 << 63) - 1
_TOKEN_BOUNDARY: Final = re.compile(rb"[ ,\t]+")


class MalformedRequestError(InvalidRequestError):
    """The bytes are no request that we answer; the connection ends after this.

    Attributes:
        status: for example 400 or 505.
        reason: what stands in the status line behind the code.
        body: plain text; empty for an answer without a body.
        is_head: it is the answer to a HEAD, which says no length of nothing.
    """

    def __init__(
        self,
        status: int = 400,
        reason: str = "Bad Request",
        body: str | None = None,
        *,
        is_head: bool = False,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.is_head = is_head
        self.body = f"{status} {reason}" if body is None else body


@dataclass(slots=True)
class Request:
    """One request; ``body`` is filled once it has been received."""

    method: str
    target: Target
    path: str
    headers: Headers
    http10: bool
    keep_alive: bool
    content_length: int | None
    chunked: bool
    expects_continue: bool
    peer: str = ""
    public: bool = False
    body: bytes | bytearray = field(default=b"")
    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    """Of the response; 0 as long as there is none."""
    counted: bool = False
    """Whether the statistics know of it."""
    client_gone: Callable[[], bool] = field(default=lambda: False)
    """Whether nobody waits for the response any more; costs some system calls."""
    _when_done: list[Callable[[], None]] = field(default_factory=list)

    @property
    def has_body(self) -> bool:
        """Whether bytes follow the head."""
        return self.chunked or bool(self.content_length)

    def when_done(self, act: Callable[[], None]) -> None:
        """``act`` is called on the loop's thread once the last byte of the response has left, or
        cannot leave any more and no handler works for the request."""
        self._when_done.append(act)

    def done(self) -> None:
        """The connection is through with it; safe to call twice."""
        acts, self._when_done = self._when_done, []
        for act in acts:
            act()


def parse_head(head: bytes) -> Request:
    """The request of a head that ends with its empty line.

    Raises:
        MalformedRequestError
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise MalformedRequestError
    method, raw_target, major, minor = line.groups()
    if not is_token(method):
        raise MalformedRequestError
    headers = Headers(_header_pairs(head[line.end() : -4]))
    _check_version(method, major)
    http10 = minor == b"0"
    _check_host(headers, needed=not http10 and method != b"CONNECT")
    chunked, length = _framing(headers, http10=http10)
    expected = _tokens(headers.get(b"expect"))
    if expected and b"100-continue" not in expected:
        is_head = method == b"HEAD"
        raise MalformedRequestError(417, "Expectation Failed", "", is_head=is_head)
    target, path = _target(method, raw_target)
    return Request(
        method=method.decode("ascii"),
        target=target,
        path=path,
        headers=headers,
        http10=http10,
        keep_alive=_keeps_alive(headers, http10=http10),
        content_length=length,
        chunked=chunked,
        expects_continue=bool(expected) and not http10,
    )


def _header_pairs(block: bytes) -> RawHeaders:
    """Names and values of the lines between request line and empty line.

    llhttp takes them apart; lines on which parsers disagree are refused before it sees them.
    """
    if not block:
        return []
    pairs: RawHeaders = []
    for line in block.split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _bad_line(line)
        pairs.append((match[1], match[2]))
    collector = _HeaderCollector()
    try:
        httptools.HttpRequestParser(collector).feed_data(
            b"GET / HTTP/1.1\r\n" + block + b"\r\n\r\n"
        )
    except httptools.HttpParserUpgrade:
        pass  # an offer, which Go's server and this one pass over: Java's client makes it
    except httptools.HttpParserError:
        # It judges the framing as well, with one word for every fault; see _framing.
        return pairs
    return collector.raw


class _HeaderCollector:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.raw: RawHeaders = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.raw.append((name, value))


def _bad_line(line: bytes) -> MalformedRequestError:
    """Go names the fault only when blanks are all that is wrong with the name."""
    name, colon, _ = line.partition(b":")
    if colon and b" " in name and name[:1] != b" " and is_token(name.replace(b" ", b"")):
        return MalformedRequestError(400, "Bad Request: invalid header name")
    return MalformedRequestError()


def _check_version(method: bytes, major: bytes) -> None:
    if major == b"1":
        return
    if major == b"2" and method == b"PRI":
        # The HTTP/2 preface, whose sender waits for frames and reads no text.
        raise MalformedRequestError(400, "Bad Request", "")
    raise MalformedRequestError(505, "HTTP Version Not Supported: unsupported protocol version")


def _check_host(headers: Headers, *, needed: bool) -> None:
    hosts = headers.all(b"host")
    if needed and not hosts:
        raise MalformedRequestError(400, "Bad Request: missing required Host header")
    if len(hosts) > 1:
        raise MalformedRequestError
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise MalformedRequestError(400, "Bad Request: malformed Host header")


def _target(method: bytes, raw_target: bytes) -> tuple[Target, str]:
    """Target and decoded path; a CONNECT may name a host instead, which has no path."""
    if method == b"CONNECT" and not raw_target.startswith(b"/"):
        return Target(b"", b""), ""
    try:
        target = split_target(raw_target)
        return target, decode_path(target.raw_path)
    except InvalidRequestError:
        raise MalformedRequestError from None


def _framing(headers: Headers, *, http10: bool) -> tuple[bool, int | None]:
    """(chunked, content length) of the body.

    Raises:
        MalformedRequestError: the framing is ambiguous or unknown.
    """
    codings = headers.all(b"transfer-encoding")
    lengths = headers.all(b"content-length")
    if codings:
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise MalformedRequestError(501, "Not Implemented", "Unsupported transfer encoding")
        if lengths or http10:
            raise MalformedRequestError
        return True, None
    if not lengths:
        return False, None
    match = _LENGTH.fullmatch(lengths[0])
    if match is None or len(set(lengths)) > 1 or int(match[1]) > _LENGTH_MAX:
        raise MalformedRequestError
    return False, int(match[1])


def _keeps_alive(headers: Headers, *, http10: bool) -> bool:
    """Whether the connection outlives the response (net/http: shouldClose)."""
    tokens = {token for value in headers.all(b"connection") for token in _tokens(value)}
    return b"close" not in tokens and (not http10 or b"keep-alive" in tokens)


def _tokens(value: bytes) -> list[bytes]:
    """Lower-case words of a list header."""
    return [word for word in _TOKEN_BOUNDARY.split(value.lower()) if word] if value else []
