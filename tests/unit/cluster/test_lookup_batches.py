"""One look-up at a time, none older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fastvol.cluster.lookup_batches import LookupBatches
from fastvol.errors import MasterError
from fastvol.limits import LOOKUP_BATCH_VOLUMES_MAX
from fastvol.pb import master_pb2


class Master:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_answer = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def ask_many(self, volume_ids: Sequence[int]) -> master_pb2.LookupVolumeResponse:
        self.asked.append(list(volume_ids))
        number = len(self.asked)
        await self.may_answer.acquire()
        if self.failure is not None:
            raise self.failure
        entry = master_pb2.LookupVolumeResponse.VolumeIdLocation(volume_or_file_id=str(number))
        return master_pb2.LookupVolumeResponse(volume_id_locations=[entry])


def number_of(answer: master_pb2.LookupVolumeResponse) -> int:
    """Which call it was."""
    return int(answer.volume_id_locations[0].volume_or_file_id)


async def begun(batches: LookupBatches, *volume_ids: int) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(batches.ask(volume_id)) for volume_id in volume_ids]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def numbers(tasks: list[asyncio.Task]) -> list[int]:
    return [number_of(answer) for answer in await asyncio.gather(*tasks)]


def test_what_is_asked_meanwhile_goes_with_the_next_call() -> None:
    async def play() -> None:
        master = Master()
        batches = LookupBatches(master.ask_many)
        first = await begun(batches, 1)
        later = await begun(batches, 2, 3, 2, 1)
        assert master.asked == [[1]]
        master.may_answer.release()
        assert await numbers(first) == [1]
        master.may_answer.release()
        # Also for the volume that the first call asked about: it was asked too early.
        assert await numbers(later) == [2, 2, 2, 2]
        assert master.asked == [[1], [2, 3, 1]]

    asyncio.run(play())


def test_a_failure_is_that_of_its_call_only() -> None:
    async def play() -> None:
        master = Master()
        batches = LookupBatches(master.ask_many)
        first = await begun(batches, 1)
        second = await begun(batches, 1)
        master.failure = MasterError("no leader")
        master.may_answer.release()
        with pytest.raises(MasterError, match="no leader"):
            await first[0]
        master.failure = None
        master.may_answer.release()
        assert await numbers(second) == [2]

    asyncio.run(play())


def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    async def play() -> None:
        master = Master()
        batches = LookupBatches(master.ask_many)
        gone, stays = await begun(batches, 1, 1)
        gone.cancel()
        await asyncio.sleep(0)
        master.may_answer.release()
        assert await numbers([stays]) == [1]
        assert gone.cancelled()
        again = await begun(batches, 1)
        master.may_answer.release()
        assert await numbers(again) == [2]

    asyncio.run(play())


def test_a_call_asks_for_no_more_than_so_many() -> None:
    async def play() -> None:
        master = Master()
        batches = LookupBatches(master.ask_many)
        first = await begun(batches, 1)
        many = await begun(batches, *range(2, LOOKUP_BATCH_VOLUMES_MAX + 3))
        for _ in range(3):
            master.may_answer.release()
        await asyncio.gather(*first, *many)
        assert [len(ids) for ids in master.asked] == [1, LOOKUP_BATCH_VOLUMES_MAX, 1]

    asyncio.run(play())
