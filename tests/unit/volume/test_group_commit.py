"""Shared syncs: nobody is told too early, nobody waits for ever, errors reach whom they concern."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fastvol.errors import DiskIOError, VolumeClosedError
from fastvol.volume.group_commit import GroupCommit

SECONDS_MAX = 20


class Gate:
    """A sync that tests hold up and let go, one by one."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.count = 0
        self.errors: dict[int, BaseException] = {}

    def sync(self) -> None:
        self.count += 1
        mine = self.count
        self.begun.release()
        assert self.may_end.acquire(timeout=SECONDS_MAX)
        if mine in self.errors:
            raise self.errors[mine]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(SECONDS_MAX * 1000):
        if condition():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came to that")


def joined(commit: GroupCommit, pool: ThreadPoolExecutor, count: int) -> list[Future[None]]:
    """``count`` writers, all of whom wait by the time this returns."""
    entered = threading.Semaphore(0)

    def enter() -> None:
        entered.release()
        commit.wait()

    futures = [pool.submit(enter) for _ in range(count)]
    for _ in range(count):
        assert entered.acquire(timeout=SECONDS_MAX)
    wait_until(lambda: commit._gathering is not None)
    threading.Event().wait(0.05)
    return futures


def test_a_lone_writer_syncs_at_once() -> None:
    calls: list[int] = []
    commit = GroupCommit(lambda: calls.append(1))
    commit.wait()
    commit.wait()
    assert len(calls) == 2


def test_writers_that_come_during_a_sync_share_the_next_one() -> None:
    gate = Gate()
    commit = GroupCommit(gate.sync)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(commit.wait)
        assert gate.begun.acquire(timeout=SECONDS_MAX)
        others = joined(commit, pool, 10)
        assert not any(future.done() for future in others)
        gate.may_end.release()
        first.result(SECONDS_MAX)
        assert gate.begun.acquire(timeout=SECONDS_MAX)
        assert not any(future.done() for future in others), "the first sync does not cover them"
        gate.may_end.release()
        for future in others:
            future.result(SECONDS_MAX)
    assert gate.count == 2


def test_a_failure_reaches_exactly_the_writers_of_its_sync() -> None:
    gate = Gate()
    gate.errors[2] = DiskIOError("sync x: input/output error")
    commit = GroupCommit(gate.sync)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(commit.wait)
        assert gate.begun.acquire(timeout=SECONDS_MAX)
        second = joined(commit, pool, 6)
        gate.may_end.release()
        assert gate.begun.acquire(timeout=SECONDS_MAX)
        third = joined(commit, pool, 6)
        gate.may_end.release(2)
        first.result(SECONDS_MAX)
        for future in second:
            with pytest.raises(DiskIOError, match=r"^sync x: input/output error$"):
                future.result(SECONDS_MAX)
        for future in third:
            future.result(SECONDS_MAX)
    errors = {id(future.exception()) for future in second}
    assert len(errors) == len(second), "each thread raises an error of its own"
    assert gate.count == 3


def test_the_kind_of_error_is_kept() -> None:
    gate = Gate()
    gate.errors[2] = VolumeClosedError("volume 7 is closed")
    commit = GroupCommit(gate.sync)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(commit.wait)
        assert gate.begun.acquire(timeout=SECONDS_MAX)
        second = joined(commit, pool, 2)
        gate.may_end.release(2)
        first.result(SECONDS_MAX)
        for future in second:
            with pytest.raises(VolumeClosedError):
                future.result(SECONDS_MAX)


@pytest.mark.parametrize("killer", [KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_whatever_ends_the_leader_the_others_are_told(killer: BaseException) -> None:
    gate = Gate()
    gate.errors[2] = killer
    commit = GroupCommit(gate.sync)
    outcomes: list[BaseException | None] = []

    def writer() -> None:
        try:
            commit.wait()
        except BaseException as error:
            outcomes.append(error)
        else:
            outcomes.append(None)

    first = threading.Thread(target=writer)
    first.start()
    assert gate.begun.acquire(timeout=SECONDS_MAX)
    others = [threading.Thread(target=writer) for _ in range(3)]
    for thread in others:
        thread.start()
    wait_until(lambda: commit._gathering is not None)
    threading.Event().wait(0.05)
    gate.may_end.release(2)
    for thread in (first, *others):
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()
    assert outcomes.count(None) == 1
    assert sum(type(outcome) is type(killer) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, DiskIOError) for outcome in outcomes) == 2
    gate.may_end.release()
    commit.wait()  # and the next writer is served as ever


def test_every_append_is_covered_by_a_sync_that_began_after_it() -> None:
    lock = threading.Lock()
    appended = 0
    durable = 0
    syncs = 0

    def sync() -> None:
        nonlocal durable, syncs
        with lock:
            seen = appended
        threading.Event().wait(0.001)
        with lock:
            durable = max(durable, seen)
            syncs += 1

    commit = GroupCommit(sync)

    def writer(_: int) -> None:
        nonlocal appended
        for _ in range(20):
            with lock:
                appended += 1
                mine = appended
            commit.wait()
            with lock:
                assert durable >= mine

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(writer, range(16)))
    assert durable == appended == 320
    assert syncs < 320, "they were shared"
