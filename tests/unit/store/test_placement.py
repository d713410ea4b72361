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


def test_a_copied_volume_may_take_the_place_of_the_one_that_is_there(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(disks=2, maximum=1)
    add(store, 1)
    add(store, 2)
    assert store.find_free_location("", 2) is store.locations[1]
    assert store.find_free_location("", 3) is None
    free_space(store, monkeypatch, MIB)
    assert store.find_free_location("", 2, MIB - 1) is store.locations[1]
    assert store.find_free_location("", 2, MIB) is None
    assert store.find_free_location("", 2, 2**64 - 1) is None


def test_a_staged_volume_goes_where_no_shard_of_it_lies(make_store: MakeStore) -> None:
    store = make_store(disks=3, maximum=4)
    add(store, 1)
    add(store, 2)
    directories = [location.directory for location in store.locations]
    assert store.find_staging_location("", 9) is store.locations[2]
    (directories[2] / "c_9.ec31").write_bytes(b"x")
    (directories[1] / "9.ec00").touch()  # without content it is none
    (directories[0] / "9.ec32").write_bytes(b"x")  # and neither is this
    assert store.find_staging_location("", 9) is store.locations[0]
    assert store.find_staging_location("", 8) is store.locations[2]
    assert store.find_staging_location("ssd", 9) is None
    directories[0].rename(directories[0].with_name("gone"))
    assert store.find_staging_location("", 9) is store.locations[1]
    directories[0].with_name("gone").rename(directories[0])


def test_shards_go_beside_their_index_else_on_a_hard_disk(make_store: MakeStore) -> None:
    store = make_store(types="ssd,hdd,ssd", maximum=2)
    assert store.find_shard_location("c", 9) is store.locations[1]
    (store.locations[2].directory / "c_9.ecx").write_bytes(b"x")
    assert store.find_shard_location("c", 9) is store.locations[2]
    assert store.find_shard_location("", 9) is store.locations[1]
    store.locations[1].space.low = True
    store.locations[2].space.unavailable = True
    assert store.find_shard_location("c", 9) is store.locations[0]
    for volume_id in (1, 2):
        add(store, volume_id, disk_type="ssd")
    store.locations[2].space.unavailable = False
    assert store.find_shard_location("c", 9) is store.locations[2]
