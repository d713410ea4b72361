"""``/dir/assign`` and ``/dir/lookup`` of a single node, in the master's JSON."""

from collections.abc import Awaitable
from functools import partial

from fastvol.cluster.single_node import SingleNodeAssigner
from fastvol.errors import FastvolError
from fastvol.formats.file_id import parse_volume_id
from fastvol.formats.go_numbers import parse_uint
from fastvol.formats.ttl import TTL
from fastvol.http.blocking import RunBlocking, here_or_in_thread
from fastvol.http.query import Query, parse_query
from fastvol.http.request import Request
from fastvol.http.response import Response, json_error, json_response
from fastvol.http.upload import parse_form
from fastvol.store.store import Store
from fastvol.volume.volume import WouldWaitError

_NOT_ACCEPTABLE = 406
_DATA_CENTER = "DefaultDataCenter"


class AssignHandler:
    """Answers clients that look for a master and find a single node."""

    def __init__(
        self,
        store: Store,
        assigner: SingleNodeAssigner,
        run_blocking: RunBlocking,
        *,
        public_url: str,
        grpc_port: int,
    ) -> None:
        self._store = store
        self._run_blocking = run_blocking
        self._assigner = assigner
        self._url = f"{store.ip}:{store.port}"
        self._public_url = public_url
        self._grpc_port = grpc_port

    def assign(self, request: Request) -> Response | Awaitable[Response]:
        """A file id and where to put it (master_server_handlers.go: dirAssignHandler).

        Later when a volume has to be created for it.
        """
        return here_or_in_thread(partial(self._assign, request), self._run_blocking)

    def _assign(self, request: Request, *, nowait: bool) -> Response:
        query = _values(request)
        try:
            ttl = TTL.parse(query.get("ttl", ""))
            found = self._assigner.assign(
                _count(query.get("count", "")),
                query.get("collection", ""),
                ttl,
                query.get("replication", ""),
                nowait=nowait,
            )
        except WouldWaitError:
            raise
        except (ValueError, FastvolError) as error:
            return json_error(_NOT_ACCEPTABLE, str(error))
        return json_response(
            200,
            {
                "fid": found.fid,
                "url": self._url,
                "publicUrl": self._public_url,
                "count": found.count,
            },
        )

    def lookup(self, request: Request) -> Response:
        """Where a volume is: here, or nowhere (dirLookupHandler)."""
        query = _values(request)
        vid = _volume_id_text(query)
        try:
            volume_id = parse_volume_id(vid)
        except ValueError:
            return _lookup_error(vid, f"unknown volume id {vid}")
        if self._store.find_volume(volume_id) is None:
            return _lookup_error(vid, f"volume id {vid} not found")
        location = {
            "url": self._url,
            "publicUrl": self._public_url,
            "dataCenter": _DATA_CENTER,
            "grpcPort": self._grpc_port,
        }
        return json_response(200, {"volumeOrFileId": vid, "locations": [location]})


def _count(text: str) -> int:
    """How many ids; 1 for what is no number, as the master takes it."""
    try:
        return parse_uint(text) or 1
    except ValueError:
        return 1


def _volume_id_text(query: Query) -> str:
    """What stands before the comma of ``fileId``, if it has one, else of ``volumeId``."""
    file_id = query.get("fileId", "")
    return (file_id if file_id.find(",") > 0 else query.get("volumeId", "")).partition(",")[0]


def _lookup_error(vid: str, text: str) -> Response:
    named = {"volumeOrFileId": vid} if vid else {}
    return json_response(404, {**named, "error": text})


def _values(request: Request) -> Query:
    """Query and, of a POST, form values."""
    if request.method in ("POST", "PUT"):
        return parse_form(
            request.method, request.target.raw_query, request.headers, request.body
        ).values
    return parse_query(request.target.raw_query)
