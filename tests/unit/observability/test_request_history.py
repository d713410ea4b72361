"""The rings behind the curves of the status page."""

from __future__ import annotations

from dataclasses import dataclass

from fastvol.observability.request_history import RequestHistory
from fastvol.observability.request_stats import RequestTotals

NOON = 20_000 * 86_400 + 12 * 3600


@dataclass
class Fake:
    now: float = NOON
    reads: int = 0
    writes: int = 0

    def history(self) -> RequestHistory:
        return RequestHistory(
            lambda: RequestTotals(self.reads, self.writes), clock=lambda: self.now
        )


def test_the_lengths_are_upstreams() -> None:
    recent = Fake().history().snapshot().reads
    assert [len(ring) for ring in (recent.minute, recent.hour, recent.day, recent.week)] == [
        60,
        60,
        24,
        7,
    ]


def test_what_came_since_the_last_tick_is_in_the_newest_slot_of_each() -> None:
    fake = Fake()
    history = fake.history()
    history.tick()
    fake.reads, fake.writes = 5, 2
    fake.now += 1
    history.tick()
    recent = history.snapshot()
    for ring in (recent.reads.minute, recent.reads.hour, recent.reads.day, recent.reads.week):
        assert ring[-1] == sum(ring) == 5
    assert recent.writes.minute[-1] == 2


def test_slots_move_on_and_are_forgotten() -> None:
    fake = Fake()
    history = fake.history()
    for _ in range(3):
        fake.reads += 1
        history.tick()
        fake.now += 1
    assert history.snapshot().reads.minute[-3:] == (1, 1, 1)
    fake.now += 60
    history.tick()
    reads = history.snapshot().reads
    assert sum(reads.minute) == 0 and sum(reads.hour) == 3 and reads.hour[-2] == 3
    fake.now += 86_400
    history.tick()
    reads = history.snapshot().reads
    assert sum(reads.day) == 0 and reads.week[-2] == 3


def test_a_long_pause_zeroes_every_slot() -> None:
    fake = Fake(reads=9)
    history = fake.history()
    history.tick()
    fake.now += 100 * 86_400
    fake.reads += 1
    history.tick()
    reads = history.snapshot().reads
    assert [sum(ring) for ring in (reads.minute, reads.hour, reads.day, reads.week)] == [1] * 4


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    fake = Fake()
    history = fake.history()
    history.tick()
    fake.now -= 3600
    fake.reads = 4
    history.tick()
    assert sum(history.snapshot().reads.minute) == 4
