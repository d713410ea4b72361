"""Responses, and how they become bytes.

Headers go out in ascending order of their canonical names, then what Go's library adds itself: Date,
Content-Length, a sniffed Content-Type, Connection. The fast read writes the same order.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from fastvol._cffi.serve import request_id
from fastvol.http import go_json
from fastvol.http.conditional import http_date
from fastvol.http.go_text import to_bytes
from fastvol.http.headers import is_token
from fastvol.http.query import redirect_body
from fastvol.http.sniff import TEXT, detect_content_type

if TYPE_CHECKING:
    from fastvol._cffi.volume import NativeVolume
    from fastvol.http.request import MalformedRequestError

Body = bytes | bytearray | memoryview

REASONS: Final[dict[int, str]] = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    304: "Not Modified",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    416: "Requested Range Not Satisfiable",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_BODYLESS: Final = frozenset({204, 304})
_FRAMING_HEADERS: Final = frozenset(
    {"Connection", "Keep-Alive", "Trailer", "Transfer-Encoding", "Upgrade"}
)
"""What only the writer may say: a stored pair of this name would break the connection's framing."""


@dataclass(slots=True)
class FileBody:
    """Bytes of a data file that are sent by sendfile; the volume's reference keeps it open."""

    volume: "NativeVolume"
    offset: int
    length: int
    first: bytes = b""
    """Up to 512 bytes of the body, for sniffing."""

    def close(self) -> None:
        """Lets go of the volume; safe to call twice."""
        self.volume.release()


class StreamBody(Protocol):
    """Bytes that are fetched while they are sent.

    ``length`` is that of the whole body, None when it is not known before its end; ``first`` holds
    up to 512 bytes of its beginning, for sniffing.  Nothing of it is lost to them.
    """

    length: int | None
    first: bytes

    async def read(self) -> Body:
        """The next bytes, empty behind the last ones.

        Whatever it raises cuts the response off: its length or its missing end tells the client.
        """

    def close(self) -> None:
        """Lets go of everything, also in the middle; safe to call twice."""


@dataclass(slots=True)
class Response:
    """Status, headers by canonical name, body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Body | FileBody | StreamBody = b""
    close: bool = False
    """The connection ends after this response."""
    json: object = None
    """What becomes the body by :meth:`write_json`; None once it has."""
    more_headers: Sequence[tuple[str, str]] = ()
    """Fields of names that ``headers`` has already: a proxy passes on what it got."""

    def write_json(self, *, pretty: bool) -> None:
        """Makes the body of a JSON response, for people if ``pretty``."""
        if self.json is not None:
            self.body = go_json.dumps(self.json, pretty=pretty)
            self.json = None

    @property
    def body_length(self) -> int | None:
        """Bytes of the body; None when only its end will tell."""
        body = self.body
        return len(body) if isinstance(body, Body) else body.length


class HeaderWriter:
    """Turns responses of one server into head bytes."""

    def __init__(self, server_header: str) -> None:
        self.server_header = server_header

    def date(self) -> str:
        """The Date header's value now."""
        return http_date(int(time.time()))

    def add_common(self, response: Response) -> None:
        """Server and request id, unless a stored pair has set them."""
        response.headers.setdefault("Server", self.server_header)
        response.headers.setdefault("X-Amz-Request-Id", request_id())

    def head(self, response: Response, *, is_head: bool, http10: bool, keep_alive: bool) -> bytes:
        """The response's head, empty line included."""
        status, headers = response.status, response.headers
        version = "HTTP/1.0" if http10 else "HTTP/1.1"
        lines = [f"{version} {status} {REASONS.get(status, 'Status')}"]
        lines += [
            f"{name}: {_safe(headers[name])}" for name in sorted(headers) if _is_sendable(name)
        ]
        lines += [
            f"{name}: {_safe(value)}" for name, value in response.more_headers if _is_sendable(name)
        ]
        if "Date" not in headers:
            lines.append(f"Date: {self.date()}")
        length = response.body_length
        declared = status in _BODYLESS or "Content-Length" in headers
        if not declared and length is not None and (length or not is_head):
            lines.append(f"Content-Length: {length}")
        if self._may_sniff(response) and not is_head:
            body = response.body
            first = body if isinstance(body, Body) else body.first
            lines.append(f"Content-Type: {detect_content_type(first)}")
        if is_chunked(response, http10=http10):
            lines.append("Transfer-Encoding: chunked")
        if not keep_alive:
            if not http10:
                lines.append("Connection: close")
        elif http10:
            lines.append("Connection: keep-alive")
        lines.append("\r\n")
        return to_bytes("\r\n".join(lines))

    @staticmethod
    def _may_sniff(response: Response) -> bool:
        headers = response.headers
        return (
            response.status not in _BODYLESS
            and "Content-Type" not in headers
            and not headers.get("Content-Encoding")
            and response.body_length != 0
        )


def let_go(body: Body | FileBody | StreamBody) -> None:
    """Lets go of a body that will not be sent."""
    if not isinstance(body, Body):
        body.close()


def is_chunked(response: Response, *, http10: bool) -> bool:
    """Whether the body's end is told by a last chunk; an HTTP/1.0 client is told by the close."""
    if http10 or response.body_length is not None:
        return False
    return response.status not in _BODYLESS and "Content-Length" not in response.headers


def _is_sendable(name: str) -> bool:
    return name not in _FRAMING_HEADERS and is_token(to_bytes(name))


def _safe(value: str) -> str:
    """No value can end its line: line ends become spaces; those around it go, as with Go."""
    if "\r" in value or "\n" in value:
        value = value.replace("\r", " ").replace("\n", " ")
    return value.strip(" \t")


def json_response(status: int, value: object) -> Response:
    """A JSON body with Go's escaping and upstream's two headers (weed/server/common.go: writeJson)."""
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return Response(status, headers, json=value)


def json_error(status: int, text: str) -> Response:
    """``{"error": text}``."""
    return json_response(status, {"error": text})


def text_error(status: int, text: bytes) -> Response:
    """What Go's http.Error writes."""
    headers = {"Content-Type": TEXT, "X-Content-Type-Options": "nosniff"}
    return Response(status, headers, text)


def redirect(method: str, location: str) -> Response:
    """What Go's multiplexer answers to a path that has a better form."""
    response = Response(307, {"Location": location})
    if method in ("GET", "HEAD"):
        response.headers["Content-Type"] = "text/html; charset=utf-8"
    if method == "GET":
        response.body = redirect_body(location, "Temporary Redirect")
    return response


def refusal(error: "MalformedRequestError") -> bytes:
    """The whole answer to bytes that make no request: Go writes it without the common headers."""
    if error.body:
        fields = f"Content-Type: {TEXT}\r\nConnection: close\r\n"
    else:
        date = http_date(int(time.time()))
        length = "" if error.is_head else "Content-Length: 0\r\n"
        fields = f"Connection: close\r\nDate: {date}\r\n{length}"
    return f"HTTP/1.1 {error.status} {error.reason}\r\n{fields}\r\n{error.body}".encode()
