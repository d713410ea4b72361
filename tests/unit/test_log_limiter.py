"""The first line of a kind is written, the others are counted."""

import logging
import threading

import pytest

from fastvol.log_limiter import LogLimiter
from fastvol.observability.logs import TextFormatter

log = logging.getLogger("tested")


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def clock_fixture() -> Clock:
    return Clock()


@pytest.fixture(name="limiter")
def limiter_fixture(clock: Clock) -> LogLimiter:
    return LogLimiter(log, seconds=10, kinds_max=3, clock=clock)


def test_the_first_at_once_and_then_one_a_while(
    limiter: LogLimiter, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        limiter.error("a", "broken %s", "disk")
    assert caplog.messages == ["broken disk"]
    clock.now += 9.9
    limiter.error("a", "broken %s", "disk")
    clock.now += 0.1
    limiter.error("a", "broken %d%%", 5)
    assert caplog.messages[1:] == ["broken 5% (100 more since the last such line)"]
    clock.now += 10
    limiter.error("a", "broken")
    assert caplog.messages[2:] == ["broken"]


def test_kinds_do_not_silence_each_other(
    limiter: LogLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    limiter.error("a", "first")
    limiter.warning("b", "second")
    limiter.error("a", "not again")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ERROR", "first"),
        ("WARNING", "second"),
    ]


def test_a_great_many_kinds_are_one(
    limiter: LogLimiter, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Else whoever makes up kinds would fill the memory, or the log."""
    for kind in range(1000):
        limiter.error(kind, "line %d", kind)
    assert caplog.messages == ["line 0", "line 1", "line 2", "line 3"]
    assert len(limiter._kinds) <= 4
    clock.now += 10
    limiter.error(5000, "after a while")
    assert caplog.messages[4:] == ["after a while"]
    assert len(limiter._kinds) == 1


def test_lines_name_the_place_that_asked_for_them(
    limiter: LogLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        limiter.error("a", "with a trace", exc_info=error)
    (record,) = caplog.records
    assert (record.filename, record.funcName) == (
        "test_log_limiter.py",
        "test_lines_name_the_place_that_asked_for_them",
    )
    assert "ValueError: why" in TextFormatter().format(record)


def test_threads_lose_no_count(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    limiter = LogLimiter(log, seconds=10, clock=clock)

    def work() -> None:
        for _ in range(500):
            limiter.error("a", "line")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += 10
    limiter.error("a", "line")
    assert caplog.messages == ["line", "line (1999 more since the last such line)"]
