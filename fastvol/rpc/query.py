"""Records of JSON needles, filtered and projected. Source: weed/server/volume_grpc_query.go: Query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import grpc

from fastvol.pb import volume_server_pb2 as pb
from fastvol.query.records import Filter, selected
from fastvol.rpc.file_ids import read_file_id
from fastvol.rpc.service import Handler
from fastvol.rpc.status import StatusError

if TYPE_CHECKING:
    from fastvol.rpc.streams import ReplySender
    from fastvol.store.store import Store


class QueryHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"Query": self.query}

    def query(self, request: pb.QueryRequest, send: ReplySender) -> None:
        """One stripe for each needle, until one has another cookie than its file id.

        Needles are read also where the input is not JSON, and nothing is said of them.
        """
        paths = [path.encode() for path in request.selections]
        condition = Filter(
            request.filter.field.encode(),
            request.filter.operand.encode(),
            request.filter.value.encode(),
        )
        for file_id in request.from_file_ids:
            content = self._content(file_id)
            if content is None:
                return
            if request.input_serialization.HasField("json_input"):
                stripe = pb.QueriedStripe(records=selected(content, paths, condition))
                if not send(stripe):
                    return

    def _content(self, file_id: str) -> bytes | None:
        """The needle as stored, also when that is compressed; None for another cookie."""
        try:
            volume_id, key, cookie = read_file_id(file_id)
        except ValueError as error:
            raise StatusError(grpc.StatusCode.UNKNOWN, str(error)) from error
        needle = self._store.get_volume(volume_id).read(key)
        if needle.size and needle.cookie != cookie:  # an empty file's cookie is not in its index
            return None
        return bytes(needle.data)
