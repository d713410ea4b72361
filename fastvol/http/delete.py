"""DELETE of an object (weed/server/volume_server_handlers_write.go: DeleteHandler)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvol.errors import FastvolError, InvalidRequestError
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.http.blocking import here_or_in_thread, only_in_thread
from fastvol.http.file_path import parse_url_path
from fastvol.http.manifest import Manifest, parse_manifest
from fastvol.http.query import parse_query
from fastvol.http.replication import ReplicationError
from fastvol.http.response import Response, json_error, json_response
from fastvol.limits import HTTP_COPY_BYTES_MAX
from fastvol.observability.counts import Total
from fastvol.volume.volume import WouldWaitError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fastvol.http.blocking import RunBlocking
    from fastvol.http.parts import HandlerParts
    from fastvol.http.request import Request
    from fastvol.store.store import Store
    from fastvol.volume.volume import StoredNeedle, Volume


@dataclass(frozen=True, slots=True)
class _Doomed:
    """A needle that may be deleted."""

    volume: Volume
    key: int
    cookie: int
    checksum: int
    manifest: Manifest | None
    replicate: bool
    """A peer has sent the delete on."""

    @property
    def copies(self) -> int:
        """How many copies its volume shall have."""
        return self.volume.super_block.replica_placement.copy_count

    @property
    def stays_here(self) -> bool:
        """No other server has to know."""
        return self.replicate or self.copies == 1


class DeleteHandler:
    """Deletes objects."""

    def __init__(self, store: Store, parts: HandlerParts) -> None:
        self._store = store
        self._parts = parts
        self._counts = parts.counts

    def check_head(self, request: Request) -> Response | None:
        """The white list; a body is odd but harmless."""
        return None if self._parts.guard.allows_peer(request) else Response(401)

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Deletes it here, on the other copies, and with it the chunks of a manifest."""
        if not self._parts.guard.allows_peer(request):
            return Response(401)

        def delete(*, nowait: bool) -> Response | _Doomed:
            doomed = self._look(request, nowait=nowait)
            if isinstance(doomed, Response) or not doomed.stays_here or doomed.manifest is not None:
                return doomed
            response = self._delete_here(doomed, nowait=nowait)
            if response.status < 500:
                self._parts.replication.observer.targets(0)
            return response

        here = here_or_in_thread(delete, self._thread_for(request))
        if isinstance(here, Response):
            return here
        if isinstance(here, _Doomed):
            return self._delete_all(request, here)
        return self._later(request, here)

    def _thread_for(self, request: Request) -> RunBlocking:
        """Deletes of local volumes must not wait behind an object store that does not answer."""
        try:
            volume = self._find(parse_url_path(request.path).vid)
        except InvalidRequestError:
            volume = None
        is_local = volume is None or volume.remote is None
        parts = self._parts
        return parts.run_blocking if is_local else parts.run_remote or parts.run_blocking

    async def _later(self, request: Request, found: Awaitable[Response | _Doomed]) -> Response:
        done = await found
        return done if isinstance(done, Response) else await self._delete_all(request, done)

    # --- looking --------------------------------------------------------------------------------

    def _look(self, request: Request, *, nowait: bool) -> Response | _Doomed:
        query = parse_query(request.target.raw_query)
        try:
            path = parse_url_path(request.path)
            key, cookie = parse_path(path.fid)
        except (InvalidRequestError, ValueError) as error:
            return json_error(400, str(error))
        if not self._parts.guard.allows_write(request, path.vid, path.fid):
            return json_error(401, "wrong jwt")
        volume = self._find(path.vid)
        stored = self._read(volume, key, nowait=nowait) if volume is not None else None
        if volume is None or stored is None:
            return json_response(404, {"size": 0})
        needle = stored.needle
        if needle.size and needle.cookie != cookie:
            return json_error(400, "File Random Cookie does not match.")
        manifest = None
        if needle.is_chunk_manifest:
            if needle.is_compressed:
                only_in_thread("this delete", nowait=nowait)
            try:
                manifest = parse_manifest(bytes(needle.data), is_compressed=needle.is_compressed)
            except ValueError as error:
                self._counts.add(Total.WRITE_FAILURES)
                return json_error(500, f"Load chunks manifest error: {error}")
        replicate = query.get("type") == "replicate"
        return _Doomed(volume, key, cookie, needle.checksum, manifest, replicate)

    def _find(self, vid: str) -> Volume | None:
        """A volume id that does not parse is no error here: it is just not found."""
        try:
            return self._store.find_volume(parse_volume_id(vid))
        except ValueError:
            return None

    @staticmethod
    def _read(volume: Volume, key: int, *, nowait: bool) -> StoredNeedle | None:
        """The needle, checked; None for whatever keeps it from being read."""
        try:
            stored = volume.load(key, meta_above=HTTP_COPY_BYTES_MAX, nowait=nowait)
            if stored.meta_only:
                if stored.needle.is_chunk_manifest:
                    return volume.load(key, nowait=nowait)
                if (
                    stored.remote is None
                ):  # else no checksum is written down, and it would be fetched
                    volume.verify(stored, nowait=nowait)
        except WouldWaitError:
            raise
        except FastvolError:
            return None
        return stored

    # --- deleting -------------------------------------------------------------------------------

    def _delete_here(self, doomed: _Doomed, *, nowait: bool) -> Response:
        volume = doomed.volume
        if volume.no_write_or_delete:
            return self._failure(f"volume {volume.id} is read only")
        try:
            size = volume.delete(doomed.key, doomed.cookie, doomed.checksum, nowait=nowait)
        except WouldWaitError:
            raise
        except FastvolError as error:
            return self._failure(str(error))
        if doomed.manifest is not None:
            size = doomed.manifest.size
        return json_response(202, {"size": size})

    def _failure(self, text: str) -> Response:
        self._counts.add(Total.WRITE_FAILURES)
        return json_error(500, f"Deletion Failed: {text}")

    async def _delete_all(self, request: Request, doomed: _Doomed) -> Response:
        """Chunks first: a manifest that is gone could not tell any more which they are."""
        if doomed.manifest is not None:
            try:
                await self._parts.delete_chunks([chunk.fid for chunk in doomed.manifest.chunks])
            except FastvolError as error:
                self._counts.add(Total.WRITE_FAILURES)
                text = f"Delete chunks error: {error}"
                return json_error(500, text)
        targets: list[str] = []
        if not doomed.stays_here:
            try:
                targets = await self._parts.replication.delete_targets(
                    doomed.volume.id, doomed.copies
                )
            except ReplicationError as error:
                return self._failure(str(error))

        def delete(*, nowait: bool) -> Response:
            return self._delete_here(doomed, nowait=nowait)

        here = here_or_in_thread(delete, self._parts.run_blocking)
        response = here if isinstance(here, Response) else await here
        if response.status >= 500:
            return response
        try:
            await self._parts.replication.delete(
                targets, request, self._parts.guard.token_of(request)
            )
        except ReplicationError as error:
            return self._failure(str(error))
        return response
