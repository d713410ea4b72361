"""Volumes deleted with their files: on which conditions, and what stays."""

from pathlib import Path

import pytest
from fake_volume import create_fake
from store_kit import MakeStore, Record, add, kinds, names

from fastvol.errors import StorageError, VolumeNotEmptyError, VolumeNotFoundError


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
def test_a_conditional_delete_takes_only_what_the_condition_allows(
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

    def fail(*, keep_vif: bool, keep_remote_data: bool) -> None:
        raise StorageError("volume 7 is compacting")

    monkeypatch.setattr(volume, "destroy", fail)
    with pytest.raises(StorageError, match="failed on some disks"):
        store.delete_volume(7)
    assert store.find_volume(7) is volume


def test_deleting_a_collection_deletes_its_volumes_only(
    make_store: MakeStore, recorded: Record
) -> None:
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
