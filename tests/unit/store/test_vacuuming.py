"""Vacuums of a store's volumes: texts, throttle, and that a stopping server ends them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastvol._cffi.crc32c import crc32c
from fastvol.errors import StorageError, VolumeNotFoundError
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.store import vacuuming
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store
from fastvol.store.vacuuming import Vacuuming


@pytest.fixture(name="store")
def store_fixture(tmp_path: Path) -> Iterator[Store]:
    store = Store(StoreOptions("127.0.0.1", 8080, (LocationOptions(tmp_path, 8),)))
    store.load()
    volume = store.add_volume(1, "", ReplicaPlacement.parse("000"), EMPTY)
    for key in range(1, 11):
        volume.write(Needle(key, 1, b"payload", checksum=crc32c(b"payload")))
    for key in range(1, 10):
        volume.delete(key, 1, 0)
    yield store
    store.close()


def test_compact_and_commit(store: Store) -> None:
    refreshed = []
    store.table.on_add = refreshed.append
    volume = store.get_volume(1)
    before = volume.dat_size
    work = Vacuuming(store)
    report = work.compact(1, preallocate=0, progress=lambda _: True)
    assert report is not None
    assert report.records == 1
    done = work.commit(1)
    assert not done.was_read_only
    assert done.dat_size == volume.dat_size < before
    assert refreshed == [volume]  # whoever serves it has the new files
    work.cleanup(1)


def test_the_state_before_the_commit_is_told(store: Store) -> None:
    work = Vacuuming(store)
    store.mark_volume_read_only(1, can_delete=False, persist=False)
    work.compact(1, preallocate=0, progress=lambda _: True)
    assert work.commit(1).was_read_only


def test_a_volume_that_is_not_there(store: Store) -> None:
    work = Vacuuming(store)
    for call, doing in (
        (lambda: work.compact(9, preallocate=0, progress=lambda _: True), "compact"),
        (lambda: work.commit(9), "commit compact"),
        (lambda: work.cleanup(9), "cleaning up"),
    ):
        text = f"volume id 9 is not found during {doing}: volume not found"
        with pytest.raises(VolumeNotFoundError, match=text):
            call()


def test_the_throttle_gets_every_byte(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[tuple[int, int]] = []

    class Recorded:
        def __init__(self, rate: int) -> None:
            self._rate = rate

        def spend(self, count: int) -> None:
            spent.append((self._rate, count))

    monkeypatch.setattr(vacuuming, "Throttle", Recorded)
    Vacuuming(store, bytes_per_second=5).compact(1, preallocate=0, progress=lambda _: True)
    assert {rate for rate, _ in spent} == {5}
    assert sum(count for _, count in spent) == 48  # one record of 7 bytes


def test_a_stopping_server_ends_its_vacuums(store: Store) -> None:
    store.stopping = True
    work = Vacuuming(store)
    with pytest.raises(StorageError, match="interrupted"):
        work.compact(1, preallocate=0, progress=lambda _: True)
    with pytest.raises(StorageError, match="volume id 1 skips compact because volume is stopping"):
        work.commit(1)
    store.stopping = False
