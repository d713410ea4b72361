"""POST and PUT of an object (weed/server/volume_server_handlers_write.go: PostHandler).

Small uploads are appended on the event loop, where that costs two system calls; what may wait (a
large body, gzip, another writer at work, a cold record to compare with, fsync) goes to a thread.
"""

import time
from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from fastvol._cffi.crc32c import crc32c
from fastvol._cffi.serve import request_id
from fastvol.errors import FastvolError, InvalidRequestError, VolumeReadOnlyError
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL
from fastvol.http.blocking import here_or_in_thread, only_in_thread
from fastvol.http.file_path import parse_url_path, write_fid
from fastvol.http.parts import HandlerParts
from fastvol.http.query import parse_query
from fastvol.http.replication import Copy, ReplicationError
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
from fastvol.observability.counts import Event, Total
from fastvol.store.store import Store
from fastvol.volume.volume import Volume, WouldWaitError

_LAST_MODIFIED_BITS: Final = 40


@dataclass(frozen=True, slots=True)
class _Parsed:
    """An upload that may be stored; ``volume`` is None when other servers have it."""

    upload: ParsedUpload
    needle: Needle
    volume_id: int
    volume: Volume | None

    @property
    def copies(self) -> int | None:
        """How many copies the volume shall have, as far as this server knows."""
        if self.volume is None:
            return None
        return self.volume.super_block.replica_placement.copy_count

    @property
    def stays_here(self) -> bool:
        """No other server is to have it."""
        return self.upload.is_replicate or self.copies == 1


class WriteHandler:
    """Stores uploads."""

    def __init__(self, store: Store, parts: HandlerParts) -> None:
        self._store = store
        self._guard = parts.guard
        self._run_blocking = parts.run_blocking
        self._replication = parts.replication
        self._uploads = parts.uploads
        self._counts = parts.counts
        self._file_bytes_max = parts.file_bytes_max
        self._fix_orientation = parts.fix_orientation
        self._stages = parts.stages

    # --- before the body ------------------------------------------------------------------------

    def check_head(self, request: Request) -> Response | Awaitable[Response | None] | None:
        """Limit, white list, form, volume id, token and size: what needs no body."""
        uploads = self._uploads
        if uploads.is_over and not _is_replica(request):
            return self._check_late(request)
        uploads.count(request, request.content_length or 0)
        return self._check_now(request)

    async def _check_late(self, request: Request) -> Response | None:
        self._counts.add(Event.UPLOAD_LIMIT)
        uploads = self._uploads
        if not await uploads.wait():
            return json_error(
                429,
                f"reject because inflight upload data {uploads.in_flight} > {uploads.limit}, "
                "and wait timeout",
            )
        uploads.count(request, request.content_length or 0)
        return self._check_now(request)

    def _check_now(self, request: Request) -> Response | None:
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
            self._counts.add(Total.WRITE_FAILURES)
            return json_error(400, str(error))
        if not self._guard.allows_write(request, path.vid, path.fid):
            return json_error(401, "wrong jwt")
        return form, volume_id

    # --- the body -------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Stores it, here or in a thread, and on the other copies."""
        if not self._guard.allows_peer(request):
            return Response(401)

        def store(*, nowait: bool) -> Response | _Parsed:
            return self._store_upload(request, nowait=nowait)

        if len(request.body) > HTTP_INLINE_WRITE_BYTES_MAX:
            stored = self._run_blocking(lambda: store(nowait=False))
        else:
            here = here_or_in_thread(store, self._run_blocking)
            if isinstance(here, Response):
                return here
            if isinstance(here, _Parsed):
                return self._replicate(request, here)
            stored = here
        return self._later(request, stored)

    async def _later(self, request: Request, stored: Awaitable[Response | _Parsed]) -> Response:
        done = await stored
        return done if isinstance(done, Response) else await self._replicate(request, done)

    def _store_upload(self, request: Request, *, nowait: bool) -> Response | _Parsed:
        """The response when the volume has no other copies, else what is to be stored."""
        try:
            checked = self._check_form(request)
            if isinstance(checked, Response):
                return checked
            form, volume_id = checked
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
            self._counts.add(Total.WRITE_FAILURES)
            return json_error(400, str(error))
        if self._fix_orientation:
            _turn_upright(upload, nowait=nowait)
        parsed = _Parsed(
            upload, _needle_of(upload, key, cookie), volume_id, self._store.find_volume(volume_id)
        )
        if not parsed.stays_here:
            return parsed
        if parsed.volume is None:
            return self._not_found(parsed)
        response = self._append(parsed, parsed.volume, nowait=nowait)
        if response.status < 500:
            self._replication.observer.targets(0)
        return response

    def _not_found(self, parsed: _Parsed) -> Response:
        where = f"{self._store.ip}:{self._store.port}"
        return self._failure(f"volume {parsed.volume_id} not found on {where}")

    def _failure(self, text: str) -> Response:
        self._counts.add(Total.WRITE_FAILURES)
        return json_error(500, text)

    # --- storing --------------------------------------------------------------------------------

    def _append(self, parsed: _Parsed, volume: Volume, *, nowait: bool) -> Response:
        if nowait and parsed.upload.fsync:
            raise WouldWaitError
        with self._stages.local_disk():
            return self._append_now(parsed, volume, nowait=nowait)

    def _append_now(self, parsed: _Parsed, volume: Volume, *, nowait: bool) -> Response:
        try:
            if volume.read_only:
                raise VolumeReadOnlyError(f"volume {volume.id} is read only")
            result = volume.write(parsed.needle, nowait=nowait)
            if parsed.upload.fsync:
                volume.commit()
        except WouldWaitError:
            raise
        except FastvolError as error:
            self._counts.add(Event.WRITE_TO_LOCAL_DISK)
            return self._failure(f"failed to write to local disk: {error}")
        return _written(parsed, unchanged=result.unchanged)

    async def _replicate(self, request: Request, parsed: _Parsed) -> Response:
        volume = parsed.volume
        try:
            targets = await self._replication.write_targets(parsed.volume_id, parsed.copies)
        except ReplicationError as error:
            return self._failure(str(error))
        if volume is not None:

            def append(*, nowait: bool) -> Response:
                return self._append(parsed, volume, nowait=nowait)

            stored = here_or_in_thread(append, self._run_blocking)
            response = stored if isinstance(stored, Response) else await stored
        elif targets:
            response = _written(parsed, unchanged=False)
        else:
            return self._not_found(parsed)
        if response.status >= 500:
            return response
        copy = Copy(
            request=request,
            name=parsed.upload.name,
            content_md5=parsed.upload.content_md5,
            token=self._guard.token_of(request),
            fsync=parsed.upload.fsync,
            request_id=response.headers.setdefault("X-Amz-Request-Id", request_id()),
        )
        try:
            with self._stages.replicas() if targets else nullcontext():
                await self._replication.write(targets, parsed.needle, copy)
        except ReplicationError as error:
            self._counts.add(Event.WRITE_TO_REPLICAS)
            return self._failure(
                f"failed to write to replicas for volume {parsed.volume_id}: {error}"
            )
        return response


def _is_replica(request: Request) -> bool:
    """The limit is not for what a peer sends on, or two servers could wait for each other."""
    return parse_query(request.target.raw_query).get("type") == "replicate"


def _turn_upright(upload: ParsedUpload, *, nowait: bool) -> None:
    from fastvol.http.orientation import turn_of, turned  # with Pillow, which few servers need

    turn = turn_of(upload.name, upload.mime, upload.data)
    if turn is not None:
        only_in_thread("turning a picture", nowait=nowait)
        upload.data = turned(upload.data, turn)


def _written(parsed: _Parsed, *, unchanged: bool) -> Response:
    headers = {"Content-Md5": parsed.upload.content_md5, "Etag": f'"{parsed.needle.etag}"'}
    if unchanged:
        return Response(204, headers)
    result = _result_of(parsed.upload, parsed.needle)
    response = json_response(201, result)
    response.headers.update(headers)
    return response


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
