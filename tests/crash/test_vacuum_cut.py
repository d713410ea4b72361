"""A process that dies at any step of a vacuum: the next start, of either server, has all objects."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from volume_kit import create, needle, open_volume

from fastvol.errors import NeedleNotFoundError
from fastvol.store.compaction_recovery import reconcile_compactions
from fastvol.volume import vacuum, vacuum_files
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

pytestmark = pytest.mark.crash

STEPS_MAX = 200
COOKIE = 0x1234
DIED = 42


def payload(key: int) -> bytes:
    return random.Random(key).randbytes(key * 13 % 300 + 1)


LIVE = {key: payload(key) for key in [*range(11, 21), 101, 102]}
GONE = [*range(1, 11), 103]


def put(volume: Volume, key: int) -> None:
    volume.write(needle(key, payload(key), cookie=COOKIE))


def make(directory: Path, volume_id: int) -> None:
    volume = create(directory, volume_id)
    for key in range(1, 21):
        put(volume, key)
    for key in range(1, 11):
        volume.delete(key, COOKIE, 0)
    volume.close()


def dying(real: Callable[..., Any], steps: Iterator[int], last: int) -> Callable[..., Any]:
    """``real``, before whose ``last``-th call the process dies."""

    def call(*arguments: Any, **named: Any) -> Any:
        if next(steps) == last:
            os._exit(DIED)
        return real(*arguments, **named)

    return call


def vacuum_and_die(directory: Path, volume_id: int, last: int) -> None:
    steps = iter(range(1, STEPS_MAX))
    volume = open_volume(directory, volume_id)
    os.fsync = dying(os.fsync, steps, last)
    os.pwrite = dying(os.pwrite, steps, last)
    for owner, name in (
        (Path, "replace"),
        (Path, "unlink"),
        (vacuum, "swap_in"),
        (vacuum_files, "remove_files"),
        (vacuum_files, "create_built"),
    ):
        setattr(owner, name, dying(getattr(owner, name), steps, last))
    volume.compact(VacuumPlan())
    for key in (101, 102, 103):
        put(volume, key)
    volume.delete(103, COOKIE, 0)
    volume.commit_compaction()
    os._exit(0)


def test_a_vacuum_cut_at_every_step(tmp_path: Path) -> None:
    """One volume for each step; all are then opened by the rules of a start."""
    died = 0
    for last in range(1, STEPS_MAX):
        make(tmp_path, last)
        child = os.fork()
        if child == 0:
            try:
                vacuum_and_die(tmp_path, last, last)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, DIED)
        if status == 0:
            break
        died += 1
    assert 12 < died < STEPS_MAX - 2
    reconcile_compactions(tmp_path, tmp_path, loaded=())
    revisions = set()
    for volume_id in range(1, died + 2):
        volume = open_volume(tmp_path, volume_id)
        assert not volume.read_only
        revisions.add(volume.super_block.compaction_revision)
        # Those of the last three may not have been written yet.
        expected = {key for key in LIVE if key < 100 or volume_id == died + 1}
        for key, data in LIVE.items():
            try:
                assert volume.read(key).data == data
            except NeedleNotFoundError:
                assert key not in expected
        for key in GONE[:-1]:
            with pytest.raises(NeedleNotFoundError):
                volume.read(key)
        put(volume, 200)
        volume.close()
    assert revisions == {0, 1}
    assert {path.suffix for path in tmp_path.iterdir()} == {".dat", ".idx", ".vif"}
