"""The sample behind a heartbeat: what is reported, what is left out, what is destroyed."""

from pathlib import Path

from store_kit import MakeStore, add

from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import TTL
from fastvol.store.free_space import DiskStatus
from fastvol.store.store import DiskTag, Store, VolumeReport

NOW = 1_700_000_000.0


def reported(store: Store, now: float = NOW) -> list[int]:
    return sorted(report.id for report in store.heartbeat_snapshot(now).volumes)


def test_a_volume_is_described_in_full(make_store: MakeStore) -> None:
    store = make_store(types="ssd")
    volume = store.add_volume(
        7, "c", ReplicaPlacement.parse("010"), TTL.parse("3m"), disk_type="ssd"
    )
    volume.dat_size = 104
    volume.no_write_can_delete = True
    counters = volume.counters
    counters.file_count, counters.deleted_count, counters.deleted_size = 5, 2, 70
    counters.max_file_key = 99
    snapshot = store.heartbeat_snapshot(NOW)
    assert snapshot.volumes == [
        VolumeReport(
            id=7,
            size=104,
            collection="c",
            file_count=5,
            delete_count=2,
            deleted_byte_count=70,
            read_only=True,
            replica_placement=10,
            version=3,
            ttl=769,
            compact_revision=0,
            modified_at_second=1700000000,
            remote_storage_name="",
            remote_storage_key="",
            disk_type="ssd",
            disk_id=0,
            read_only_can_delete=True,
        )
    ]
    assert snapshot.max_file_key == 99


def test_locations_are_described(make_store: MakeStore) -> None:
    store = make_store(types="hdd,ssd,hdd", maximum=4)
    for number, location in enumerate(store.locations):
        location.space.status = DiskStatus("", all=100 + number, free=10 + number)
    snapshot = store.heartbeat_snapshot(NOW)
    assert snapshot.max_volume_counts == {"": 8, "ssd": 4}
    assert snapshot.disk_total_bytes == {"": 202, "ssd": 101}
    assert snapshot.disk_free_bytes == {"": 22, "ssd": 11}
    assert snapshot.disk_tags == [
        DiskTag(0, ("t",), "", 4),
        DiskTag(1, ("t",), "ssd", 4),
        DiskTag(2, ("t",), "", 4),
    ]
    assert snapshot.location_uuids == [location.uuid for location in store.locations]


def test_a_low_disk_offers_no_more_than_it_has(make_store: MakeStore) -> None:
    store = make_store()
    add(store, 1)
    add(store, 2).remote_storage = ("s3.default", "key")
    store.locations[0].space.low = True
    snapshot = store.heartbeat_snapshot(NOW)
    assert snapshot.max_volume_counts == {"": 1}
    assert len(snapshot.volumes) == 2
    assert snapshot.volumes[1].remote_storage_name == "s3.default"


def test_an_unavailable_disk_is_left_out(make_store: MakeStore) -> None:
    store = make_store(disks=2)
    add(store, 1)
    add(store, 2)
    store.locations[0].space.unavailable = True
    snapshot = store.heartbeat_snapshot(NOW)
    assert [report.id for report in snapshot.volumes] == [2]
    assert snapshot.max_volume_counts == {"": 8}
    assert [tag.max_volume_count for tag in snapshot.disk_tags] == [0, 8]
    assert len(snapshot.location_uuids) == 2


def test_faulty_volumes_are_left_out_but_their_keys_count(make_store: MakeStore) -> None:
    store = make_store()
    add(store, 1).quarantined = True
    add(store, 2).unavailable = True
    add(store, 3)
    store.get_volume(1).counters.max_file_key = 55
    snapshot = store.heartbeat_snapshot(NOW)
    assert [report.id for report in snapshot.volumes] == [3]
    assert snapshot.max_file_key == 55


def test_a_volume_whose_data_file_was_unlinked_is_left_out(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    volumes = [add(store, vid) for vid in (1, 2, 3)]
    volumes[0].counters.file_count = 1
    volumes[1].counters.file_count = 1
    assert reported(store) == [1, 2, 3]
    (tmp_path / "disk0" / "1.dat").unlink()
    (tmp_path / "disk0" / "3.dat").unlink()
    assert reported(store, NOW + 29) == [1, 2, 3], "a file seen lately is not looked for"
    assert reported(store, NOW + 31) == [2, 3], "without files there is nothing to lose"


def test_an_expired_volume_is_left_out_then_destroyed(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    events: list[object] = []
    volume = add(store, 7, ttl=TTL.parse("20m"))
    store.on_volume_event = events.append
    volume.last_modified = NOW
    assert reported(store, NOW + 3600) == [7], "nothing expires before the size limit is known"
    store.volume_size_limit = 1 << 30
    assert reported(store, NOW + 20 * 60) == [7]
    assert reported(store, NOW + 21 * 60) == []
    assert store.find_volume(7) is volume
    volume.compacting = True
    assert reported(store, NOW + 23 * 60) == []
    assert store.find_volume(7) is volume, "not during its vacuum"
    volume.compacting = False
    assert reported(store, NOW + 23 * 60) == []
    assert store.find_volume(7) is None
    assert not (tmp_path / "disk0" / "7.dat").exists()
    assert events == [], "the heartbeat itself tells the master"
