"""Rates come from totals that somebody counts."""

from __future__ import annotations

import asyncio

from fastvol.limits import ACTIVITY_NOTES
from fastvol.observability.activity import Activity, RequestTotals


class Counting:
    """Ten reads and a kilobyte more each time it is asked by a note."""

    def __init__(self) -> None:
        self.totals = RequestTotals()

    def snapshot(self) -> RequestTotals:
        return self.totals

    def add(self, reads: int) -> None:
        self.totals = self.totals._replace(
            reads=self.totals.reads + reads, bytes_sent=self.totals.bytes_sent + 1000 * reads
        )


def test_a_rate_is_the_difference_over_the_time_it_took() -> None:
    """A note that comes late makes no spike."""
    source = Counting()
    activity = Activity(source)
    activity.note(100.0)
    source.add(10)
    activity.note(101.0)
    source.add(40)
    activity.note(105.0)
    report = activity.report()
    assert [rates.reads for rates in report.minute] == [10, 10]
    assert report.minute[-1].bytes_sent == 10_000 and report.totals.reads == 50
    assert report.hour == ()


def test_only_the_last_minute_and_hour_are_kept() -> None:
    source = Counting()
    activity = Activity(source)
    for second in range(2 * 3600):
        source.add(2 if second < 3600 else 4)
        activity.note(float(second))
    report = activity.report()
    assert len(report.minute) == len(report.hour) == ACTIVITY_NOTES
    assert {rates.reads for rates in report.minute} == {4}
    assert report.hour[-1].reads == 4


def test_counters_that_start_anew_give_no_negative_rate() -> None:
    source = Counting()
    activity = Activity(source)
    source.add(10)
    activity.note(1.0)
    source.totals = RequestTotals()
    activity.note(2.0)
    assert activity.report().minute[0].reads == 0


def test_it_follows_a_loop_by_itself() -> None:
    activity = Activity(Counting())

    async def live() -> None:
        activity.follow(asyncio.get_running_loop())
        await asyncio.sleep(1.3)

    asyncio.run(live())
    assert len(activity.report().minute) == 1
