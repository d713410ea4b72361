"""HTTP to other volume servers, over connections that are kept.

aiohttp takes as long to import as half the server to start, and many servers never talk to a peer: it
comes with the first request.

Source of the settings: weed/util/http/client/http_client.go, weed/operation/upload_content.go.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Final

from fastvol.errors import PeerError
from fastvol.limits import (
    KIB,
    PEER_BYTES_PER_SECOND_MIN,
    PEER_CONNECT_SECONDS,
    PEER_CONNECTIONS_PER_HOST_MAX,
    PEER_HEAD_SECONDS,
    PEER_IDLE_SECONDS,
    PEER_READ_BYTES,
    PEER_REDIRECTS_MAX,
    PEER_SEND_BYTES,
    PEER_STALL_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    import aiohttp

USER_AGENT: Final = "Go-http-client/1.1"
_COPIED_BYTES_MAX: Final = 64 * KIB
_STATUS_MIN: Final = 200
"""Of an answer; the library passes on the 101 that nobody asked for."""


class Upload:
    """A body in pieces, of which no joined copy is made."""

    def __init__(self, *pieces: bytes | bytearray | memoryview) -> None:
        self._pieces = pieces
        self.length = sum(map(len, pieces))

    def content(self) -> bytes | AsyncIterator[memoryview]:
        """The body as the library takes it: in one piece where a copy costs less than the steps."""
        if self.length <= _COPIED_BYTES_MAX:
            return b"".join(self._pieces)
        return self.steps()

    async def steps(self) -> AsyncIterator[memoryview]:
        """All bytes, from the beginning at each call."""
        for piece in self._pieces:
            view = memoryview(piece)
            for at in range(0, len(view), PEER_SEND_BYTES):
                yield view[at : at + PEER_SEND_BYTES]


class PeerResponse:
    """An answer whose body has not been read yet; to be read to its end or closed."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.raw_headers: Sequence[tuple[bytes, bytes]] = response.raw_headers
        self.length = response.content_length

    async def read(self) -> bytes:
        """The next bytes, empty behind the last ones.

        Raises:
            PeerError: the body broke off, or nothing comes any more.
        """
        try:
            async with asyncio.timeout(PEER_STALL_SECONDS):
                return await self._response.content.readany()
        except TimeoutError as error:
            raise self._stalled() from error
        except _failures() as error:
            raise PeerError(f"{self._response.url}: {reason(error)}") from error

    def _stalled(self) -> PeerError:
        self.close()
        return PeerError(f"{self._response.url}: the body takes longer than {PEER_STALL_SECONDS} s")

    async def read_all(self, bytes_max: int) -> bytes:
        """The whole of a short body.

        Raises:
            PeerError: it broke off, takes too long or is longer than ``bytes_max``.
        """
        try:
            async with asyncio.timeout(PEER_STALL_SECONDS):
                return await self._read_all(bytes_max)
        except TimeoutError as error:
            raise self._stalled() from error

    async def _read_all(self, bytes_max: int) -> bytes:
        pieces = bytearray()
        while piece := await self.read():
            pieces += piece
            if len(pieces) > bytes_max:
                self.close()
                raise PeerError(f"{self._response.url}: more than {bytes_max} bytes")
        return bytes(pieces)

    def close(self) -> None:
        """Gives the connection back if the body was read, else closes it."""
        self._response.close()


class PeerHttp:
    """The process's client; made and used on one event loop."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        """``tls``: peers are spoken to by HTTPS, whatever a URL says."""
        self.scheme = "http" if tls is None else "https"
        self._tls = tls
        self._opened: aiohttp.ClientSession | None = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=PEER_CONNECTIONS_PER_HOST_MAX,
            keepalive_timeout=PEER_IDLE_SECONDS,
            ssl=self._tls if self._tls is not None else True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=PEER_READ_BYTES,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, connect=PEER_CONNECT_SECONDS),
            trust_env=False,
        )

    async def request(
        self,
        method: str,
        address: str,
        target: bytes,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: Upload | None = None,
        follow: bool = False,
    ) -> PeerResponse:
        """Sends a request and waits for the head of its answer.

        Args:
            address: ``host:port``.
            target: path and query, percent-encoded.
            follow: go after redirects.

        Raises:
            PeerError: no answer, with the reason in the words of Go's client.
        """
        from aiohttp import ServerDisconnectedError
        from multidict import CIMultiDict
        from yarl import URL

        text = f"{self.scheme}://{address}{target.decode('latin-1')}"
        try:
            url = URL(text, encoded=True)
            _ = url.port  # looked at only now, and worth a complaint of its own
        except ValueError as error:  # whatever a master says may come here
            raise PeerError(f'{method.title()} "{text}": {error}') from error
        fields = CIMultiDict(headers)
        fields.setdefault("User-Agent", USER_AGENT)
        seconds: float = PEER_CONNECT_SECONDS + PEER_HEAD_SECONDS
        if body is not None:
            fields["Content-Length"] = str(body.length)
            seconds += body.length / PEER_BYTES_PER_SECOND_MIN

        async def send() -> aiohttp.ClientResponse:
            async with asyncio.timeout(seconds):
                return await self._session.request(
                    method,
                    url,
                    headers=fields,
                    data=body.content() if body is not None else None,
                    allow_redirects=follow,
                    max_redirects=PEER_REDIRECTS_MAX,
                )

        try:
            try:
                response = await send()
            except (ServerDisconnectedError, ConnectionResetError):
                # A kept connection that the peer has closed meanwhile.  Should it have got the
                # request all the same: what is stored again is unchanged, what is deleted is gone.
                response = await send()
        except _failures(ValueError) as error:
            raise PeerError(f'{method.title()} "{url}": {reason(error)}') from error
        if response.status < _STATUS_MIN:
            response.close()
            status = response.status
            raise PeerError(f'{method.title()} "{url}": malformed HTTP status code {status}')
        return PeerResponse(response)

    async def close(self) -> None:
        """Closes every connection."""
        if self._opened is not None:
            await self._opened.close()


def _failures(*more: type[Exception]) -> tuple[type[Exception], ...]:
    from aiohttp import ClientError

    return (ClientError, OSError, TimeoutError, *more)


def reason(error: BaseException) -> str:
    """What went wrong, as far as possible in the words of Go's client."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorError):
        host, port = error.host, error.port
        # The event loop's words name the address once more.
        code = error.os_error.errno
        text = (os.strerror(code) if code else str(error.os_error)).lower()
        return f"dial tcp {host}:{port}: connect: {text}"
    if isinstance(error, TimeoutError):
        return "net/http: timeout awaiting response headers"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "unexpected EOF"
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"stopped after {PEER_REDIRECTS_MAX} redirects"
    if isinstance(error, aiohttp.ClientResponseError):
        # The library shows over several lines what it could not read.
        first_line = error.message.partition("\n")[0].rstrip(":")
        return f"malformed HTTP response: {first_line}"
    return str(error) or type(error).__name__
