"""GET and HEAD of an object (weed/server/volume_server_handlers_read.go: GetOrHeadHandler).

This is the complete read: everything that the fast read does and everything that it leaves alone. It
runs on the event loop as long as it need not wait for a disk and has little to compute; the moment it
would, it starts again in a thread. Nothing is changed by a read, so starting again is harmless.
"""

import logging
from collections.abc import Awaitable
from typing import Final

from fastvol.errors import InvalidRequestError, UnsupportedError
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.formats.needle import Needle
from fastvol.http import ranges
from fastvol.http.blocking import RunBlocking, here_or_in_thread
from fastvol.http.compression import GunzipError, gunzip, is_gzipped
from fastvol.http.conditional import http_date, none_match, not_modified_since
from fastvol.http.data_file import read_ahead, read_exactly
from fastvol.http.disposition import content_disposition
from fastvol.http.file_path import UrlPath, parse_url_path
from fastvol.http.go_text import go_bool, to_text
from fastvol.http.guard import AccessGuard
from fastvol.http.mime_types import type_by_extension
from fastvol.http.pairs import decode_pairs
from fastvol.http.query import Query, parse_query
from fastvol.http.request import Request
from fastvol.http.response import FileBody, Response, json_error, text_error
from fastvol.limits import (
    GUNZIP_BYTES_MAX,
    HTTP_COPY_BYTES_MAX,
    HTTP_INLINE_VERIFY_BYTES_MAX,
    PAGED_READ_BYTES,
    SNIFF_BYTES_MAX,
)
from fastvol.store.store import Store
from fastvol.volume.volume import StoredNeedle, Volume, WouldWaitError

log = logging.getLogger(__name__)

_GENERIC: Final = "application/octet-stream"
_PASSTHROUGH: Final = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}


class ReadHandler:
    """Answers reads from the store."""

    def __init__(self, store: Store, guard: AccessGuard, run_blocking: RunBlocking) -> None:
        self._store = store
        self._guard = guard
        self._run_blocking = run_blocking

    def check_head(self, _request: Request) -> Response | None:
        """A read with a body is odd but harmless."""
        return None

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """The response; in a thread when the disk must be waited for."""
        return here_or_in_thread(self._answer, request, self._run_blocking)

    def _answer(self, request: Request, *, nowait: bool) -> Response:
        try:
            path = parse_url_path(request.path)
        except InvalidRequestError:
            return Response(400)
        if not self._guard.allows_read(request, path.vid, path.fid):
            return json_error(401, "wrong jwt")
        try:
            volume_id = parse_volume_id(path.vid)
            key, cookie = parse_path(path.fid)
        except ValueError:
            return Response(400)
        volume = self._store.find_volume(volume_id)
        if volume is None:
            return Response(404)
        query = parse_query(request.target.raw_query)
        reply = _Reply(request, volume, path, query, nowait=nowait)
        return reply.build(key, cookie)


class _Reply:
    """One response in the making."""

    def __init__(
        self, request: Request, volume: Volume, path: UrlPath, query: Query, *, nowait: bool
    ) -> None:
        self._request = request
        self._volume = volume
        self._path = path
        self._query = query
        self._nowait = nowait
        self._is_head = request.method == "HEAD"
        self._response = Response(200)

    def build(self, key: int, cookie: int) -> Response:
        """The pipeline in upstream's order."""
        stored = self._load(key)
        needle = stored.needle
        if needle.size and needle.cookie != cookie:
            return Response(404)
        not_modified = self._conditions(needle)
        if not_modified is not None:
            return not_modified
        headers = self._response.headers
        headers["Etag"] = f'"{needle.etag}"'
        self._add_pairs(needle)
        if needle.is_chunk_manifest and self._query.get("cm") != "false":
            raise UnsupportedError("chunk manifests are not expanded yet")
        filename, mime = self._name_and_type(needle)
        body = self._decoded_body(stored)
        if mime:
            headers["Content-Type"] = mime
        headers["Accept-Ranges"] = "bytes"
        self._passthrough()
        if filename and "Content-Disposition" not in headers:
            attachment = go_bool(self._query.get("dl", ""))
            headers["Content-Disposition"] = content_disposition(filename, attachment=attachment)
        size = len(body) if body is not None else stored.data_size
        if self._is_head:
            headers["Content-Length"] = str(size)
            return self._response
        return self._ranged(stored, body, size, mime)

    # --- the needle -----------------------------------------------------------------------------

    def _load(self, key: int) -> StoredNeedle:
        read_deleted = self._query.get("readDeleted") == "true"
        stored = self._volume.load(
            key,
            read_deleted=read_deleted,
            meta_above=HTTP_COPY_BYTES_MAX,
            nowait=self._nowait,
        )
        if not stored.meta_only:
            return stored
        if stored.needle.is_compressed or stored.needle.is_chunk_manifest:
            self._only_in_thread()
            return self._volume.load(key, read_deleted=read_deleted)
        if stored.needle.size <= PAGED_READ_BYTES:
            # Upstream reads bodies up to this size whole, and so checks them for any request.
            self._verify(stored)
        return stored

    def _only_in_thread(self) -> None:
        if self._nowait:
            raise WouldWaitError("this read computes too much for the event loop")

    def _verify(self, stored: StoredNeedle) -> None:
        if stored.data_size > HTTP_INLINE_VERIFY_BYTES_MAX:
            self._only_in_thread()
        self._volume.verify(stored, nowait=self._nowait)

    # --- headers --------------------------------------------------------------------------------

    def _conditions(self, needle: Needle) -> Response | None:
        request_headers = self._request.headers
        last_modified = needle.last_modified
        if last_modified:
            self._response.headers["Last-Modified"] = http_date(last_modified)
        since = request_headers.text(b"if-modified-since")
        tag = request_headers.text(b"if-none-match")
        if not_modified_since(since, last_modified) or none_match(tag, needle.etag):
            self._response.status = 304
            return self._response
        return None

    def _add_pairs(self, needle: Needle) -> None:
        if not needle.pairs:
            return
        try:
            pairs = decode_pairs(needle.pairs)
        except ValueError as error:
            log.warning("needle %x: its pairs %s", needle.id, error)
            return
        # The length is ours to say, on every path from here.
        pairs.pop("Content-Length", None)
        self._response.headers.update(pairs)

    def _name_and_type(self, needle: Needle) -> tuple[str, str]:
        filename = self._path.filename
        if needle.name and not filename:
            filename = to_text(bytes(needle.name))
        mime = to_text(bytes(needle.mime))
        if mime.startswith(_GENERIC):
            mime = ""
        dot = filename.rfind(".")
        if not mime and dot >= 0:
            mime = type_by_extension(filename[dot:])
        return filename, mime

    def _passthrough(self) -> None:
        for key, value in self._query.items():
            header = _PASSTHROUGH.get(key.lower())
            if header is not None:
                self._response.headers[header] = value

    # --- the body -------------------------------------------------------------------------------

    def _decoded_body(self, stored: StoredNeedle) -> bytes | None:
        """The bytes to answer with; None when they are sent from the file."""
        if stored.meta_only:
            return None
        data = bytes(stored.needle.data)
        if not stored.needle.is_compressed:
            return data
        if not is_gzipped(data):
            return data
        if "gzip" in self._request.headers.text(b"accept-encoding"):
            self._response.headers["Content-Encoding"] = "gzip"
            return data
        if len(data) > HTTP_COPY_BYTES_MAX:
            self._only_in_thread()
        try:
            return gunzip(data, GUNZIP_BYTES_MAX)
        except GunzipError as error:
            log.error("needle %x: its gzip data do not decode: %s", stored.needle.id, error)
            return b""

    def _ranged(self, stored: StoredNeedle, body: bytes | None, size: int, mime: str) -> Response:
        response, headers = self._response, self._response.headers
        wanted = ranges.parse_range(self._request.headers.text(b"range"), size)
        if isinstance(wanted, ranges.Bad):
            return self._range_error(ranges.BAD_RANGE_BODY)
        if isinstance(wanted, ranges.NoOverlap):
            headers["Content-Range"] = f"bytes */{size}"
            return self._range_error(ranges.NO_OVERLAP_BODY)
        if isinstance(wanted, ranges.EmptyOk):
            return response
        if isinstance(wanted, ranges.Multi):
            return self._several(stored, body, size, mime, wanted)
        span = ranges.Span(0, size)
        if isinstance(wanted, ranges.Single):
            span = wanted.span
            response.status = 206
            headers["Content-Range"] = span.content_range(size)
        headers["Content-Length"] = str(span.length)
        if body is not None:
            whole = span.length == len(body)
            response.body = body if whole else body[span.start : span.start + span.length]
            return response
        if span.length == size and stored.needle.size > PAGED_READ_BYTES:
            self._verify(stored)
        response.body = self._file_body(stored, span)
        return response

    def _range_error(self, text: bytes) -> Response:
        error = text_error(416, text)
        error.headers = {**self._response.headers, **error.headers}
        return error

    def _file_body(self, stored: StoredNeedle, span: ranges.Span) -> FileBody | bytes:
        if span.length <= 0:
            return b""
        offset = stored.data_offset + span.start
        native = stored.native.share()
        try:
            if stored.needle.size > PAGED_READ_BYTES:
                self._only_in_thread()
                read_ahead(native.dat_fd(), offset, span.length)
            first = read_exactly(native.dat_fd(), min(span.length, SNIFF_BYTES_MAX), offset)
        except BaseException:
            native.release()
            raise
        return FileBody(native, offset, span.length, first)

    def _several(
        self,
        stored: StoredNeedle,
        body: bytes | None,
        size: int,
        mime: str,
        wanted: ranges.Multi,
    ) -> Response:
        self._only_in_thread()
        frame = ranges.multipart_ranges(wanted.spans, size, mime, ranges.new_boundary())
        pieces = bytearray()
        native = stored.native.share()
        try:
            for head, span in zip(frame.heads, wanted.spans, strict=True):
                pieces += head
                if body is not None:
                    pieces += body[span.start : span.start + span.length]
                else:
                    offset = stored.data_offset + span.start
                    pieces += read_exactly(native.dat_fd(), span.length, offset)
        finally:
            native.release()
        pieces += frame.tail
        response = self._response
        response.status = 206
        response.headers["Content-Type"] = frame.content_type
        if "Content-Encoding" not in response.headers:
            response.headers["Content-Length"] = str(len(pieces))
        response.body = pieces
        return response
