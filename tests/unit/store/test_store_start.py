"""A store starts and ends: what it refuses, writes, closes, and says of its disks."""

import threading
from pathlib import Path

import pytest
from fake_volume import create_fake, open_fake
from store_kit import MakeStore, add, names

from fastvol.errors import NoSpaceError, StorageError
from fastvol.store import removal
from fastvol.store.disk_location import DiskLocation
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store

# --- start and end -------------------------------------------------------------------------------


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


# --- disks ---------------------------------------------------------------------------------------


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


def test_a_store_is_healthy_until_it_ends_or_a_volume_fails(make_store: MakeStore) -> None:
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
