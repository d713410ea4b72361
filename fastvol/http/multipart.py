"""The part of a multipart/form-data upload that becomes the object.

The upstream uploader sends one shape only, one part and CRLF; that is recognised first by
:func:`_fast_part`, which gives up on the slightest oddity. Everything else is read as Go reads it
(``part_reader``).

Which part is chosen: the first, unless it has no file name; then the first one that has, else the
first after all (``weed/storage/needle/needle_parse_upload.go: parseUpload``).
"""

import re
from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.http.go_text import to_text
from fastvol.http.media_type import parse_media_type
from fastvol.http.part_reader import BAD_VALUE, Body, Part, PartReader
from fastvol.http.upload_limit import too_large

_SIMPLE_CONTENT_TYPE: Final = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'+_.\-]+)")
_SIMPLE_DISPOSITION: Final = re.compile(
    rb'form-data; name="[^"\\\x00-\x1f]*"; filename="([^"\\/\x00-\x1f]+)"'
)


def boundary_of(content_type: str) -> bytes:
    """Boundary of a request that is to be read as multipart.

    Raises:
        InvalidRequestError: not multipart, or no boundary (``net/http: multipartReader``).
    """
    simple = _SIMPLE_CONTENT_TYPE.fullmatch(content_type)
    if simple:
        return simple[1].encode()
    try:
        kind, parameters = parse_media_type(content_type)
    except InvalidRequestError:
        kind, parameters = "", {}
    if kind not in ("multipart/form-data", "multipart/mixed"):
        raise InvalidRequestError("request Content-Type isn't multipart/form-data")
    boundary = parameters.get("boundary")
    if boundary is None:
        raise InvalidRequestError("no multipart boundary param in Content-Type")
    return boundary.encode("utf-8", "surrogateescape")


def is_simple_multipart(content_type: str) -> bool:
    """Whether this is multipart/form-data with a plain boundary, the shape uploaders send."""
    return _SIMPLE_CONTENT_TYPE.fullmatch(content_type) is not None


def choose_part(body: Body, boundary: bytes, size_max: int) -> Part:
    """The part that is stored.

    Raises:
        InvalidRequestError: no part, a malformed or truncated one, or more than ``size_max`` bytes.
    """
    part = _fast_part(body, boundary)
    if part is not None:
        _check_size(part, size_max)
        return part
    reader = PartReader(body, boundary)
    first = part = reader.next_part()
    reader.decode(first)
    _check_size(first, size_max)
    reader.check_complete()
    while not part.filename:
        try:
            part = reader.next_part()
        except InvalidRequestError:
            # Whatever is wrong after the first part, upstream falls back on the first part.
            return first
    reader.decode(part)
    _check_size(part, size_max)
    reader.check_complete()
    return part


def _check_size(part: Part, size_max: int) -> None:
    if len(part.data) > size_max:
        raise InvalidRequestError(too_large(size_max))


def _fast_part(body: Body, boundary: bytes) -> Part | None:
    """The only part of a body of the common shape; None for anything else."""
    delimiter = b"\r\n--" + boundary
    start = len(delimiter)
    if not body.startswith(delimiter[2:] + b"\r\n"):
        return None
    head_end = body.find(b"\r\n\r\n", start - 2)
    tail_at = len(body) - len(delimiter) - 4
    if head_end < start or tail_at < head_end + 4 or not body.endswith(delimiter + b"--\r\n"):
        return None
    if body.find(delimiter, head_end) != tail_at:
        return None
    filename = content_type = content_encoding = content_md5 = b""
    for line in bytes(body[start:head_end]).split(b"\r\n"):
        name, colon, value = line.partition(b": ")
        if not colon or BAD_VALUE.search(value) or value[:1] == b" " or value[-1:] == b" ":
            return None
        if name == b"Content-Disposition" and not filename:
            match = _SIMPLE_DISPOSITION.fullmatch(value)
            if not match:
                return None
            filename = match[1]
        elif name == b"Content-Type" and not content_type:
            content_type = value
        elif name == b"Content-Encoding" and not content_encoding:
            content_encoding = value
        elif name == b"Content-Md5" and not content_md5:
            content_md5 = value
        elif name not in (b"Mime-Version", b"Idempotency-Key"):
            return None
    if not filename:
        return None
    return Part(
        memoryview(body)[head_end + 4 : tail_at],
        to_text(filename),
        to_text(content_type),
        to_text(content_encoding),
        to_text(content_md5),
    )
