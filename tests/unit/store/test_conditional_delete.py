"""Deleting a volume "if it is empty" while a client writes to it: never both."""

import threading
import time
from pathlib import Path

import pytest

from fastvol.errors import StorageError, VolumeNotEmptyError
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.store.free_space import MinFreeSpace
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store

ROUNDS = 150
STEP_SECONDS = 50e-6


@pytest.mark.parametrize("condition", ["only_empty", "only_garbage"])
def test_an_acknowledged_object_is_never_destroyed(tmp_path: Path, condition: str) -> None:
    """Each round: either the delete is refused, or the object was not accepted."""
    location = LocationOptions(tmp_path, ROUNDS + 1, MinFreeSpace(percent=0))
    store = Store(StoreOptions("127.0.0.1", 8080, (location,)))
    store.load()
    outcomes = set()
    head_start = 0.0
    try:
        for volume_id in range(1, ROUNDS + 1):
            outcome = _race(store, volume_id, condition, head_start)
            outcomes.add(outcome)
            # Whoever lost starts earlier the next time: the two stay near each other.
            destroyed, _ = outcome
            head_start += STEP_SECONDS if destroyed else -STEP_SECONDS
    finally:
        store.close()
    assert (True, True) not in outcomes, "an acknowledged object is gone"
    assert len(outcomes) > 1, "one side always wins: this tests nothing"


def _race(store: Store, volume_id: int, condition: str, head_start: float) -> tuple[bool, bool]:
    """(whether the volume was destroyed, whether the object was accepted).

    ``head_start`` is the writer's before the deleter, in seconds; negative for the other way.
    """
    volume = store.add_volume(volume_id, "", ReplicaPlacement(), EMPTY)
    if condition == "only_garbage":
        volume.write(Needle(id=9, cookie=1, data=b"garbage"))
        volume.delete(9, 1, 0)
    accepted = threading.Event()
    start = threading.Barrier(2)

    def write() -> None:
        start.wait()
        if head_start < 0:
            time.sleep(-head_start)
        try:
            volume.write(Needle(id=1, cookie=1, data=bytes(volume_id * 500)))
        except StorageError:
            return
        accepted.set()

    writer = threading.Thread(target=write)
    writer.start()
    start.wait()
    if head_start > 0:
        time.sleep(head_start)
    try:
        store.delete_volume(volume_id, **{condition: True})
        destroyed = True
    except VolumeNotEmptyError:
        destroyed = False
    writer.join()
    return destroyed, accepted.is_set()
