"""Volumes come and go while their files stay, and are marked and configured."""

from pathlib import Path

import pytest
from fake_volume import FakeVolume, create_fake
from store_kit import MakeStore, Record, add, kinds

from fastvol.errors import StorageError, VolumeNotFoundError
from fastvol.formats import volume_info

# --- mounting ------------------------------------------------------------------------------------


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


def test_mounting_what_is_not_there_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
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


# --- changing ------------------------------------------------------------------------------------


def test_marks_are_mirrored_but_not_announced(make_store: MakeStore, recorded: Record) -> None:
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
