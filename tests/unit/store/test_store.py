"""The store: start and end, adding, mounting, removing, marking."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_volume import NO_REPLICAS, FakeVolume, create_fake, open_fake

from fastvol.errors import (
    NoSpaceError,
    StorageError,
    VolumeExistsError,
    VolumeNotEmptyError,
    VolumeNotFoundError,
)
from fastvol.formats import volume_info
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.store import removal
from fastvol.store.disk_location import DiskLocation
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store, VolumeEvent

Record = Callable[[Store], list[VolumeEvent]]
MakeStore = Callable[..., Store]


def add(store: Store, volume_id: int, collection: str = "", **options: object) -> FakeVolume:
    return store.add_volume(volume_id, collection, NO_REPLICAS, EMPTY, **options)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def kinds(events: list[VolumeEvent]) -> list[tuple[str, int, int]]:
    return [(event.kind, event.volume.id, event.volume.disk_id) for event in events]


# ---- start and end -----------------------------------------------------------------------------


def test_the_server_id_defaults_to_the_address(make_store: MakeStore) -> None:
    assert make_store(load=False).server_id == "127.0.0.1:8080"
    assert make_store(load=False, server_id="me").server_id == "me"


def test_a_second_server_on_the_directory_is_refused(make_store: MakeStore) -> None:
    first = make_store()
    second = make_store(load=False)
    with pytest.raises(StorageError, match=r"data directory .*disk0 is already served"):
        second.load()
    first.close()
    second.load()


def test_one_directory_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    places = tuple(LocationOptions(tmp_path / name, 1) for name in ("data", "link"))
    store = Store(StoreOptions("h", 1, places), open_volume=open_fake, create_volume=create_fake)
    with pytest.raises(StorageError, match=r"/data and .*/link are the same directory$"):
        store.load()
    assert names(tmp_path / "data") == set(), "nothing is written before the check"


def test_a_missing_directory_is_named(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(load=False)
    (tmp_path / "disk0").rmdir()
    with pytest.raises(StorageError, match=r"data directory .*disk0"):
        store.load()


def test_a_failed_start_closes_what_it_opened(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(disks=2, load=False)
    create_fake(tmp_path / "disk0", tmp_path / "disk0", "", 1)
    scan = store._loader._scan

    def fail_on_the_second(location: DiskLocation) -> object:
        if location is store.locations[1]:
            raise OSError(5, "Input/output error")
        return scan(location)

    monkeypatch.setattr(store._loader, "_scan", fail_on_the_second)
    with pytest.raises(StorageError, match="cannot list a data directory"):
        store.load()
    assert store.volumes() == []
    make_store(disks=2)  # the locks are free again


def test_a_start_writes_the_uuid_and_no_state(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    assert names(tmp_path / "disk0") == {"vol_dir.uuid"}
    assert store.locations[0].uuid == (tmp_path / "disk0" / "vol_dir.uuid").read_text()


def test_the_index_directory_is_made_and_holds_the_state(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(index_directory=tmp_path / "index")
    store.state.update(True, 0)
    add(store, 1)
    assert names(tmp_path / "index") == {"state.pb", "1.idx"}


def test_closing_closes_volumes_and_waits_for_their_vacuum(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    volume = add(store, 1)
    volume.compacting = True
    monkeypatch.setattr(removal, "COMPACTION_POLL_SECONDS", 0.01)
    closer = threading.Thread(target=store.close)
    closer.start()
    closer.join(0.1)
    assert closer.is_alive() and not volume.closed
    volume.compacting = False
    closer.join(10)
    assert volume.closed and store.find_volume(1) is None


def test_sync_reaches_every_volume(make_store: MakeStore) -> None:
    store = make_store()
    volumes = [add(store, 1), add(store, 2)]
    store.sync()
    assert [volume.synced for volume in volumes] == [1, 1]


# ---- adding ------------------------------------------------------------------------------------


def test_adding_announces(make_store: MakeStore, recorded: Record) -> None:
    store = make_store(types="ssd")
    events = recorded(store)
    placement, ttl = ReplicaPlacement.parse("001"), TTL.parse("3d")
    volume = store.add_volume(7, "c", placement, ttl, disk_type="SSD")
    assert store.find_volume(7) is store.get_volume(7) is volume
    (event,) = events
    assert event.kind == "new"
    assert event.volume == store.identity(volume)
    assert (event.volume.replica_placement, event.volume.ttl) == (1, 0x0303)
    assert (event.volume.disk_type, event.volume.disk_id, event.volume.version) == ("ssd", 0, 3)


def test_an_id_is_added_once(make_store: MakeStore) -> None:
    store = make_store(disks=2)
    add(store, 7)
    with pytest.raises(VolumeExistsError, match=r"^Volume Id 7 already exists!$"):
        add(store, 7, "other")


def test_full_locations_take_no_volume(make_store: MakeStore, recorded: Record) -> None:
    store = make_store(disks=2, maximum=1)
    events = recorded(store)
    assert [add(store, vid).disk_id for vid in (1, 2)] == [0, 1]
    with pytest.raises(NoSpaceError, match=r"^No more free space left$"):
        add(store, 3)
    assert len(events) == 2


def test_concurrent_adds_do_not_overfill(make_store: MakeStore) -> None:
    store = make_store(maximum=3)
    refused = []

    def add_one(volume_id: int) -> None:
        try:
            add(store, volume_id)
        except NoSpaceError:
            refused.append(volume_id)

    threads = [threading.Thread(target=add_one, args=(vid,)) for vid in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(store.volumes()) == 3
    assert len(refused) == 7


def test_a_collection_is_no_path(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    for name in ("../evil", "a/b", "/a"):
        with pytest.raises(StorageError, match="invalid collection name"):
            store.add_volume(1, name, NO_REPLICAS, EMPTY)
    assert names(tmp_path) == {"disk0"}
    assert names(tmp_path / "disk0") == {"vol_dir.uuid"}


def test_an_unknown_version_leaves_nothing(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    with pytest.raises(StorageError, match="version 0 is not supported"):
        add(store, 1, version=0)
    assert names(tmp_path / "disk0") == {"vol_dir.uuid"}
    assert store.volumes() == []


@pytest.mark.parametrize(
    ("choice", "neighbour", "master", "width"),
    [
        *[(None, None, None, 5), (None, None, 4, 4), (None, 4, 5, 4)],
        *[(4, 5, 5, 4), (5, 4, 4, 5)],
    ],
)
def test_the_offset_width_of_a_new_volume(
    make_store: MakeStore,
    tmp_path: Path,
    choice: int | None,
    neighbour: int | None,
    master: int | None,
    width: int,
) -> None:
    (tmp_path / "disk0").mkdir()
    if neighbour:
        create_fake(tmp_path / "disk0", tmp_path / "disk0", "", 1, offset_width=neighbour)
    store = make_store(offset_width=choice)
    store.ask_offset_width = lambda: master
    assert add(store, 2).offset_width == width


@pytest.mark.parametrize(("advice", "width"), [(None, 5), (4, 4)])
def test_a_volume_that_does_not_tell_is_as_wide_as_advised(
    make_store: MakeStore, tmp_path: Path, advice: int | None, width: int
) -> None:
    """An empty volume of a release that did not write the width into the ``.vif``."""
    store = make_store(load=False)
    create_fake(tmp_path / "disk0", tmp_path / "disk0", "", 1, offset_width=0)
    store.ask_offset_width = lambda: advice
    store.load()
    assert store.get_volume(1).offset_width == width


def test_a_volume_that_does_not_tell_follows_most_others_of_all_disks(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(disks=2, load=False)
    first, second = (tmp_path / f"disk{number}" for number in range(2))
    create_fake(first, first, "", 1, offset_width=0)
    for volume_id, offset_width in ((2, 4), (3, 4), (4, 5)):
        create_fake(second, second, "", volume_id, offset_width=offset_width)
    store.ask_offset_width = lambda: 5
    store.load()
    assert store.get_volume(1).offset_width == 4


# ---- mounting ----------------------------------------------------------------------------------


def test_unmounting_and_mounting_announce(make_store: MakeStore, recorded: Record) -> None:
    store = make_store()
    volume = add(store, 7, "c")
    volume.no_write_can_delete = True
    events = recorded(store)
    store.unmount_volume(7)
    assert volume.closed
    assert store.find_volume(7) is None
    store.unmount_volume(7)  # absent is fine
    store.mount_volume(7)
    store.mount_volume(7)  # mounted is fine, and announced again
    assert kinds(events) == [("deleted", 7, 0), ("new", 7, 0), ("new", 7, 0)]
    assert not events[0].volume.read_only, "what is gone is not read-only"
    assert store.get_volume(7).collection == "c"


def test_mounting_looks_at_the_hinted_collection_first(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    for collection in ("a", "b"):
        create_fake(tmp_path / "disk0", tmp_path / "disk0", collection, 7)
    store.mount_volume(7, "b")
    assert store.get_volume(7).collection == "b"
    store.unmount_volume(7)
    store.mount_volume(7, "wrong")
    assert store.get_volume(7).collection == "a"


def test_mounting_what_is_not_there(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    with pytest.raises(StorageError, match=r"^volume 7 not found on disk$"):
        store.mount_volume(7)
    (tmp_path / "disk0" / "7.idx").touch()
    (tmp_path / "disk0" / "7.dat").write_bytes(bytes((9,)) + bytes(20))
    with pytest.raises(StorageError, match=r"^volume 7 not found on disk: .*version 9"):
        store.mount_volume(7)
    (tmp_path / "disk0" / "7.dat").write_bytes(bytes((3,)) + bytes(7))
    store.mount_volume(7)
    assert store.damaged == []


def test_an_unavailable_volume_is_mounted_in_silence(
    make_store: MakeStore, recorded: Record
) -> None:
    store = make_store()
    add(store, 7).unavailable = True
    events = recorded(store)
    store.mount_volume(7)
    assert events == []


def test_every_copy_is_unmounted(make_store: MakeStore, recorded: Record, tmp_path: Path) -> None:
    for disk in ("disk0", "disk1"):
        (tmp_path / disk).mkdir()
        create_fake(tmp_path / disk, tmp_path / disk, "", 7)
    store = make_store(disks=2)
    events = recorded(store)
    assert store.get_volume(7).disk_id == 0
    store.unmount_volume(7)
    assert kinds(events) == [("deleted", 7, 0), ("deleted", 7, 1)]
    assert store.volumes() == []


def test_reloading_finds_new_volumes_and_announces_nothing(
    make_store: MakeStore, recorded: Record, tmp_path: Path
) -> None:
    store = make_store(disks=2)
    kept = add(store, 1)
    events = recorded(store)
    create_fake(tmp_path / "disk1", tmp_path / "disk1", "", 2)
    store.load_new_volumes()
    assert [volume.id for volume in store.volumes()] == [1, 2]
    assert store.get_volume(2).disk_id == 1
    assert store.get_volume(1) is kept
    assert events == []


# ---- removing ----------------------------------------------------------------------------------


def test_deleting_removes_files_and_announces(
    make_store: MakeStore, recorded: Record, tmp_path: Path
) -> None:
    store = make_store()
    add(store, 7)
    events = recorded(store)
    store.delete_volume(7)
    assert names(tmp_path / "disk0") == {"vol_dir.uuid"}
    assert kinds(events) == [("deleted", 7, 0)]
    with pytest.raises(
        VolumeNotFoundError, match=r"^delete volume 7 not found on disk: volume not found$"
    ):
        store.delete_volume(7)


def test_deleting_beside_shards_keeps_their_vif(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    add(store, 7)
    (tmp_path / "disk0" / "7.ecx").write_bytes(b"x")
    store.delete_volume(7)
    assert names(tmp_path / "disk0") == {"vol_dir.uuid", "7.vif", "7.ecx"}


@pytest.mark.parametrize(
    ("dat_size", "content", "deleted", "only_empty", "only_garbage", "goes"),
    [
        *[(8, 0, 0, True, False, True), (40, 0, 0, True, False, False)],
        *[(40, 9, 9, False, True, True), (40, 9, 8, False, True, False)],
        *[(8, 0, 0, False, True, False), (8, 0, 0, True, True, True)],
        *[(40, 9, 9, True, True, True), (40, 9, 8, True, True, False)],
    ],
)
def test_conditional_deletes(
    make_store: MakeStore,
    dat_size: int,
    content: int,
    deleted: int,
    only_empty: bool,
    only_garbage: bool,
    goes: bool,
) -> None:
    store = make_store()
    volume = add(store, 7)
    volume.dat_size = dat_size
    volume.counters.content_size, volume.counters.deleted_size = content, deleted
    if goes:
        store.delete_volume(7, only_empty=only_empty, only_garbage=only_garbage)
        assert store.find_volume(7) is None
        return
    with pytest.raises(VolumeNotEmptyError, match=r"^DeleteVolume 7: volume not empty$"):
        store.delete_volume(7, only_empty=only_empty, only_garbage=only_garbage)
    assert store.find_volume(7) is volume
    assert not volume.disk_space_low, "writes are let in again"


def test_a_condition_must_hold_for_every_copy(make_store: MakeStore, tmp_path: Path) -> None:
    for disk in ("disk0", "disk1"):
        (tmp_path / disk).mkdir()
        create_fake(tmp_path / disk, tmp_path / disk, "", 7)
    store = make_store(disks=2)
    store.table.copies(7)[1].dat_size = 80
    with pytest.raises(VolumeNotEmptyError):
        store.delete_volume(7, only_empty=True)
    assert len(store.table.copies(7)) == 2


def test_a_volume_under_vacuum_is_not_deleted(make_store: MakeStore, recorded: Record) -> None:
    store = make_store()
    volume = add(store, 7)
    volume.compacting = True
    events = recorded(store)
    with pytest.raises(
        StorageError, match=r"^DeleteVolume 7 failed on some disks: volume 7 is compacting$"
    ):
        store.delete_volume(7)
    assert store.find_volume(7) is volume
    assert events == []
    volume.compacting = False


def test_a_failed_destruction_keeps_the_volume(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    volume = add(store, 7)

    def fail(*, keep_vif: bool) -> None:
        raise StorageError("volume 7 is compacting")

    monkeypatch.setattr(volume, "destroy", fail)
    with pytest.raises(StorageError, match="failed on some disks"):
        store.delete_volume(7)
    assert store.find_volume(7) is volume


def test_deleting_a_collection(make_store: MakeStore, recorded: Record) -> None:
    store = make_store(disks=2)
    for volume_id, collection in enumerate(["", "a", "a", "a_b", "a"]):
        add(store, volume_id, collection)
    store.get_volume(4).compacting = True
    events = recorded(store)
    store.delete_collection("a")
    assert sorted(event.volume.id for event in events) == [1, 2]
    assert [volume.id for volume in store.volumes()] == [0, 3, 4]
    store.delete_collection("")
    assert [volume.id for volume in store.volumes()] == [3, 4]
    store.delete_collection("unknown")
    store.get_volume(4).compacting = False


# ---- changing ----------------------------------------------------------------------------------


def test_marks(make_store: MakeStore, recorded: Record) -> None:
    store = make_store()
    volume = add(store, 7)
    mirrored: list[FakeVolume] = []
    store.table.on_add = mirrored.append
    events = recorded(store)
    store.mark_volume_read_only(7, can_delete=True, persist=False)
    assert (volume.no_write_or_delete, volume.no_write_can_delete) == (False, True)
    assert store.identity(volume).read_only_can_delete
    store.mark_volume_writable(7)
    assert volume.marked_writable == 1
    assert mirrored == [volume, volume], "its files may have been opened anew, each time"
    assert events == [], "marks are seen through the next heartbeat"
    for mark in (
        lambda: store.mark_volume_read_only(8, can_delete=False, persist=False),
        lambda: store.mark_volume_writable(8),
    ):
        with pytest.raises(VolumeNotFoundError, match=r"^volume 8 not found$"):
            mark()


def test_configuring_writes_the_vif(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    add(store, 7, "c")
    store.unmount_volume(7)
    store.configure_volume(7, "001")
    info = volume_info.load(tmp_path / "disk0" / "c_7.vif")
    assert info is not None
    assert (info.replication, info.bytes_offset) == ("001", 5)
    with pytest.raises(StorageError, match=r"^volume 8 not found on disk$"):
        store.configure_volume(8, "001")


def test_configuring_a_broken_vif_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    path = tmp_path / "disk0" / "7.vif"
    path.write_text("{")
    with pytest.raises(StorageError, match=r"^volume 7 failed to load vif: "):
        store.configure_volume(7, "001")
    path.write_text("{}")
    path.chmod(0o444)
    with pytest.raises(StorageError, match=r"^volume 7 failed to save vif: .*not writable"):
        store.configure_volume(7, "001")


# ---- disks -------------------------------------------------------------------------------------


def test_low_space_stops_writes_and_new_volumes(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    volume = add(store, 7)
    space = store.locations[0].space

    def becomes(low: bool) -> None:
        def check() -> bool:
            changed, space.low = space.low != low, low
            return changed

        monkeypatch.setattr(space, "check", check)
        store.check_disk_space()

    becomes(True)
    assert volume.read_only
    with pytest.raises(NoSpaceError):
        add(store, 8)
    becomes(False)
    assert not volume.read_only
    add(store, 8)


def test_health(make_store: MakeStore) -> None:
    store = make_store()
    volume = add(store, 7)
    assert store.healthy()
    for owner, name in (
        (store, "stopping"),
        (store, "left"),
        (volume, "quarantined"),
        (volume, "unavailable"),
    ):
        setattr(owner, name, True)
        assert not store.healthy()
        setattr(owner, name, False)
    assert store.healthy()


def test_disk_statuses_name_the_directories(make_store: MakeStore, tmp_path: Path) -> None:
    statuses = make_store(types="hdd,ssd").disk_statuses()
    assert [(s.dir, s.disk_type) for s in statuses] == [
        (str(tmp_path / "disk0"), ""),
        (str(tmp_path / "disk1"), "ssd"),
    ]
    assert all(status.all > 0 for status in statuses)
