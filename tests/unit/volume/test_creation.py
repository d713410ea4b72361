"""Creating volumes: all three files or none, and never over something that is there."""

import errno
import os
from pathlib import Path

import pytest
from volume_kit import create, named, open_volume, reopen, snapshot

from fastvol.errors import StorageError, VolumeExistsError
from fastvol.formats import volume_info
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import EcShardConfig, RemoteFile, VolumeInfo
from fastvol.volume import creation


@pytest.mark.parametrize(
    ("version", "replication", "ttl", "head"),
    [
        (3, "000", "", "0300000000000000"),
        (3, "001", "3d", "0301030300000000"),
        (2, "110", "", "026e000000000000"),
        (1, "000", "", "0100000000000000"),
    ],
)
def test_super_block_and_vif(
    tmp_path: Path, version: int, replication: str, ttl: str, head: str
) -> None:
    created = create(tmp_path, replication=replication, ttl=TTL.parse(ttl), version=version)
    for volume in (created, reopen(created)):
        assert (volume.version, str(volume.super_block.replica_placement)) == (version, replication)
        assert str(volume.ttl) == ttl
        assert volume.info.version == version
        assert not volume.read_only
    assert (tmp_path / "7.dat").read_bytes().hex() == head
    assert (tmp_path / "7.idx").read_bytes() == b""
    info = volume_info.load(tmp_path / "7.vif")
    assert info is not None
    assert (info.version, info.bytes_offset, info.read_only) == (version, 5, False)
    assert bool(info.expire_at_sec) == bool(ttl)


def test_collection_and_separate_index_directory(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    data.mkdir()
    index.mkdir()
    volume = create(data, 22, collection="col_a", index_directory=index)
    assert {path.name for path in data.iterdir()} == {"col_a_22.dat", "col_a_22.vif"}
    assert {path.name for path in index.iterdir()} == {"col_a_22.idx"}
    assert (volume.directory, volume.index_directory) == (data, index)
    assert (volume.id, volume.collection) == (22, "col_a")


def test_preallocation_takes_blocks_but_not_length(tmp_path: Path) -> None:
    volume = create(tmp_path, preallocate=1 << 20)
    status = (tmp_path / "7.dat").stat()
    assert status.st_size == volume.dat_size == 8
    volume.write(named(1, b"x"))
    assert reopen(volume).read(1).data == b"x"


def test_unknown_version(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^volume super block version 4 is not supported$"):
        create(tmp_path, version=4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extension", [".dat", ".idx", ".vif"])
@pytest.mark.parametrize("place", ["data", "index"])
def test_nothing_is_taken_over(tmp_path: Path, extension: str, place: str) -> None:
    for name in ("data", "index"):
        (tmp_path / name).mkdir()
    (tmp_path / place / f"7{extension}").write_bytes(b"somebody's")
    before = snapshot(tmp_path)
    with pytest.raises(VolumeExistsError, match=rf"7{extension} exists"):
        create(tmp_path / "data", index_directory=tmp_path / "index")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "info",
    [VolumeInfo(ec_shard_config=EcShardConfig(10, 4)), VolumeInfo(files=(RemoteFile("s3", "x"),))],
    ids=["erasure coded", "tiered"],
)
def test_the_vif_of_another_kind_of_volume_is_kept(tmp_path: Path, info: VolumeInfo) -> None:
    volume_info.save(tmp_path / "7.vif", info)
    with pytest.raises(VolumeExistsError):
        create(tmp_path)
    assert volume_info.load(tmp_path / "7.vif") == info


def test_marks_of_an_earlier_volume_do_not_reach_the_new_one(tmp_path: Path) -> None:
    for extension in (".note", ".unavailable", ".cpc", ".cpd", ".cpx", ".sdx", ".rdb", ".idx.tmp"):
        (tmp_path / f"7{extension}").write_bytes(b"old")
    (tmp_path / "7.ldb").mkdir()
    (tmp_path / "7.ldb" / "LOG").write_bytes(b"old")
    (tmp_path / "77.note").write_bytes(b"another's")
    volume = create(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"7.dat", "7.idx", "7.vif", "77.note"}
    assert not reopen(volume).unavailable


@pytest.mark.parametrize("failing", ["pwrite", "fsync", "vif", "sync_directory", "open_volume"])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = {
        "pwrite": (os, "pwrite"),
        "fsync": (os, "fsync"),
        "vif": (volume_info, "save"),
        "sync_directory": (creation, "sync_directory"),
        "open_volume": (creation, "open_volume"),
    }[failing]
    monkeypatch.setattr(*target, fail)
    with pytest.raises(StorageError, match="No space left on device"):
        create(tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    create(tmp_path).write(named(1, b"x"))


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        create(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="No such file or directory"):
        create(tmp_path, index_directory=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_creating_it_again_after_it_was_destroyed(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"x"))
    volume.destroy()
    assert not list(tmp_path.iterdir())
    assert create(tmp_path).is_empty()
    assert open_volume(tmp_path).is_empty()
