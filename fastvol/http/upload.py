"""From a POST or PUT to what is to be stored; no storage in here.

Two steps, because checks lie between them: :func:`parse_form` (before volume id and JWT) and
:func:`parse_upload` (after them). Rules of
``weed/storage/needle/needle.go: CreateNeedleFromRequest`` and
``weed/storage/needle/needle_parse_upload.go: ParseUpload``; every text that is raised is the
``error`` member of a 400.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.http.compression import (
    GunzipError,
    compress_if_smaller,
    gunzip,
    is_compressible,
)
from fastvol.http.disposition import upload_filename
from fastvol.http.go_text import go_base, go_bool, to_bytes
from fastvol.http.headers import Headers
from fastvol.http.media_type import parse_media_type
from fastvol.http.mime_types import type_by_extension
from fastvol.http.multipart import boundary_of, choose_part, is_simple_multipart
from fastvol.http.pairs import encode_pairs
from fastvol.http.part_reader import Body
from fastvol.http.query import Query, parse_query_strict
from fastvol.http.sniff import BINARY, detect_content_type
from fastvol.http.upload_limit import too_large
from fastvol.limits import GUNZIP_BYTES_MAX, HTTP_FORM_BYTES_MAX

_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_UINT64_MAX: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Form:
    """What ``FormValue`` sees: ``values`` merges body fields over the query."""

    query: Query
    values: Query
    body_consumed: bool
    """The body was a urlencoded form, so it is no data any more."""

    def value(self, name: str) -> str:
        """First value of a field; empty when absent."""
        return self.values.get(name, "")

    @property
    def is_replicate(self) -> bool:
        """``type=replicate``: a copy from a peer, which is not forwarded again."""
        return self.values.get("type") == "replicate"


@dataclass(slots=True)
class ParsedUpload:
    """An upload ready to become a needle.

    ``name``, ``mime`` and ``pairs`` are as the client meant them; the needle drops those that are
    too long for its record.
    """

    data: bytes | bytearray | memoryview
    """The bytes to store, compressed when ``is_gzipped``."""
    name: bytes
    mime: bytes
    pairs: bytes
    """JSON object of the ``Seaweed-`` headers; empty when there are none or too many."""
    is_gzipped: bool
    is_chunk_manifest: bool
    is_replicate: bool
    fsync: bool
    modified_second: int
    """0 when the client named none."""
    ttl: str
    original_size: int
    """Bytes before compression: what the reply's ``size`` shows."""
    content_md5: str
    """Echoed in the reply; empty unless the client sent one."""


def parse_form(method: str, raw_query: bytes, headers: Headers, body: Body = b"") -> Form:
    """Query and form values of a POST or PUT.

    ``body`` is needed only when :func:`has_form_body`.

    Raises:
        InvalidRequestError: a malformed Content-Type, query or form.
    """
    assert method in ("POST", "PUT")
    fields: Query = {}
    consumed = has_form_body(headers)
    if consumed:
        if len(body) > HTTP_FORM_BYTES_MAX:
            raise InvalidRequestError("http: POST too large")
        fields = parse_query_strict(bytes(body))
    query = parse_query_strict(raw_query)
    return Form(query, {**query, **fields} if fields else query, consumed)


def has_form_body(headers: Headers) -> bool:
    """Whether the body must be complete before :func:`parse_form`.

    Raises:
        InvalidRequestError: a malformed Content-Type.
    """
    content_type = headers.text(b"content-type")
    return bool(content_type) and _form_kind(content_type) == _FORM_TYPE


def is_multipart(method: str, headers: Headers) -> bool:
    """Whether the body is read as multipart: POST only, by a case-sensitive look at the type."""
    content_type = headers.get(b"content-type")
    return method == "POST" and (not content_type or b"form-data" in content_type)


def parse_upload(
    method: str, path: str, form: Form, headers: Headers, body: Body, *, size_max: int
) -> ParsedUpload:
    """Read the body of an upload to the decoded ``path``; ``size_max`` limits the payload bytes.

    Raises:
        InvalidRequestError: malformed, truncated or too large body, or an MD5 that does not fit.
    """
    is_manifest = go_bool(form.value("cm"))
    data: bytes | bytearray | memoryview
    if is_multipart(method, headers):
        part = choose_part(body, boundary_of(headers.text(b"content-type")), size_max)
        data, name, mime = part.data, part.filename, ""
        content_type, encoding, part_md5 = (
            part.content_type,
            part.content_encoding,
            part.content_md5,
        )
    else:
        data = b"" if form.body_consumed else body
        if len(data) > size_max:
            raise InvalidRequestError(too_large(size_max))
        name = upload_filename(headers.text(b"content-disposition")) or go_base(path)
        mime = content_type = headers.text(b"content-type")
        encoding, part_md5 = headers.text(b"content-encoding"), ""
    if not is_manifest:
        mime = _stored_mime(name, content_type, mime)

    is_gzipped = encoding == "gzip"
    plain: bytes | bytearray | memoryview = data
    if is_gzipped:
        plain = _gunzipped(data)
    elif form.query.get("type") != "replicate":
        compressed = _auto_compressed(name, mime, data)
        if compressed is not None:
            data, is_gzipped = compressed, True

    expected_md5 = headers.text(b"content-md5") or part_md5
    if expected_md5:
        _check_md5(expected_md5, plain)
    return ParsedUpload(
        data=data,
        name=to_bytes(name),
        mime=to_bytes(mime),
        pairs=encode_pairs(headers),
        is_gzipped=is_gzipped,
        is_chunk_manifest=is_manifest,
        is_replicate=form.is_replicate,
        fsync=form.value("fsync") == "true",
        modified_second=_uint64(form.value("ts")),
        ttl=form.value("ttl"),
        original_size=len(plain),
        content_md5=expected_md5,
    )


@lru_cache(maxsize=256)
def _cached_kind(content_type: str) -> str:
    return parse_media_type(content_type).kind


def _form_kind(content_type: str) -> str:
    """Media type without parameters; multipart types are each another text, so never cached."""
    if not content_type.startswith("multipart/"):
        return _cached_kind(content_type)
    if is_simple_multipart(content_type):
        return "multipart/form-data"
    return parse_media_type(content_type).kind


def _stored_mime(name: str, content_type: str, mime: str) -> str:
    """The part's or request's own type, else the one of the name's extension."""
    dot = name.rfind(".")
    by_extension = type_by_extension(name[dot:].lower()) if dot > 0 else ""
    if content_type not in ("", BINARY) and by_extension != content_type:
        return content_type
    if by_extension not in ("", BINARY) and not mime:
        return by_extension
    return mime


def _auto_compressed(name: str, mime: str, data: bytes | bytearray | memoryview) -> bytes | None:
    kind = mime or detect_content_type(data)
    if kind == BINARY:
        kind = ""
    return compress_if_smaller(data) if is_compressible(go_base(name), kind) else None


def _gunzipped(data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    """The content of data flagged gzip; the data itself when it is no good gzip."""
    try:
        return gunzip(data, GUNZIP_BYTES_MAX)
    except GunzipError:
        return data


def _check_md5(expected: str, plain: bytes | bytearray | memoryview) -> None:
    received = b64encode(hashlib.md5(plain, usedforsecurity=False).digest()).decode()
    if received != expected:
        raise InvalidRequestError(
            f"Content-MD5 did not match md5 of file data expected [{expected}] "
            f"received [{received}] size {len(plain)}"
        )


def _uint64(text: str) -> int:
    """``strconv.ParseUint`` with its error dropped: 0, or the maximum when out of range."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return min(int(text), _UINT64_MAX) if len(text) < 1000 else _UINT64_MAX
