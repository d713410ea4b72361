"""A throttled worker never exceeds its rate, and an idle one earns nothing."""

import pytest

from fastvol.volume.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def throttle(clock: Clock, rate: int) -> Throttle:
    return Throttle(rate, clock=lambda: clock.now, sleep=clock.sleep)


def test_work_takes_as_long_as_its_bytes() -> None:
    clock = Clock()
    slow = throttle(clock, 1000)
    for _ in range(10):
        slow.spend(500)
    assert clock.now == pytest.approx(105)
    assert sum(clock.slept) == pytest.approx(5)


def test_time_that_the_work_took_counts() -> None:
    clock = Clock()
    slow = throttle(clock, 1000)
    clock.now += 0.3
    slow.spend(500)
    assert clock.slept == [pytest.approx(0.2)]
    clock.now += 0.9
    slow.spend(500)
    assert len(clock.slept) == 1


def test_slow_times_are_not_caught_up_with() -> None:
    clock = Clock()
    slow = throttle(clock, 1000)
    clock.now += 3600
    slow.spend(10)
    slow.spend(1000)
    assert sum(clock.slept) == pytest.approx(1)


def test_no_limit_and_no_work() -> None:
    clock = Clock()
    throttle(clock, 0).spend(10**12)
    throttle(clock, -5).spend(10**12)
    throttle(clock, 10).spend(0)
    assert clock.slept == []
