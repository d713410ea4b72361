"""``/dir/assign`` and ``/dir/lookup`` of a single node, in the master's JSON."""

from fastvol.cluster.single_node import SingleNodeAssigner
from fastvol.errors import FastvolError
from fastvol.formats.file_id import parse_volume_id
from fastvol.formats.ttl import TTL
from fastvol.http.query import Query, parse_query
from fastvol.http.request import Request
from fastvol.http.response import Response, json_error, json_response
from fastvol.http.upload import parse_form
from fastvol.store.store import Store

_NOT_ACCEPTABLE = 406
_DATA_CENTER = "DefaultDataCenter"


class AssignHandler:
    """Answers clients that look for a master and find a single node."""

    def __init__(
        self, store: Store, assigner: SingleNodeAssigner, *, public_url: str, grpc_port: int
    ) -> None:
        self._store = store
        self._assigner = assigner
        self._url = f"{store.ip}:{store.port}"
        self._public_url = public_url
        self._grpc_port = grpc_port

    def assign(self, request: Request) -> Response:
        """A file id and where to put it (master_server_handlers.go: dirAssignHandler)."""
        query = _values(request)
        pretty = bool(query.get("pretty"))
        try:
            count = int(query.get("count") or "1")
            ttl = TTL.parse(query.get("ttl", ""))
            found = self._assigner.assign(
                count or 1, query.get("collection", ""), ttl, query.get("replication", "")
            )
        except (ValueError, FastvolError) as error:
            return json_error(_NOT_ACCEPTABLE, str(error), pretty=pretty)
        return json_response(
            200,
            {
                "fid": found.fid,
                "url": self._url,
                "publicUrl": self._public_url,
                "count": found.count,
            },
            pretty=pretty,
        )

    def lookup(self, request: Request) -> Response:
        """Where a volume is: here, or nowhere (dirLookupHandler)."""
        query = _values(request)
        pretty = bool(query.get("pretty"))
        wanted = query.get("volumeId") or query.get("fileId", "")
        vid = wanted.partition(",")[0]
        try:
            volume_id = parse_volume_id(vid)
        except ValueError:
            return _lookup_error(wanted, f"unknown volume id {vid}", pretty=pretty)
        if self._store.find_volume(volume_id) is None:
            return _lookup_error(wanted, f"volume id {vid} not found", pretty=pretty)
        location = {
            "url": self._url,
            "publicUrl": self._public_url,
            "dataCenter": _DATA_CENTER,
            "grpcPort": self._grpc_port,
        }
        return json_response(
            200, {"volumeOrFileId": wanted, "locations": [location]}, pretty=pretty
        )


def _lookup_error(wanted: str, text: str, *, pretty: bool) -> Response:
    return json_response(404, {"volumeOrFileId": wanted, "error": text}, pretty=pretty)


def _values(request: Request) -> Query:
    """Query and, of a POST, form values."""
    if request.method in ("POST", "PUT"):
        return parse_form(
            request.method, request.target.raw_query, request.headers, request.body
        ).values
    return parse_query(request.target.raw_query)
