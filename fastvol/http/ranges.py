"""The Range header of a GET, and the multipart body that answers several ranges.

Rules of ``weed/server/volume_server_handlers_helper.go: parseRange`` and
``weed/server/common.go: ProcessRangeRequest`` as the 4.48 binary applies them. Two deviations: a
negative suffix (``bytes=--5``) is refused, where upstream sends a malformed 206; and a header with a
great many ranges is passed over, as RFC 9110 lets servers do (section 14.2), because each costs a
hundred times its bytes in the answer.
"""

import os
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from fastvol.limits import HTTP_RANGES_MAX

_INT: Final = re.compile(r"[+-]?[0-9]+")
_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1

BAD_RANGE_BODY: Final = b"invalid range\n"
NO_OVERLAP_BODY: Final = b"invalid range: failed to overlap\n"


class Span(NamedTuple):
    """``length`` bytes from ``start``; a length of zero is legal."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """Value of Content-Range; the end of an empty span is before its start, as upstream."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


@dataclass(frozen=True, slots=True)
class Full:
    """No Range header, or one that is passed over: 200 with everything."""


@dataclass(frozen=True, slots=True)
class Bad:
    """416 ``invalid range``, without Content-Range."""


@dataclass(frozen=True, slots=True)
class NoOverlap:
    """416 with ``Content-Range: bytes */size``."""


@dataclass(frozen=True, slots=True)
class EmptyOk:
    """200 with an empty body: no range at all, or more bytes asked for than there are."""


@dataclass(frozen=True, slots=True)
class Single:
    """206 with one span."""

    span: Span


@dataclass(frozen=True, slots=True)
class Multi:
    """206 multipart/byteranges, spans as asked for, never merged."""

    spans: tuple[Span, ...]


RangeResult = Full | Bad | NoOverlap | EmptyOk | Single | Multi

FULL: Final = Full()
BAD: Final = Bad()
NO_OVERLAP: Final = NoOverlap()
EMPTY_OK: Final = EmptyOk()


def parse_range(header: str, size: int) -> RangeResult:
    """What a GET of ``size`` bytes answers to the value of its Range header (empty: none)."""
    if not header:
        return FULL
    if not header.startswith("bytes="):
        return BAD
    if header.count(",") >= HTTP_RANGES_MAX:
        return FULL
    spans: list[Span] = []
    skipped = False
    for part in header[6:].split(","):
        text = part.strip()
        if not text:
            continue
        span = _parse_span(text, size)
        if span is None:
            return BAD
        if span is _OUTSIDE:
            skipped = True
        else:
            spans.append(span)
    if skipped and not spans:
        return NO_OVERLAP
    if not spans or sum(span.length for span in spans) > size:
        return EMPTY_OK
    return Single(spans[0]) if len(spans) == 1 else Multi(tuple(spans))


_OUTSIDE: Final = Span(-1, -1)


def _parse_span(text: str, size: int) -> Span | None:
    """One ``a-b``, ``a-`` or ``-n``; None when malformed, _OUTSIDE when it starts past the end."""
    first, dash, last = text.partition("-")
    if not dash:
        return None
    first, last = first.strip(), last.strip()
    if not first:
        suffix = _int64(last)
        if suffix is None or suffix < 0:
            return None
        suffix = min(suffix, size)
        return Span(size - suffix, suffix)
    start = _int64(first)
    if start is None or start < 0:
        return None
    if start >= size:
        return _OUTSIDE
    if not last:
        return Span(start, size - start)
    end = _int64(last)
    if end is None or start > end:
        return None
    return Span(start, min(end, size - 1) - start + 1)


def _int64(text: str) -> int | None:
    if not _INT.fullmatch(text) or len(text) > 1000:
        return None
    number = int(text)
    return number if _INT64_MIN <= number <= _INT64_MAX else None


class MultipartRanges(NamedTuple):
    """A multipart/byteranges body: write ``heads[i]``, then span i's bytes, then ``tail``."""

    content_type: str
    heads: tuple[bytes, ...]
    tail: bytes
    content_length: int


def new_boundary() -> str:
    """60 lower-case hex digits, as Go's multipart writer draws them."""
    return os.urandom(30).hex()


def multipart_ranges(
    spans: tuple[Span, ...], size: int, mime: str, boundary: str
) -> MultipartRanges:
    """Frame ``spans`` of a ``size``-byte object; ``mime`` may be empty."""
    heads = []
    for number, span in enumerate(spans):
        separator = "\r\n" if number else ""
        heads.append(
            f"{separator}--{boundary}\r\nContent-Range: {span.content_range(size)}\r\n"
            f"Content-Type: {mime}\r\n\r\n".encode("utf-8", "surrogateescape")
        )
    tail = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, heads)) + sum(span.length for span in spans) + len(tail)
    return MultipartRanges(f"multipart/byteranges; boundary={boundary}", tuple(heads), tail, length)
