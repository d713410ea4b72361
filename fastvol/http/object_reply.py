"""One needle becomes one response (weed/server/volume_server_handlers_read.go: GetOrHeadHandler)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.http.blocking import only_in_thread
from fastvol.http.compression import GunzipError, gunzip, is_gzipped
from fastvol.http.conditional import http_date, none_match, not_modified_since
from fastvol.http.content import Content, FileContent, MemoryContent, answer_ranges
from fastvol.http.disposition import content_disposition
from fastvol.http.go_text import go_bool, to_text
from fastvol.http.image_request import ImageRequest, extension, plan
from fastvol.http.manifest import Manifest, parse_manifest
from fastvol.http.mime_types import type_by_extension
from fastvol.http.pairs import decode_pairs
from fastvol.http.remote_content import RemoteContent
from fastvol.http.response import Response
from fastvol.limits import (
    GUNZIP_BYTES_MAX,
    HTTP_COPY_BYTES_MAX,
    HTTP_INLINE_VERIFY_BYTES_MAX,
    IMAGE_BYTES_MAX,
    PAGED_READ_BYTES,
)
from fastvol.observability.counts import Event

if TYPE_CHECKING:
    from fastvol.formats.needle import Needle
    from fastvol.http.blocking import RunBlocking
    from fastvol.http.file_path import UrlPath
    from fastvol.http.query import Query
    from fastvol.http.request import Request
    from fastvol.observability.counts import Counts
    from fastvol.volume.volume import StoredNeedle, Volume

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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for: a needle of a volume that is here."""

    volume: Volume
    key: int
    cookie: int
    path: UrlPath
    query: Query


@dataclass(slots=True)
class Reading:
    """What came of reading a needle.

    ``size`` is its body's, in bytes, 0 if it was not read.  With an ``expansion`` the response lacks
    everything that depends on the content, which is elsewhere.
    """

    response: Response
    size: int = 0
    expansion: Expansion | None = None
    deleted: bool = False
    """It was read although it is deleted."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A manifest that was read, and the reply that goes on with what it lists."""

    manifest: Manifest
    reply: ObjectReply


class ObjectReply:
    """One response in the making."""

    def __init__(
        self,
        request: Request,
        wanted: Wanted,
        counts: Counts,
        run_remote: RunBlocking,
        *,
        nowait: bool,
    ) -> None:
        """``run_remote`` goes on with a body that lies in an object store."""
        self._request = request
        self._volume = wanted.volume
        self._key = wanted.key
        self._cookie = wanted.cookie
        self._path = wanted.path
        self._query = wanted.query
        self._counts = counts
        self._run_remote = run_remote
        self._nowait = nowait
        self._response = Response(200)

    def read(self) -> Reading:
        """What came of it.

        Raises:
            NeedleNotFoundError, NeedleCorruptedError, DiskIOError
            WouldWaitError: only with ``nowait``.
        """
        stored = self._load()
        reading = self._reading(stored)
        reading.deleted = stored.deleted
        return reading

    def _reading(self, stored: StoredNeedle) -> Reading:
        """The pipeline in upstream's order."""
        needle = stored.needle
        if needle.size and needle.cookie != self._cookie:
            return Reading(Response(404), needle.size)
        if self._is_not_modified(needle):
            self._response.status = 304
            return Reading(self._response, needle.size)
        self._response.headers["Etag"] = f'"{needle.etag}"'
        self._add_pairs(needle)
        if needle.is_chunk_manifest and self._query.get("cm") != "false":
            manifest = self._manifest(needle)
            if manifest is not None:
                self._response.headers["X-File-Store"] = "chunked"
                return Reading(self._response, needle.size, Expansion(manifest, self))
        filename = self._path.filename or to_text(bytes(needle.name))
        mime = _type_of(filename, to_text(bytes(needle.mime)))
        content = self._content(stored)
        return Reading(self._finish(content, filename, mime), needle.size)

    # --- the needle -----------------------------------------------------------------------------

    def _load(self) -> StoredNeedle:
        read_deleted = self._query.get("readDeleted") == "true"
        stored = self._volume.load(
            self._key,
            read_deleted=read_deleted,
            meta_above=HTTP_COPY_BYTES_MAX,
            nowait=self._nowait,
        )
        if stored.meta_only:
            needle = stored.needle
            if needle.is_compressed or needle.is_chunk_manifest or self._reads_image(needle):
                self._only_in_thread()
                return self._volume.load(self._key, read_deleted=read_deleted)
            if needle.size <= PAGED_READ_BYTES:
                # Upstream reads bodies up to this size whole, and so checks them for any request.
                self._verify(stored)
        return stored

    def _reads_image(self, needle: Needle) -> bool:
        """Whether the bytes are needed to make another image of them.

        Upstream looks for the stored name's extension in what it reads whole only, and never makes
        an image of a large object for a HEAD.
        """
        if self.image_wanted(to_text(bytes(needle.name))) is None:
            return False
        if needle.size <= PAGED_READ_BYTES:
            return True
        by_url = plan(self._query, self._path.ext.lower()) is not None
        return by_url and self._request.method != "HEAD" and needle.size <= IMAGE_BYTES_MAX

    def _only_in_thread(self) -> None:
        only_in_thread("this read", nowait=self._nowait)

    def _verify(self, stored: StoredNeedle) -> None:
        if stored.data_size > HTTP_INLINE_VERIFY_BYTES_MAX:
            self._only_in_thread()
        self._volume.verify(stored, nowait=self._nowait)

    def _manifest(self, needle: Needle) -> Manifest | None:
        """None when it does not decode: then it is an object like any other."""
        if needle.is_compressed:
            self._only_in_thread()
        try:
            return parse_manifest(bytes(needle.data), is_compressed=needle.is_compressed)
        except ValueError as error:
            log.error("needle %x: load chunked manifest: %s", needle.id, error)
            return None

    # --- headers --------------------------------------------------------------------------------

    def _is_not_modified(self, needle: Needle) -> bool:
        request_headers = self._request.headers
        last_modified = needle.last_modified
        if last_modified:
            self._response.headers["Last-Modified"] = http_date(last_modified)
        since = request_headers.text(b"if-modified-since")
        tag = request_headers.text(b"if-none-match")
        return not_modified_since(since, last_modified) or none_match(tag, needle.etag)

    def _add_pairs(self, needle: Needle) -> None:
        if not needle.pairs:
            return
        try:
            pairs = decode_pairs(needle.pairs)
        except ValueError as error:
            self._counts.add(Event.UNMARSHAL_PAIRS)
            log.warning("needle %x: its pairs %s", needle.id, error)
            return
        # The length is ours to say, on every path from here.
        pairs.pop("Content-Length", None)
        self._response.headers.update(pairs)

    def finish_manifest(self, content: Content, manifest: Manifest) -> Response:
        """The response to a manifest's content; nothing of it has been read yet."""
        filename = self._path.filename or manifest.name
        return self._finish(content, filename, _type_of(filename, manifest.mime))

    def _finish(self, content: Content, filename: str, mime: str) -> Response:
        response, headers = self._response, self._response.headers
        if mime:
            headers["Content-Type"] = mime
        headers["Accept-Ranges"] = "bytes"
        self._passthrough()
        if filename and not headers.get("Content-Disposition"):
            attachment = go_bool(self._query.get("dl", ""))
            headers["Content-Disposition"] = content_disposition(filename, attachment=attachment)
        if self._request.method == "HEAD":
            if content.size >= 0:  # a manifest may say anything
                headers["Content-Length"] = str(content.size)
            return response
        return answer_ranges(response, content, self._request.headers.text(b"range"), mime)

    def _passthrough(self) -> None:
        for key, value in self._query.items():
            header = _PASSTHROUGH.get(key.lower())
            if header is not None:
                self._response.headers[header] = value

    # --- the content ----------------------------------------------------------------------------

    def image_wanted(self, stored_name: str) -> ImageRequest | None:
        """What is asked for if the object, or the manifest's content, is an image."""
        return plan(self._query, extension(self._path, stored_name).lower())

    def _content(self, stored: StoredNeedle) -> Content:
        if stored.remote is not None and stored.meta_only:
            return RemoteContent(stored, self._run_remote)
        if stored.meta_only:
            return FileContent(self._volume, stored, nowait=self._nowait)
        data, name = bytes(stored.needle.data), to_text(bytes(stored.needle.name))
        if stored.needle.is_compressed and is_gzipped(data):
            # The extension in lower case only, as upstream: PNG compressed as .PNG stays as it is.
            is_image = plan(self._query, extension(self._path, name)) is not None
            if not is_image and "gzip" in self._request.headers.text(b"accept-encoding"):
                self._response.headers["Content-Encoding"] = "gzip"
            else:
                data = self._inflated(stored, data)
        wanted = self.image_wanted(name)
        if wanted is not None:
            self._only_in_thread()
            data = drawn(data, wanted)
        return MemoryContent(data)

    def _inflated(self, stored: StoredNeedle, data: bytes) -> bytes:
        if len(data) > HTTP_COPY_BYTES_MAX:
            self._only_in_thread()
        try:
            return gunzip(data, GUNZIP_BYTES_MAX)
        except GunzipError as error:
            log.error("needle %x: its gzip data do not decode: %s", stored.needle.id, error)
            return b""


def drawn(data: bytes, wanted: ImageRequest) -> bytes:
    """The image asked for.  Its library comes with the first one: many servers never see any."""
    from fastvol.http.images import transform

    return transform(data, wanted)


def _type_of(filename: str, mime: str) -> str:
    """The content type to name; empty when the bytes shall tell."""
    if mime.startswith(_GENERIC):
        mime = ""
    dot = filename.rfind(".")
    return type_by_extension(filename[dot:]) if not mime and dot >= 0 else mime
