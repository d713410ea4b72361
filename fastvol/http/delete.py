"""DELETE of an object (weed/server/volume_server_handlers_write.go: DeleteHandler)."""

from collections.abc import Awaitable

from fastvol.errors import FastvolError, InvalidRequestError
from fastvol.formats.file_id import parse_path, parse_volume_id
from fastvol.http.blocking import RunBlocking, here_or_in_thread
from fastvol.http.file_path import parse_url_path
from fastvol.http.guard import AccessGuard
from fastvol.http.query import parse_query
from fastvol.http.request import Request
from fastvol.http.response import Response, json_error, json_response
from fastvol.http.write import refuse_replicated
from fastvol.limits import HTTP_COPY_BYTES_MAX
from fastvol.store.store import Store
from fastvol.volume.volume import StoredNeedle, Volume, WouldWaitError


class DeleteHandler:
    """Deletes objects."""

    def __init__(self, store: Store, guard: AccessGuard, run_blocking: RunBlocking) -> None:
        self._store = store
        self._guard = guard
        self._run_blocking = run_blocking

    def check_head(self, request: Request) -> Response | None:
        """The white list; a body is odd but harmless."""
        return None if self._guard.allows_peer(request) else Response(401)

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Deletes it, in a thread when something must be waited for."""
        if not self._guard.allows_peer(request):
            return Response(401)
        return here_or_in_thread(self._delete, request, self._run_blocking)

    def _delete(self, request: Request, *, nowait: bool) -> Response:
        query = parse_query(request.target.raw_query)
        pretty = bool(query.get("pretty"))
        try:
            path = parse_url_path(request.path)
            key, cookie = parse_path(path.fid)
        except (InvalidRequestError, ValueError) as error:
            return json_error(400, str(error), pretty=pretty)
        if not self._guard.allows_write(request, path.vid, path.fid):
            return json_error(401, "wrong jwt", pretty=pretty)
        volume = self._find(path.vid)
        stored = self._read(volume, key, nowait=nowait) if volume is not None else None
        if volume is None or stored is None:
            return json_response(404, {"size": 0}, pretty=pretty)
        if stored.needle.size and stored.needle.cookie != cookie:
            return json_error(400, "File Random Cookie does not match.", pretty=pretty)
        problem = self._problem(volume, stored, replicate=query.get("type") == "replicate")
        if problem:
            return json_error(500, problem, pretty=pretty)
        try:
            size = volume.delete(key, cookie, stored.needle.checksum, nowait=nowait)
        except WouldWaitError:
            raise
        except FastvolError as error:
            return json_error(500, f"Deletion Failed: {error}", pretty=pretty)
        return json_response(202, {"size": size}, pretty=pretty)

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
                volume.verify(stored, nowait=nowait)
        except WouldWaitError:
            raise
        except FastvolError:
            return None
        return stored

    @staticmethod
    def _problem(volume: Volume, stored: StoredNeedle, *, replicate: bool) -> str:
        if volume.no_write_or_delete:
            return f"Deletion Failed: volume {volume.id} is read only"
        if stored.needle.is_chunk_manifest and not replicate:
            return (
                "Delete chunks error: deleting the chunks of a manifest is not built yet in fastvol"
            )
        refused = refuse_replicated(volume, replicate=replicate)
        return f"Deletion Failed: {refused}" if refused else ""
