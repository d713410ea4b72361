"""Loading: what is served, what is damaged, what is left alone."""

from pathlib import Path

import pytest
from fake_volume import FakeVolume, create_fake, open_fake
from store_kit import MakeStore


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk0"
    path.mkdir()
    return path


def test_all_volumes_of_all_disks_are_loaded(make_store: MakeStore, tmp_path: Path) -> None:
    for number in range(2):
        disk = tmp_path / f"disk{number}"
        disk.mkdir()
        for volume_id in range(number * 20, number * 20 + 20):
            create_fake(disk, disk, "c" if volume_id % 2 else "", volume_id)
    store = make_store(types="hdd,ssd")
    assert [volume.id for volume in store.volumes()] == list(range(40))
    assert {(v.disk_id, v.disk_type) for v in store.volumes()} == {(0, ""), (1, "ssd")}


def test_a_damaged_volume_does_not_keep_others_from_being_served(
    make_store: MakeStore, disk: Path
) -> None:
    for volume_id in (1, 2, 3):
        create_fake(disk, disk, "", volume_id)
    (disk / "2.dat").write_bytes(bytes((9,)) + bytes(30))
    before = {path.name: path.read_bytes() for path in disk.iterdir()}
    store = make_store()
    assert [volume.id for volume in store.volumes()] == [1, 3]
    (damaged,) = store.damaged
    assert damaged.path == str(disk / "2")
    assert "version 9" in damaged.reason
    assert damaged.since > 0
    after = {path.name: path.read_bytes() for path in disk.iterdir()}
    del after["vol_dir.uuid"]
    assert after == before


def test_a_damaged_volume_is_forgotten_when_it_is_repaired_or_gone(
    make_store: MakeStore, disk: Path
) -> None:
    for volume_id in (1, 2):
        create_fake(disk, disk, "", volume_id)
        (disk / f"{volume_id}.dat").write_bytes(bytes((9,)) + bytes(30))
    store = make_store()
    assert len(store.damaged) == 2
    (disk / "1.dat").write_bytes(bytes((3,)) + bytes(7))
    for extension in (".dat", ".idx", ".vif"):
        (disk / f"2{extension}").unlink()
    store.load_new_volumes()
    assert store.damaged == []
    assert [volume.id for volume in store.volumes()] == [1]


def test_an_unforeseen_failure_damages_one_volume_only(make_store: MakeStore, disk: Path) -> None:
    def open_badly(*place: object, default_offset_width: int) -> FakeVolume:
        if place[3] == 2:
            raise KeyError("a bug")
        return open_fake(*place, default_offset_width=default_offset_width)

    for volume_id in (1, 2, 3):
        create_fake(disk, disk, "", volume_id)
    store = make_store(load=False)
    store._loader._open_volume = open_badly
    store.load()
    assert [volume.id for volume in store.volumes()] == [1, 3]
    assert [damaged.reason for damaged in store.damaged] == ["KeyError('a bug')"]


def test_one_id_under_two_collections_is_served_once(make_store: MakeStore, disk: Path) -> None:
    (disk / "a_7.vif").write_text("{}")  # without data
    create_fake(disk, disk, "b", 7)
    create_fake(disk, disk, "c", 7)
    store = make_store()
    assert [volume.collection for volume in store.volumes()] == ["b"]


def test_a_bare_data_file_is_opened(make_store: MakeStore, disk: Path) -> None:
    (disk / "7.dat").write_bytes(bytes((3,)) + bytes(100))
    (disk / "8.dat").write_bytes(bytes((3,)) + bytes(7))
    assert [volume.id for volume in make_store().volumes()] == [7]


def test_unfinished_copies_are_removed_at_the_start(make_store: MakeStore, disk: Path) -> None:
    create_fake(disk, disk, "", 7)
    (disk / "7.note").write_text("copying from 1.2.3.4:8080")
    store = make_store()
    assert store.volumes() == []
    assert store.damaged == []
    assert {path.name for path in disk.iterdir()} == {"vol_dir.uuid"}


def test_erasure_coded_files_are_never_touched(make_store: MakeStore, disk: Path) -> None:
    create_fake(disk, disk, "", 7)
    for extension in (".ecx", ".ec00", ".ecj"):
        (disk / f"7{extension}").write_bytes(b"x")
    before = {path.name for path in disk.iterdir()}
    store = make_store()
    assert store.volumes() == []
    assert {path.name for path in disk.iterdir()} == before | {"vol_dir.uuid"}


def test_an_interrupted_vacuum_is_finished_before_loading(
    make_store: MakeStore, disk: Path
) -> None:
    create_fake(disk, disk, "", 7)
    (disk / "7.cpd").write_bytes(bytes((3,)) + bytes(15))
    (disk / "7.cpx").touch()
    (disk / "7.cpc").touch()
    assert make_store().get_volume(7).dat_size == 16


def test_low_space_at_the_start_reaches_the_volumes(
    make_store: MakeStore, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_fake(disk, disk, "", 7)
    store = make_store(load=False)
    store.locations[0].space.low = True
    monkeypatch.setattr(store.locations[0].space, "check", lambda: False)
    store.load()
    assert store.get_volume(7).disk_space_low
