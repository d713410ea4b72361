"""Single records by their place in the data file. Source: weed/server/volume_grpc_read_write.go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastvol.errors import StorageError, VolumeNotFoundError
from fastvol.formats.needle import legacy_checksum
from fastvol.observability.counts import Counts, Total
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import wrap
from fastvol.rpc.volumes import mounted_volume
from fastvol.volume.records import read_meta, read_record, write_record

if TYPE_CHECKING:
    from fastvol.store.store import Store


class NeedleRecordHandlers:
    """Handlers over ``store``; failures are counted in ``counts``."""

    def __init__(self, store: Store, counts: Counts | None = None):
        self._store = store
        self._counts = counts or Counts()

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "ReadNeedleBlob": self.read_blob,
            "ReadNeedleMeta": self.read_meta,
            "WriteNeedleBlob": self.write_blob,
        }

    def read_blob(self, request: pb.ReadNeedleBlobRequest) -> pb.ReadNeedleBlobResponse:
        """The bytes of a record, unchecked."""
        offset, size = request.offset, request.size
        with self._counted(Total.READ_FAILURES):
            volume = mounted_volume(self._store, request.volume_id)
            try:
                record = read_record(volume, offset, size)
            except StorageError as error:
                raise wrap(f"read needle blob offset {offset} size {size}: ", error) from error
        return pb.ReadNeedleBlobResponse(needle_blob=record)

    def read_meta(self, request: pb.ReadNeedleMetaRequest) -> pb.ReadNeedleMetaResponse:
        """What a record says of itself, without its payload."""
        with self._counted(Total.READ_FAILURES):
            volume = self._store.find_volume(request.volume_id)
            if volume is None:
                raise VolumeNotFoundError(
                    f"not found volume id {request.volume_id} and read needle metadata at ec shards "
                    "is not supported"
                )
            needle = read_meta(volume, request.offset, request.size)
        return pb.ReadNeedleMetaResponse(
            cookie=needle.cookie,
            last_modified=needle.last_modified,
            crc=legacy_checksum(needle.checksum),
            ttl=str(needle.ttl) if needle.has_ttl else "",
            append_at_ns=needle.append_at_ns,
        )

    def write_blob(self, request: pb.WriteNeedleBlobRequest) -> pb.WriteNeedleBlobResponse:
        """Appends a record as it is, under the id of the request."""
        key, size = request.needle_id, request.size
        with self._counted(Total.WRITE_FAILURES):
            volume = mounted_volume(self._store, request.volume_id)
            try:
                write_record(volume, key, size, request.needle_blob)
            except StorageError as error:
                raise wrap(f"write blob needle {key} size {size}: ", error) from error
        return pb.WriteNeedleBlobResponse()

    @contextmanager
    def _counted(self, total: Total) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._counts.add(total)
            raise
