"""Which handler answers a request (weed/server/volume_server.go: NewVolumeServer).

A handler is asked twice: ``check_head`` before the body is received, so that a request that cannot
succeed does not cost its bytes, and ``handle`` when all is there. Any error of a handler becomes a
response here; nothing escapes to the connection.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fastvol.errors import FastvolError, http_status
from fastvol.http.query import clean_location, parse_query
from fastvol.http.request import Request
from fastvol.http.response import (
    HeaderWriter,
    Response,
    json_error,
    redirect,
    text_error,
)
from fastvol.http.static_files import StaticFiles
from fastvol.log_limiter import LogLimiter
from fastvol.observability.request_stats import INVALID, RequestStats

log = logging.getLogger(__name__)

Answer = Response | Awaitable[Response]
HeadCheck = Response | None
_UPLOADS: Final = ("POST", "PUT")
_TOLD: Final = (400, 401, 499)
"""Of a change that failed; whatever else it was is a 500 (weed/server/common.go: writeJsonError)."""
_ADMIN_METHODS: Final = "PUT, POST, GET, DELETE, OPTIONS"
_PUBLIC_METHODS: Final = "GET, OPTIONS"


class Handler(Protocol):
    """What the router needs of the object handlers."""

    def check_head(self, request: Request) -> HeadCheck | Awaitable[HeadCheck]:
        """A refusal that needs no body, or None; later, when the request must wait for its turn."""

    def handle(self, request: Request) -> Answer:
        """The response, now or later."""


class Router:
    """Routes by port, path and method."""

    def __init__(
        self,
        writer: HeaderWriter,
        *,
        read: Handler,
        write: Handler,
        delete: Handler,
        exact: dict[str, Callable[[Request], Answer]],
        static: StaticFiles,
        stats: RequestStats | None = None,
    ) -> None:
        """``exact``: paths of the admin port, any method; ``static``: files of both ports, which carry
        neither Server nor a request id."""
        self._writer = writer
        self._read = read
        self._write = write
        self._delete = delete
        self._exact = exact
        self._static = static
        self._stats = stats or RequestStats()
        self._failures = LogLimiter(log)

    def check_head(self, request: Request) -> HeadCheck | Awaitable[HeadCheck]:
        """A response that can be given before the body is received, or None."""
        if not request.has_body and request.method not in _UPLOADS:
            return None
        try:
            handler = self._object_handler(request)
            if handler is None:
                return None
            self._count(request)
            checked = handler.check_head(request)
        except Exception as error:
            return self._head_failure(request, error)
        if checked is None or isinstance(checked, Response):
            return checked
        return self._guarded_check(request, checked)

    async def _guarded_check(self, request: Request, checked: Awaitable[HeadCheck]) -> HeadCheck:
        try:
            return await checked
        except Exception as error:
            return self._head_failure(request, error)

    def _head_failure(self, request: Request, error: Exception) -> Response:
        response = self._failure(request, error)
        response.close = not isinstance(error, FastvolError)
        return response

    def is_upload(self, request: Request) -> bool:
        """Whether a handler wants the request's body, however long."""
        return self._object_handler(request) is self._write

    def handle(self, request: Request) -> Answer:
        """The response to a complete request."""
        try:
            answer = self._route(request)
        except Exception as error:
            return self._failure(request, error)
        if isinstance(answer, Response):
            return answer
        return self._guarded(request, answer)

    async def _guarded(self, request: Request, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except Exception as error:
            return self._failure(request, error)

    def finish(self, request: Request, response: Response) -> bytes:
        """Adds what every response carries and writes the head."""
        request.status = response.status
        if response.json is not None:
            pretty = parse_query(request.target.raw_query).get("pretty")
            response.write_json(pretty=bool(pretty))
        if request.counted and request.method != "HEAD":
            self._stats.sends(response.body_length or 0)
        if not self._is_bare(request, response):
            self._writer.add_common(response)
            if request.headers.get(b"origin") and self._is_object_path(request):
                response.headers["Access-Control-Allow-Origin"] = "*"
                response.headers["Access-Control-Allow-Credentials"] = "true"
        return self._writer.head(
            response,
            is_head=request.method == "HEAD",
            http10=request.http10,
            keep_alive=not response.close,
        )

    # ---------------------------------------------------------------------------------------------

    def _is_bare(self, request: Request, response: Response) -> bool:
        """Answers of the multiplexer itself, and static files."""
        is_static = self._static.serves(request.path)
        return response.status == 307 or is_static or request.path in ("", "*")

    def _is_object_path(self, request: Request) -> bool:
        return request.public or request.path not in self._exact

    def _object_handler(self, request: Request) -> Handler | None:
        if self._static.serves(request.path) or not self._is_object_path(request):
            return None
        if clean_location(request.target) is not None:
            return None
        return self._by_method(request)

    def _by_method(self, request: Request) -> Handler | None:
        """Who handles the object that a path names."""
        if request.method in ("GET", "HEAD"):
            return self._read
        if request.public:
            return None
        if request.method in _UPLOADS:
            return self._write
        return self._delete if request.method == "DELETE" else None

    def _route(self, request: Request) -> Answer:
        if not request.path:
            return text_error(404, b"404 page not found\n")
        if request.path == "*":
            if request.method == "OPTIONS":
                return Response(200, {"Content-Length": "0"})
            return Response(400, close=True)
        location = clean_location(request.target)
        if location is not None:
            return redirect(request.method, location)
        if self._static.serves(request.path):
            return self._static.answer(request)
        special = None if request.public else self._exact.get(request.path)
        if special is not None:
            return special(request)
        handler = self._by_method(request)
        if handler is not None:
            self._count(request)
            return handler.handle(request)
        known = request.method == "OPTIONS" or request.public
        self._count(request, "" if known else INVALID)
        return self._other_method(request)

    def _count(self, request: Request, label: str = "") -> None:
        if not request.counted:
            request.counted = True
            self._stats.begin(request, label)

    @staticmethod
    def _other_method(request: Request) -> Response:
        if request.method == "OPTIONS":
            allowed = _PUBLIC_METHODS if request.public else _ADMIN_METHODS
            return Response(
                200,
                {"Access-Control-Allow-Methods": allowed, "Access-Control-Allow-Headers": "*"},
            )
        if request.public:
            return Response(200)
        return json_error(400, f"unsupported method {request.method}")

    def _failure(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, FastvolError):
            self._failures.error(
                type(error).__name__, "%s %s failed", request.method, request.path, exc_info=error
            )
            return Response(500)
        status = http_status(error)
        if request.method in ("GET", "HEAD"):
            if status >= 500:
                kind = type(error).__name__, _first_part(request.path)
                self._failures.error(kind, "%s %s: %s", request.method, request.path, error)
            return Response(status)
        return json_error(status if status in _TOLD else 500, str(error))


def _first_part(path: str) -> str:
    """The volume, in the path of an object."""
    return path.lstrip("/").replace(",", "/").partition("/")[0]
