"""Look-ups of many volumes with few calls.

Every replicated write asks the master anew where the copies are, for a copy that has become read-only
must not be written, and no stream of the master's tells that in time.  While one call is under way,
whoever wants to know something waits for the next one, which asks for all of it at once: an answer is
never older than the question, and a busy server makes one call at a time instead of one a write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastvol.limits import LOOKUP_BATCH_VOLUMES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastvol.pb import master_pb2

    Answer = master_pb2.LookupVolumeResponse
    AskMany = Callable[[Sequence[int]], Awaitable[Answer]]


class LookupBatches:
    """Belongs to one event loop."""

    def __init__(self, ask_many: AskMany) -> None:
        """``ask_many`` asks for some volumes at once; it must come to an end."""
        self._ask_many = ask_many
        self._wanted: dict[int, asyncio.Future[Answer]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, volume_id: int) -> Answer:
        """An answer to a question put after this call, which has an entry for the volume.

        Raises:
            whatever ``ask_many`` does.
        """
        waiting = self._wanted.get(volume_id)
        if waiting is None:
            waiting = self._wanted[volume_id] = asyncio.get_running_loop().create_future()
            # Whoever wanted to know may have gone before the answer comes.
            waiting.add_done_callback(_look_at)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(waiting)

    async def _ask_all(self) -> None:
        try:
            while self._wanted:
                await self._ask_some()
        finally:
            self._asking = None

    async def _ask_some(self) -> None:
        ids = list(self._wanted)[:LOOKUP_BATCH_VOLUMES_MAX]
        asked = {volume_id: self._wanted.pop(volume_id) for volume_id in ids}
        try:
            answer = await self._ask_many(ids)
        except asyncio.CancelledError:
            for waiting in asked.values():
                waiting.cancel()
            raise
        except Exception as error:
            for waiting in asked.values():
                waiting.set_exception(error)
        else:
            for waiting in asked.values():
                waiting.set_result(answer)


def _look_at(waiting: asyncio.Future[Answer]) -> None:
    if not waiting.cancelled():
        waiting.exception()
