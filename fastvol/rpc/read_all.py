"""All needles of volumes, as a stream. Source: weed/server/volume_grpc_read_all.go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from fastvol.formats.needle import Needle
from fastvol.formats.protobuf_wire import bytes_field, number_field
from fastvol.observability.counts import Counts, Total
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.needle import masked_crc
from fastvol.rpc.service import Handler
from fastvol.rpc.volumes import readable_volume
from fastvol.volume.live_needles import live_needles

if TYPE_CHECKING:
    from fastvol.rpc.streams import ReplySender
    from fastvol.store.store import Store
    from fastvol.volume.live_needles import LiveNeedle


class ReadAllHandlers:
    """Handlers over ``store``; failures are counted in ``counts``."""

    def __init__(self, store: Store, counts: Counts | None = None):
        self._store = store
        self._counts = counts or Counts()

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"ReadAllNeedles": self.read_all}

    def read_all(self, request: pb.ReadAllNeedlesRequest, send: ReplySender) -> None:
        """Payload, name, type, time and checksum of every needle, volume by volume."""
        for volume_id in request.volume_ids:
            try:
                volume = readable_volume(self._store, volume_id)
                with closing(live_needles(volume)) as needles:
                    if not send.send_each(_messages(volume_id, needles)):
                        return
            except BaseException:
                self._counts.add(Total.READ_FAILURES)
                raise


def _messages(volume_id: int, needles: Iterator[LiveNeedle]) -> Iterator[bytes]:
    """ReadAllNeedlesResponses."""
    volume = number_field(1, volume_id)
    for needle in needles:
        record = needle.record
        yield b"".join(
            (
                volume,
                number_field(2, record.id),
                number_field(3, record.cookie),
                bytes_field(5, needle.data),
                number_field(6, record.flags & Needle.IS_COMPRESSED),
                number_field(7, record.last_modified),
                number_field(8, masked_crc(record.checksum)),
                bytes_field(9, needle.name),
                bytes_field(10, needle.mime),
            )
        )
