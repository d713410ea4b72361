"""A request whose head has been parsed, and the rules that frame its body.

httptools (llhttp) does the parsing; what it lets through but a storage server should not guess about
(both framings at once, lengths that disagree, bare line feeds, folded lines) is refused here with the
answer that Go's server gives to a malformed request.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import httptools

from fastvol.errors import InvalidRequestError
from fastvol.http.headers import Headers, RawHeaders, is_token
from fastvol.http.query import Target, decode_path, split_target
from fastvol.limits import HTTP_HEAD_BYTES_MAX

_REQUEST_LINE: Final = re.compile(rb"([^ \r\n]+) ([^ \r\n]+) HTTP/([0-9])\.([0-9])\r\n")
_HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class MalformedRequestError(InvalidRequestError):
    """The bytes are no request that we answer; the connection ends after this.

    Attributes:
        status: for example 400 or 505.
        reason: what stands in the status line behind the code.
        body: plain text.
    """

    def __init__(self, status: int = 400, reason: str = "Bad Request", body: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.body = body or f"{status} {reason}"


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

    @property
    def has_body(self) -> bool:
        """Whether bytes follow the head."""
        return self.chunked or bool(self.content_length)


class HeadParser:
    """Parses one head; afterwards fed with a chunked body, if the request has one."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._raw: RawHeaders = []
        self.body = bytearray()
        self.complete = False
        self.began_another = False
        self._begun = False
        self._in_body = False
        self._idle_bytes = 0

    # httptools callbacks -------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        self.began_another = self._begun
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # trailers are nobody's business
            self._raw.append((name, value))

    def on_body(self, data: bytes) -> None:
        self._idle_bytes = 0
        if not self.began_another:
            self.body += data

    def on_message_complete(self) -> None:
        self.complete = True

    # -----------------------------------------------------------------------------------------------
    def parse(self, head: bytes) -> Request:
        """The request of a head that ends with its empty line.

        Raises:
            MalformedRequestError
        """
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise MalformedRequestError
        method, target, major, minor = line.groups()
        _check_version(major, minor)
        _check_lines(head[line.end() :])
        # Before llhttp, which knows only one word for whatever is wrong with a coding.
        _framing(_plain_headers(head[line.end() :]), http10=minor == b"0")
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # an offer, which Go's server and this one pass over: Java's client makes it
        except httptools.HttpParserError:
            # llhttp knows a fixed list of methods; others are for the router to refuse.
            if method.decode("latin-1") in _LLHTTP_METHODS or not is_token(method):
                raise MalformedRequestError from None
            self._raw = _plain_headers(head[line.end() :])
        return self._request(method.decode("latin-1"), target, minor == b"0")

    def feed_chunked(self, data: bytes | bytearray) -> None:
        """More of a chunked body.

        Raises:
            InvalidRequestError: the chunk framing is wrong, or there is no end of chunk extensions
                or trailers; Go's words.
        """
        self._in_body = True
        self._idle_bytes += len(data)
        try:
            self._parser.feed_data(bytes(data))
        except httptools.HttpParserError as error:
            if self.complete:
                self.began_another = True
                return
            raise InvalidRequestError("invalid byte in chunk length") from error
        if self._idle_bytes > HTTP_HEAD_BYTES_MAX and not self.complete:
            raise InvalidRequestError("chunked line too long")

    def _request(self, method: str, raw_target: bytes, http10: bool) -> Request:
        headers = Headers(self._raw)
        hosts = [value for name, value in self._raw if name.lower() == b"host"]
        if not http10 and not hosts:
            reason = "Bad Request: missing required Host header"
            raise MalformedRequestError(400, reason)
        if len(hosts) > 1 or (hosts and _HOST.fullmatch(hosts[0]) is None):
            raise MalformedRequestError(400, "Bad Request: malformed Host header")
        chunked, length = _framing(self._raw, http10=http10)
        expect = headers.get(b"expect").lower()
        if expect not in (b"", b"100-continue"):
            raise MalformedRequestError(417, "Expectation Failed", " ")
        try:
            target = split_target(raw_target)
            path = decode_path(target.raw_path)
        except InvalidRequestError:
            raise MalformedRequestError from None
        connection = headers.tokens(b"connection")
        keep_alive = b"close" not in connection and (not http10 or b"keep-alive" in connection)
        return Request(
            method=method,
            target=target,
            path=path,
            headers=headers,
            http10=http10,
            keep_alive=keep_alive,
            content_length=length,
            chunked=chunked,
            expects_continue=bool(expect) and not http10,
        )


_LLHTTP_METHODS: Final = frozenset(
    (  # noqa: SIM905 - a list of 35 quoted words reads worse
        "DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH "
        "SEARCH UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY "
        "SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK SOURCE QUERY"
    ).split()
)


def _check_version(major: bytes, minor: bytes) -> None:
    if major == b"1" and minor in (b"0", b"1"):
        return
    if int(major) >= 2:
        raise MalformedRequestError(505, "HTTP Version Not Supported: unsupported protocol version")
    raise MalformedRequestError


def _check_lines(block: bytes) -> None:
    """Line ends and header shapes on which parsers disagree."""
    for line in block.split(b"\r\n"):
        if b"\n" in line or b"\r" in line or line[:1] in (b" ", b"\t"):
            raise MalformedRequestError
        if not line:
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedRequestError
        if not is_token(name):
            raise MalformedRequestError(400, "Bad Request: invalid header name")
        if _BAD_VALUE.search(value):
            raise MalformedRequestError


def _plain_headers(block: bytes) -> RawHeaders:
    pairs: RawHeaders = []
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            pairs.append((name, value.strip(b" \t")))
    return pairs


def _framing(raw: RawHeaders, *, http10: bool) -> tuple[bool, int | None]:
    """(chunked, content length) of the body.

    Raises:
        MalformedRequestError: the framing is ambiguous or unknown.
    """
    codings = [value for name, value in raw if name.lower() == b"transfer-encoding"]
    lengths = [value.strip(b" \t") for name, value in raw if name.lower() == b"content-length"]
    if codings:
        if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
            raise MalformedRequestError(501, "Not Implemented", "Unsupported transfer encoding")
        if lengths or http10:
            raise MalformedRequestError
        return True, None
    if not lengths:
        return False, None
    if len(set(lengths)) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise MalformedRequestError
    return False, int(lengths[0])
