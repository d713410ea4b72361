"""The bytes a read answers with, wherever they lie, and the ranges of them that were asked for
(weed/server/common.go: ProcessRangeRequest)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastvol.http import ranges
from fastvol.http.blocking import only_in_thread
from fastvol.http.data_file import read_ahead, read_exactly
from fastvol.http.response import FileBody, Response, text_error
from fastvol.limits import PAGED_READ_BYTES, SNIFF_BYTES_MAX

if TYPE_CHECKING:
    from fastvol.http.ranges import MultipartRanges, Span
    from fastvol.http.response import Body, StreamBody
    from fastvol.volume.volume import StoredNeedle, Volume


class Content(Protocol):
    """``size`` bytes that can be answered with in part."""

    size: int

    def span(self, span: Span) -> Body | FileBody | StreamBody:
        """The body of one range; ``span`` lies within, its length may be 0."""

    def several(self, spans: tuple[Span, ...], frame: MultipartRanges) -> Body | StreamBody:
        """The body of several ranges in their frame."""


class MemoryContent:
    """Bytes at hand."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def span(self, span: Span) -> Body:
        """See :class:`Content`."""
        if span.length == self.size:
            return self._data
        return self._data[span.start : span.start + span.length]

    def several(self, spans: tuple[Span, ...], frame: MultipartRanges) -> Body:
        """See :class:`Content`."""
        pieces = bytearray()
        for head, span in zip(frame.heads, spans, strict=True):
            pieces += head + self.span(span)
        return pieces + frame.tail


class FileContent:
    """The payload of a needle in its data file.

    With ``nowait``, what would wait for the disk or compute long raises
    :exc:`fastvol.volume.volume.WouldWaitError`.
    """

    def __init__(self, volume: Volume, stored: StoredNeedle, *, nowait: bool) -> None:
        self.size = stored.data_size
        self._volume = volume
        self._stored = stored
        self._nowait = nowait

    @property
    def _is_paged(self) -> bool:
        """Upstream reads smaller bodies whole, and so checks them whatever is asked for."""
        return self._stored.needle.size > PAGED_READ_BYTES

    def _only_in_thread(self) -> None:
        only_in_thread("this read", nowait=self._nowait)

    def span(self, span: Span) -> FileBody | Body:
        """See :class:`Content`; the whole payload is checked first."""
        if span.length == self.size and self._is_paged:
            self._only_in_thread()
            self._volume.verify(self._stored, nowait=self._nowait)
        if span.length <= 0:
            return b""
        offset = self._stored.data_offset + span.start
        native = self._stored.native.share()
        try:
            if self._is_paged:
                self._only_in_thread()
                read_ahead(native.dat_fd(), offset, span.length)
            first = read_exactly(native.dat_fd(), min(span.length, SNIFF_BYTES_MAX), offset)
        except BaseException:
            native.release()
            raise
        return FileBody(native, offset, span.length, first)

    def several(self, spans: tuple[Span, ...], frame: MultipartRanges) -> Body:
        """See :class:`Content`."""
        self._only_in_thread()
        pieces = bytearray()
        native = self._stored.native.share()
        try:
            for head, span in zip(frame.heads, spans, strict=True):
                pieces += head
                offset = self._stored.data_offset + span.start
                pieces += read_exactly(native.dat_fd(), span.length, offset)
        finally:
            native.release()
        return pieces + frame.tail


def answer_ranges(response: Response, content: Content, wanted: str, mime: str) -> Response:
    """``response`` with what a GET gets of ``content``, or the refusal of its ranges.

    Args:
        response: 200, with every header that does not depend on the range.
        wanted: value of the Range header, empty for none.
        mime: for the parts of several ranges.
    """
    headers, size = response.headers, content.size
    parsed = ranges.parse_range(wanted, size)
    if isinstance(parsed, ranges.Bad):
        return _refused(response, ranges.BAD_RANGE_BODY)
    if isinstance(parsed, ranges.NoOverlap):
        headers["Content-Range"] = f"bytes */{size}"
        return _refused(response, ranges.NO_OVERLAP_BODY)
    if isinstance(parsed, ranges.EmptyOk):
        return response
    if isinstance(parsed, ranges.Multi):
        return _several(response, content, parsed.spans, mime)
    span = ranges.Span(0, size)
    if isinstance(parsed, ranges.Single):
        span = parsed.span
        response.status = 206
        headers["Content-Range"] = span.content_range(size)
    headers["Content-Length"] = str(span.length)
    response.body = content.span(span)
    return response


def _refused(response: Response, text: bytes) -> Response:
    error = text_error(416, text)
    error.headers = {**response.headers, **error.headers}
    return error


def _several(response: Response, content: Content, spans: tuple[Span, ...], mime: str) -> Response:
    frame = ranges.multipart_ranges(spans, content.size, mime, ranges.new_boundary())
    response.body = content.several(spans, frame)
    response.status = 206
    response.headers["Content-Type"] = frame.content_type
    if not response.headers.get("Content-Encoding"):
        response.headers["Content-Length"] = str(frame.content_length)
    return response
