"""GET and HEAD of an object (weed/server/volume_server_handlers_read.go: GetOrHeadHandler).

This is the complete read: everything that the fast read does and everything that it leaves alone. It
runs on the event loop as long as it need not wait for a disk and has little to compute; the moment it
would, it starts again in a thread. Nothing is changed by a read, so starting again is harmless.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastvol.errors import (
    FastvolError,
    InvalidRequestError,
    NeedleCorruptedError,
    NeedleDeletedError,
    NeedleNotFoundError,
    SizeMismatchError,
)
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.http.blocking import here_or_in_thread
from fastvol.http.chunks import ChunkError, ChunkStream, ManifestContent, depth_of
from fastvol.http.content import MemoryContent
from fastvol.http.file_path import parse_url_path
from fastvol.http.go_text import to_bytes
from fastvol.http.image_request import may_ask
from fastvol.http.object_reply import Expansion, ObjectReply, Reading, Wanted, drawn
from fastvol.http.query import parse_query
from fastvol.http.ranges import Span
from fastvol.http.response import Response, json_error, text_error
from fastvol.limits import IMAGE_BYTES_MAX
from fastvol.observability.counts import Event, Total

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fastvol.http.blocking import RunBlocking
    from fastvol.http.content import Content
    from fastvol.http.file_path import UrlPath
    from fastvol.http.image_request import ImageRequest
    from fastvol.http.parts import HandlerParts
    from fastvol.http.request import Request
    from fastvol.store.store import Store


class ReadHandler:
    """Answers reads from the store."""

    def __init__(self, store: Store, parts: HandlerParts) -> None:
        self._store = store
        self._parts = parts
        self._counts = parts.counts
        self._run_remote = parts.run_remote or parts.run_blocking

    def check_head(self, _request: Request) -> Response | None:
        """A read with a body is odd but harmless."""
        return None

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """The response; later when a disk, another server or other downloads must be waited for."""
        if self._parts.downloads.is_over:
            return self._handle_late(request)
        return self._handle_now(request)

    # --- too much in flight ---------------------------------------------------------------------

    async def _handle_late(self, request: Request) -> Response:
        """Another copy may have room; else the request waits (checkDownloadLimit)."""
        self._counts.add(Event.DOWNLOAD_LIMIT)
        if parse_query(request.target.raw_query).get("proxied") != "true":
            try:
                path = parse_url_path(request.path)
                volume_id = parse_volume_id(path.vid)
            except (InvalidRequestError, ValueError):
                return Response(400)
            volume = self._store.find_volume(volume_id)
            if volume is not None and volume.super_block.replica_placement.copy_count > 1:
                by_proxy = self._parts.read_mode == "proxy"
                return await self._parts.elsewhere.answer(request, path, volume_id, proxy=by_proxy)
        if not await self._parts.downloads.wait(request):
            now, limit = self._parts.downloads.in_flight, self._parts.downloads.limit
            return json_error(
                429,
                f"request {request.path} because inflight download data {now} > {limit}, "
                "and wait timeout",
            )
        answer = self._handle_now(request)
        return answer if isinstance(answer, Response) else await answer

    # --- here or elsewhere ----------------------------------------------------------------------

    def _handle_now(self, request: Request) -> Response | Awaitable[Response]:
        try:
            path = parse_url_path(request.path)
        except InvalidRequestError:
            return Response(400)
        if not self._parts.guard.allows_read(request, path.vid, path.fid):
            return json_error(401, "wrong jwt")
        try:
            volume_id = parse_volume_id(path.vid)
            key, cookie = parse_path(path.fid)
        except ValueError:
            return Response(400)
        volume = self._store.find_volume(volume_id)
        if volume is None:
            return self._not_here(request, path, volume_id)
        query = parse_query(request.target.raw_query)
        return self._read(request, Wanted(volume, key, cookie, path, query))

    def _not_here(
        self, request: Request, path: UrlPath, volume_id: int
    ) -> Response | Awaitable[Response]:
        if self._parts.read_mode == "local":
            self._counts.add(Total.INVALID_NEEDLES, Total.READ_FAILURES, Event.GET_NOT_FOUND)
            return Response(404)
        return self._parts.elsewhere.answer(
            request, path, volume_id, proxy=self._parts.read_mode == "proxy"
        )

    # --- here -----------------------------------------------------------------------------------

    def _thread_for(self, wanted: Wanted) -> RunBlocking:
        """Local reads must not wait behind those of a store that does not answer, nor behind images."""
        if wanted.volume.remote is not None:
            return self._run_remote
        return self._parts.run_images if may_ask(wanted.query) else self._parts.run_blocking

    def _read(self, request: Request, wanted: Wanted) -> Response | Awaitable[Response]:
        def read(*, nowait: bool) -> Reading:
            return ObjectReply(
                request, wanted, self._counts, self._run_remote, nowait=nowait
            ).read()

        try:
            reading = here_or_in_thread(read, self._thread_for(wanted))
        except FastvolError as error:
            self._count_failure(error)
            raise
        if isinstance(reading, Reading) and reading.expansion is None:
            return self._done(request, reading)

        async def later() -> Response:
            try:
                done = reading if isinstance(reading, Reading) else await reading
            except FastvolError as error:
                self._count_failure(error)
                raise
            response = self._done(request, done)
            if done.expansion is None:
                return response
            return await self._expanded(request, done.expansion)

        return later()

    def _done(self, request: Request, reading: Reading) -> Response:
        self._parts.downloads.count(request, reading.size)
        if reading.deleted:
            self._counts.add(Event.READ_DELETED)
        if reading.response.status == 404:
            self._counts.add(Event.GET_NOT_FOUND, Total.READ_FAILURES)
        return reading.response

    async def _expanded(self, request: Request, expansion: Expansion) -> Response:
        manifest, reply = expansion.manifest, expansion.reply
        content: Content = ManifestContent(manifest, self._parts.chunks, depth_of(request.headers))
        wanted = reply.image_wanted(manifest.name)
        if wanted is not None and content.size <= IMAGE_BYTES_MAX:
            content = await self._image(content, wanted)
        response = reply.finish_manifest(content, manifest)
        body = response.body
        if isinstance(body, ChunkStream):
            try:
                await body.begin()
            except ChunkError as error:
                body.close()
                self._counts.add(Event.GET_INTERNAL, Total.READ_FAILURES)
                return _cannot_expand(response, error)
        return response

    async def _image(self, content: Content, wanted: ImageRequest) -> Content:
        """The image asked for; the content itself while its chunks cannot be had."""
        stream = content.span(Span(0, content.size))
        assert isinstance(stream, ChunkStream)
        data = bytearray()
        try:
            while piece := await stream.read():
                data += piece
        except ChunkError:
            return content
        finally:
            stream.close()
        return MemoryContent(await self._parts.run_images(partial(drawn, bytes(data), wanted)))

    def _count_failure(self, error: FastvolError) -> None:
        self._counts.add(Total.READ_FAILURES)
        if isinstance(error, NeedleNotFoundError):
            self._counts.add(Event.GET_NOT_FOUND)
            if not isinstance(error, NeedleDeletedError):
                self._counts.add(Total.INVALID_NEEDLES)
            return
        self._counts.add(Event.GET_INTERNAL)
        if isinstance(error, SizeMismatchError):
            self._counts.add(Event.SIZE_MISMATCH)
        elif isinstance(error, NeedleCorruptedError):
            self._counts.add(Event.CHECKSUM)


def _cannot_expand(response: Response, error: ChunkError) -> Response:
    """What Go's http.Error leaves of the headers that were set before."""
    failed = text_error(500, to_bytes(f"{error}\n"))
    kept = {name: value for name, value in response.headers.items() if name != "Content-Length"}
    failed.headers = {**kept, **failed.headers}
    return failed
