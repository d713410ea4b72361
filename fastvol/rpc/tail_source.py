"""Following a volume of this server. Source: weed/server/volume_grpc_tail.go: VolumeTailSender.

In rounds: what was appended since the last one is sent, or, when there was nothing, a message without
a record, by which the follower sees that the sender is alive.  ``idle_timeout_seconds`` counts such
rounds, not seconds; without it the volume is followed until the follower goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from fastvol.errors import StorageError
from fastvol.limits import TAIL_POLL_SECONDS
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import wrap
from fastvol.rpc.volumes import readable_volume
from fastvol.volume.tail import TailCursor

if TYPE_CHECKING:
    from fastvol.rpc.streams import ReplySender
    from fastvol.store.store import Store


class TailSourceHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store, *, poll_seconds: float = TAIL_POLL_SECONDS):
        self._store = store
        self._poll_seconds = poll_seconds

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"VolumeTailSender": self.send_tail}

    async def send_tail(self, request: pb.VolumeTailSenderRequest, send: ReplySender) -> None:
        """Sends every record newer than ``since_ns``, and goes on doing so."""
        volume = readable_volume(self._store, request.volume_id)
        cursor = TailCursor(volume, request.since_ns)
        idle_rounds = 0
        while True:
            before = cursor.newest_ns
            if not await asyncio.to_thread(_send_round, cursor, volume.version, send):
                return
            await asyncio.sleep(self._poll_seconds)
            idle_rounds = idle_rounds + 1 if cursor.newest_ns == before else 0
            if idle_rounds and 0 < request.idle_timeout_seconds <= idle_rounds:
                return


def _send_round(cursor: TailCursor, version: int, send: ReplySender) -> bool:
    """One round; False when the follower has gone."""
    try:
        with closing(_messages(cursor, version)) as messages:
            return send.send_each(messages) and send.flush()
    except StorageError as error:
        raise wrap("streamFollow: ", error) from error


def _messages(cursor: TailCursor, version: int) -> Generator[bytes, None, None]:
    """What is new, or a sign of life."""
    sent = False
    for message in cursor.next_messages():
        yield message
        sent = True
    if not sent:
        alive = pb.VolumeTailSenderResponse(is_last_chunk=True, version=version)
        yield alive.SerializeToString()
