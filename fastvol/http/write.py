"""POST and PUT of an object (weed/server/volume_server_handlers_write.go: PostHandler).

Small uploads are appended on the event loop, where that costs two system calls; what may wait (a
large body, gzip, another writer at work, a cold record to compare with, fsync) goes to a thread.
"""

from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import dataclass

from fastvol._cffi.serve import request_id
from fastvol.errors import FastvolError, InvalidRequestError, VolumeReadOnlyError
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.http.blocking import here_or_in_thread
from fastvol.http.file_path import UrlPath, parse_url_path, write_fid
from fastvol.http.parts import HandlerParts
from fastvol.http.query import parse_query
from fastvol.http.replication import Copy, ReplicationError
from fastvol.http.request import Request
from fastvol.http.response import Response, json_error
from fastvol.http.storable import Storable, needle_of, turn_upright, written
from fastvol.http.upload import Form, has_form_body, parse_form, parse_upload
from fastvol.http.upload_limit import FRAMING_BYTES_MAX, too_large
from fastvol.limits import (
    HTTP_FORM_BYTES_MAX,
    HTTP_INLINE_WRITE_BYTES_MAX,
)
from fastvol.observability.counts import Event, Total
from fastvol.store.store import Store
from fastvol.volume.volume import Volume, WouldWaitError


@dataclass(frozen=True, slots=True)
class _Addressed:
    """The form values of an upload, and where its path says that it goes."""

    form: Form
    path: UrlPath
    volume_id: int


class WriteHandler:
    """Stores uploads."""

    def __init__(self, store: Store, parts: HandlerParts) -> None:
        self._store = store
        self._parts = parts
        self._counts = parts.counts

    # --- before the body ------------------------------------------------------------------------

    def check_head(self, request: Request) -> Response | Awaitable[Response | None] | None:
        """Limit, white list, form, volume id, token and size: what needs no body."""
        uploads = self._parts.uploads
        if uploads.is_over and not _is_replica(request):
            return self._check_late(request)
        uploads.count(request, request.content_length or 0)
        return self._check_now(request)

    async def _check_late(self, request: Request) -> Response | None:
        self._counts.add(Event.UPLOAD_LIMIT)
        uploads = self._parts.uploads
        if not await uploads.wait(request):
            return json_error(
                429,
                f"reject because inflight upload data {uploads.in_flight} > {uploads.limit}, "
                "and wait timeout",
            )
        uploads.count(request, request.content_length or 0)
        return self._check_now(request)

    def _check_now(self, request: Request) -> Response | None:
        if not self._parts.guard.allows_peer(request):
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
        if length > self._parts.file_bytes_max + FRAMING_BYTES_MAX:
            return json_error(400, too_large(self._parts.file_bytes_max))
        return None

    def _check_form(self, request: Request) -> _Addressed | Response:
        """Form values and address, or the refusal of an id or a token.

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
        if not self._parts.guard.allows_write(request, path.vid, path.fid):
            return json_error(401, "wrong jwt")
        return _Addressed(form, path, volume_id)

    # --- the body -------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Stores it, here or in a thread, and on the other copies."""

        def store(*, nowait: bool) -> Response | Storable:
            return self._store_upload(request, nowait=nowait)

        if len(request.body) > HTTP_INLINE_WRITE_BYTES_MAX:
            stored = self._parts.run_blocking(lambda: store(nowait=False))
        else:
            here = here_or_in_thread(store, self._parts.run_blocking)
            if isinstance(here, Response):
                return here
            if isinstance(here, Storable):
                return self._replicate(request, here)
            stored = here
        return self._later(request, stored)

    async def _later(self, request: Request, stored: Awaitable[Response | Storable]) -> Response:
        done = await stored
        return done if isinstance(done, Response) else await self._replicate(request, done)

    def _store_upload(self, request: Request, *, nowait: bool) -> Response | Storable:
        """The response when the volume has no other copies, else what is to be stored."""
        try:
            checked = self._check_form(request)
            if isinstance(checked, Response):
                return checked
            form, volume_id = checked.form, checked.volume_id
            upload = parse_upload(
                request.method,
                request.path,
                form,
                request.headers,
                request.body,
                size_max=self._parts.file_bytes_max,
            )
            fid = write_fid(request.path)
            key, cookie = parse_path(fid)
        except (InvalidRequestError, ValueError) as error:
            self._counts.add(Total.WRITE_FAILURES)
            return json_error(400, str(error))
        if fid != checked.path.fid and not self._parts.guard.allows_write(
            request, checked.path.vid, fid
        ):
            # Upstream asks for the one object and stores the other.
            return json_error(401, "wrong jwt")
        if self._parts.fix_orientation:
            turn_upright(upload, nowait=nowait)
        storable = Storable(
            upload, needle_of(upload, key, cookie), volume_id, self._store.find_volume(volume_id)
        )
        if not storable.stays_here:
            return storable
        if storable.volume is None:
            return self._not_found(storable)
        response = self._append(storable, storable.volume, nowait=nowait)
        if response.status < 500:
            self._parts.replication.observer.targets(0)
        return response

    def _not_found(self, storable: Storable) -> Response:
        where = f"{self._store.ip}:{self._store.port}"
        return self._failure(f"volume {storable.volume_id} not found on {where}")

    def _failure(self, text: str) -> Response:
        self._counts.add(Total.WRITE_FAILURES)
        return json_error(500, text)

    # --- storing --------------------------------------------------------------------------------

    def _append(self, storable: Storable, volume: Volume, *, nowait: bool) -> Response:
        if nowait and storable.upload.fsync:
            raise WouldWaitError
        with self._parts.stages.local_disk():
            return self._append_now(storable, volume, nowait=nowait)

    def _append_now(self, storable: Storable, volume: Volume, *, nowait: bool) -> Response:
        try:
            if volume.read_only:
                raise VolumeReadOnlyError(f"volume {volume.id} is read only")
            result = volume.write(storable.needle, nowait=nowait)
            if storable.upload.fsync:
                volume.commit()
        except WouldWaitError:
            raise
        except FastvolError as error:
            self._counts.add(Event.WRITE_TO_LOCAL_DISK)
            return self._failure(f"failed to write to local disk: {error}")
        return written(storable, unchanged=result.unchanged)

    async def _replicate(self, request: Request, storable: Storable) -> Response:
        volume = storable.volume
        try:
            targets = await self._parts.replication.write_targets(
                storable.volume_id, storable.copies
            )
        except ReplicationError as error:
            return self._failure(str(error))
        if volume is not None:

            def append(*, nowait: bool) -> Response:
                return self._append(storable, volume, nowait=nowait)

            stored = here_or_in_thread(append, self._parts.run_blocking)
            response = stored if isinstance(stored, Response) else await stored
        elif targets:
            response = written(storable, unchanged=False)
        else:
            return self._not_found(storable)
        if response.status >= 500:
            return response
        copy = Copy(
            request=request,
            name=storable.upload.name,
            content_md5=storable.upload.content_md5,
            token=self._parts.guard.token_of(request),
            fsync=storable.upload.fsync,
            request_id=response.headers.setdefault("X-Amz-Request-Id", request_id()),
        )
        try:
            with self._parts.stages.replicas() if targets else nullcontext():
                await self._parts.replication.write(targets, storable.needle, copy)
        except ReplicationError as error:
            self._counts.add(Event.WRITE_TO_REPLICAS)
            return self._failure(
                f"failed to write to replicas for volume {storable.volume_id}: {error}"
            )
        return response


def _is_replica(request: Request) -> bool:
    """The limit is not for what a peer sends on, or two servers could wait for each other."""
    return parse_query(request.target.raw_query).get("type") == "replicate"
