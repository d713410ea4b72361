"""Placement: where volumes go, how many fit."""

import pytest
from store_kit import MakeStore, add

from fastvol.errors import NoSpaceError
from fastvol.store.free_space import DiskStatus
from fastvol.store.store import Store

MIB = 1 << 20


def free_space(store: Store, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    for location in store.locations:
        monkeypatch.setattr(location, "status", lambda: DiskStatus("", free=free))


def test_the_location_with_the_fewest_local_volumes_is_taken(make_store: MakeStore) -> None:
    store = make_store(disks=3)
    assert [add(store, vid).disk_id for vid in range(6)] == [0, 1, 2, 0, 1, 2]
    store.get_volume(4).remote_storage = ("s3.default", "key")
    assert add(store, 6).disk_id == 1


def test_the_disk_type_is_respected(make_store: MakeStore) -> None:
    store = make_store(types="hdd,ssd", maximum=2)
    assert [add(store, vid, disk_type="SSD").disk_id for vid in (1, 2)] == [1, 1]
    with pytest.raises(NoSpaceError):
        add(store, 3, disk_type="ssd")
    with pytest.raises(NoSpaceError):
        add(store, 3, disk_type="nvme")
    assert add(store, 3, disk_type="hdd").disk_id == 0


def test_an_unavailable_location_takes_nothing(make_store: MakeStore) -> None:
    store = make_store(disks=2)
    store.locations[0].space.unavailable = True
    assert [add(store, vid).disk_id for vid in (1, 2)] == [1, 1]
    location = store.find_free_location("")
    assert location is store.locations[1]


def test_a_copied_volume_goes_where_most_slots_are_free(make_store: MakeStore) -> None:
    store = make_store(disks=2, maximum=2)
    add(store, 1)
    assert store.find_free_location("hdd") is store.locations[1]
    for volume_id in (2, 3, 4):
        add(store, volume_id)
    assert store.find_free_location("") is None
    assert make_store(types="ssd", maximum=0, load=False).find_free_location("ssd") is None


@pytest.mark.parametrize(
    ("free", "limit", "preallocated", "maximum"),
    [
        (81_200_000_000, 1000 * MIB, False, 77),
        (100 * MIB, 10 * MIB, True, 12),
        (100 * MIB, 10 * MIB, False, 10),
        (5 * MIB, 10 * MIB, False, 2),
        (0, 10 * MIB, True, 2),
    ],
)
def test_an_automatic_maximum_follows_the_free_space(
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    limit: int,
    preallocated: bool,
    maximum: int,
) -> None:
    store = make_store(maximum=0)
    for volume_id in (1, 2):
        add(store, volume_id)
    free_space(store, monkeypatch, free)
    assert not store.adjust_volume_max(), "the limit is not known yet"
    assert store.locations[0].max_volume_count == 0
    store.volume_size_limit, store.preallocate = limit, preallocated
    assert store.adjust_volume_max()
    assert store.locations[0].max_volume_count == maximum
    assert not store.adjust_volume_max()


def test_an_automatic_maximum_is_at_least_one(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(maximum=0)
    free_space(store, monkeypatch, 0)
    store.volume_size_limit = MIB
    assert store.adjust_volume_max()
    assert store.locations[0].max_volume_count == 1


def test_read_only_volumes_claim_no_space(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(maximum=0)
    add(store, 1).no_write_or_delete = True
    free_space(store, monkeypatch, 10 * MIB)
    store.volume_size_limit = MIB
    store.adjust_volume_max()
    assert store.locations[0].max_volume_count == 11


def test_a_configured_maximum_is_not_adjusted(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(maximum=3)
    free_space(store, monkeypatch, 1 << 40)
    store.volume_size_limit = MIB
    assert not store.adjust_volume_max()
    assert store.locations[0].max_volume_count == 3
