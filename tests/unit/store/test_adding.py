"""New volumes: where they go, how wide they are, and what is refused."""

import threading
from pathlib import Path

import pytest
from fake_volume import NO_REPLICAS, create_fake
from store_kit import MakeStore, Record, add, names

from fastvol.errors import NoSpaceError, StorageError, VolumeExistsError
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY, TTL


def test_adding_a_volume_announces_it(make_store: MakeStore, recorded: Record) -> None:
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
def test_a_new_volume_takes_its_width_from_choice_neighbours_and_master(
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
