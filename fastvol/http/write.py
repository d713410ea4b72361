"""POST and PUT of an object (weed/server/volume_server_handlers_write.go: PostHandler).

Small uploads are appended on the event loop, where that costs two system calls; what may wait (a
large body, gzip, another writer at work, a cold record to compare with, fsync) goes to a thread.
"""

import time
from collections.abc import Awaitable
from typing import Final

from fastvol._cffi.crc32c import crc32c
from fastvol.errors import FastvolError, InvalidRequestError
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL
from fastvol.http.blocking import RunBlocking, here_or_in_thread
from fastvol.http.file_path import parse_url_path, write_fid
from fastvol.http.guard import AccessGuard
from fastvol.http.request import Request
from fastvol.http.response import Response, json_error, json_response
from fastvol.http.upload import Form, ParsedUpload, has_form_body, parse_form, parse_upload
from fastvol.http.upload_limit import FRAMING_BYTES_MAX, too_large
from fastvol.limits import (
    HTTP_FORM_BYTES_MAX,
    HTTP_INLINE_WRITE_BYTES_MAX,
    MIME_BYTES_MAX,
    NAME_BYTES_MAX,
)
from fastvol.store.store import Store
from fastvol.volume.volume import Volume, WouldWaitError

_LAST_MODIFIED_BITS: Final = 40


class WriteHandler:
    """Stores uploads."""

    def __init__(
        self,
        store: Store,
        guard: AccessGuard,
        run_blocking: RunBlocking,
        *,
        file_bytes_max: int,
    ) -> None:
        self._store = store
        self._guard = guard
        self._run_blocking = run_blocking
        self._file_bytes_max = file_bytes_max

    def check_head(self, request: Request) -> Response | None:
        """White list, form, volume id, token and size: what can be refused without the body."""
        if not self._guard.allows_peer(request):
            return Response(401)
        length = request.content_length or 0
        try:
            if has_form_body(request.headers):
                if length > HTTP_FORM_BYTES_MAX:
                    return json_error(400, "http: POST too large")
                return None
            checked = self._check_form(request)
        except InvalidRequestError as error:
            return json_error(400, str(error))
        if isinstance(checked, Response):
            return checked
        if length > self._file_bytes_max + FRAMING_BYTES_MAX:
            return json_error(400, too_large(self._file_bytes_max))
        return None

    def _check_form(self, request: Request) -> tuple[Form, int] | Response:
        """Form values and volume id, or the refusal of an id or a token.

        Raises:
            InvalidRequestError: the query or the form does not decode.
        """
        form = parse_form(request.method, request.target.raw_query, request.headers, request.body)
        try:
            path = parse_url_path(request.path)
            volume_id = parse_volume_id(path.vid)
        except (InvalidRequestError, ValueError) as error:
            return json_error(400, str(error), pretty=bool(form.query.get("pretty")))
        if not self._guard.allows_write(request, path.vid, path.fid):
            return json_error(401, "wrong jwt")
        return form, volume_id

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Stores it, here or in a thread."""
        if not self._guard.allows_peer(request):
            return Response(401)
        if len(request.body) > HTTP_INLINE_WRITE_BYTES_MAX:
            return self._run_blocking(self._store_upload, request, nowait=False)
        return here_or_in_thread(self._store_upload, request, self._run_blocking)

    def _store_upload(self, request: Request, *, nowait: bool) -> Response:
        try:
            checked = self._check_form(request)
            if isinstance(checked, Response):
                return checked
            form, volume_id = checked
            if nowait and form.value("fsync") == "true":
                raise WouldWaitError
            upload = parse_upload(
                request.method,
                request.path,
                form,
                request.headers,
                request.body,
                size_max=self._file_bytes_max,
            )
            key, cookie = parse_path(write_fid(request.path))
        except (InvalidRequestError, ValueError) as error:
            return json_error(400, str(error))
        pretty = bool(form.query.get("pretty"))
        volume = self._store.find_volume(volume_id)
        if volume is None:
            where = f"{self._store.ip}:{self._store.port}"
            return json_error(500, f"volume {volume_id} not found on {where}", pretty=pretty)
        refused = refuse_replicated(volume, replicate=upload.is_replicate)
        if refused:
            return json_error(500, refused, pretty=pretty)
        needle = _needle_of(upload, key, cookie)
        return self._append(volume, needle, upload, nowait=nowait, pretty=pretty)

    def _append(
        self, volume: Volume, needle: Needle, upload: ParsedUpload, *, nowait: bool, pretty: bool
    ) -> Response:
        try:
            if volume.read_only:
                return json_error(
                    500,
                    f"failed to write to local disk: volume {volume.id} is read only",
                    pretty=pretty,
                )
            result = volume.write(needle, nowait=nowait)
            if upload.fsync:
                volume.commit()
        except WouldWaitError:
            raise
        except FastvolError as error:
            return json_error(500, f"failed to write to local disk: {error}", pretty=pretty)
        headers = {"Content-Md5": upload.content_md5, "Etag": f'"{needle.etag}"'}
        if result.unchanged:
            return Response(204, headers)
        response = json_response(201, _result_of(upload, needle), pretty=pretty)
        response.headers.update(headers)
        return response


def refuse_replicated(volume: Volume, *, replicate: bool) -> str:
    """Why a change of a replicated volume cannot be taken; empty when it can.

    Forwarding to the other copies is not built yet, and a copy that silently falls behind is worse
    than a refusal; copies that a peer forwards are stored.
    """
    copies = volume.super_block.replica_placement.copy_count
    if replicate or copies == 1:
        return ""
    return (
        f"failed to write to replicas for volume {volume.id}: its {copies} copies need "
        "replication, which this version of fastvol does not do yet"
    )


def _needle_of(upload: ParsedUpload, key: int, cookie: int) -> Needle:
    flags = Needle.HAS_LAST_MODIFIED
    name, mime = upload.name, upload.mime
    if len(name) <= NAME_BYTES_MAX:
        flags |= Needle.HAS_NAME
    else:
        name = b""
    if len(mime) <= MIME_BYTES_MAX:
        flags |= Needle.HAS_MIME
    else:
        mime = b""
    if upload.pairs:
        flags |= Needle.HAS_PAIRS
    if upload.is_gzipped:
        flags |= Needle.IS_COMPRESSED
    if upload.is_chunk_manifest:
        flags |= Needle.IS_CHUNK_MANIFEST
    ttl = TTL(0, 0)
    if upload.ttl:
        try:
            ttl = TTL.parse(upload.ttl)
        except ValueError:
            ttl = TTL(0, 0)
    if ttl.count:
        flags |= Needle.HAS_TTL
    modified = upload.modified_second or int(time.time())
    data = upload.data
    return Needle(
        id=key,
        cookie=cookie,
        data=data,
        flags=flags,
        name=name,
        mime=mime,
        pairs=upload.pairs,
        last_modified=modified & ((1 << _LAST_MODIFIED_BITS) - 1),
        ttl=ttl,
        checksum=crc32c(data),
    )


def _result_of(upload: ParsedUpload, needle: Needle) -> dict[str, object]:
    """The JSON of a 201; empty and zero members are left out."""
    result: dict[str, object] = {}
    if needle.name:
        result["name"] = upload.name.decode("utf-8", "surrogateescape")
    if upload.original_size:
        result["size"] = upload.original_size & 0xFFFFFFFF
    result["eTag"] = needle.etag
    if needle.mime:
        result["mime"] = upload.mime.decode("utf-8", "surrogateescape")
    if upload.content_md5:
        result["contentMd5"] = upload.content_md5
    return result
