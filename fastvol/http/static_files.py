"""Icons, on both ports and for any method (weed/server/common.go: handleStaticResources).

Answered as Go's file server answers for embedded files: with ranges, without validators, and with
neither Server nor a request id. The artwork is fastvol's own.
"""

from importlib import resources
from typing import Final

from fastvol.http.content import MemoryContent, answer_ranges
from fastvol.http.go_text import to_text
from fastvol.http.request import Request
from fastvol.http.response import Response, redirect, text_error

FAVICON: Final = "/favicon.ico"
DIRECTORY: Final = "/seaweedfsstatic/"
_TYPES: Final = {"favicon.ico": "image/x-icon", "seaweed50x50.png": "image/png"}
_LISTING: Final = (
    '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n{}</pre>\n'
)


def read_asset(name: str) -> bytes:
    """A file that comes with this package."""
    return resources.files("fastvol.http").joinpath("assets", name).read_bytes()


class StaticFiles:
    """All of them, read once; nothing is ever looked for on a disk by a client's path."""

    def __init__(self) -> None:
        self._files = {name: read_asset(name) for name in _TYPES}

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a decoded path belongs here; the object handlers get all others."""
        return path == FAVICON or path.startswith(DIRECTORY) or path == DIRECTORY[:-1]

    def answer(self, request: Request) -> Response:
        """A file, the list of them, or 404."""
        path = request.path
        if path == DIRECTORY[:-1]:
            query = to_text(request.target.raw_query)
            return redirect(request.method, f"{DIRECTORY}?{query}" if query else DIRECTORY)
        if path == DIRECTORY:
            return self._listing()
        name = path.rpartition("/")[2]
        data = self._files.get(name) if path in (FAVICON, DIRECTORY + name) else None
        if data is None:
            return text_error(404, b"404 page not found\n")
        headers = {"Accept-Ranges": "bytes", "Content-Type": _TYPES[name]}
        wanted, mime = request.headers.text(b"range"), _TYPES[name]
        response = answer_ranges(Response(200, headers), MemoryContent(data), wanted, mime)
        if response.status == 416:
            response.headers.pop("Accept-Ranges")
        return response

    def _listing(self) -> Response:
        links = "".join(f'<a href="{name}">{name}</a>\n' for name in self._files)
        return Response(
            200,
            {"Content-Type": "text/html; charset=utf-8"},
            _LISTING.format(links).encode(),
        )
