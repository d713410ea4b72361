"""Which files speak for a volume, and what is done with them."""

from pathlib import Path

import pytest
from store_kit import names

from fastvol.formats import volume_info
from fastvol.formats.volume_info import EcShardConfig, RemoteFile, VolumeInfo
from fastvol.store.discovery import (
    FoundVolume,
    Verdict,
    find_volumes,
    judge,
    remove_unfinished,
)
from fastvol.volume.files import VolumeFiles


def touch(directory: Path, *names: str, size: int = 0) -> None:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes(bytes(size))


def test_what_speaks_for_a_volume(tmp_path: Path) -> None:
    touch(tmp_path, "1.idx", "2.vif", "3.idx", "3.vif", "col_a_4.idx", "x.idx", "5.sdx")
    touch(tmp_path, "6.dat", "7.dat.copying", "8.vif.tmp.1", "state.pb", "9.idx.tmp", size=9)
    touch(tmp_path, "10.dat", size=8)
    (tmp_path / "11.idx").mkdir()
    assert find_volumes(tmp_path) == {
        1: [FoundVolume(1, "")],
        2: [FoundVolume(2, "")],
        3: [FoundVolume(3, "")],
        4: [FoundVolume(4, "col_a")],
        6: [FoundVolume(6, "")],
    }


def test_one_id_under_two_collections_is_one_group(tmp_path: Path) -> None:
    touch(tmp_path, "7.idx", "a_7.idx", "b_7.vif", "007.idx")
    assert find_volumes(tmp_path) == {
        7: [FoundVolume(7, ""), FoundVolume(7, "a"), FoundVolume(7, "b")]
    }


@pytest.fixture
def paths(tmp_path: Path) -> VolumeFiles:
    for name in ("data", "index"):
        (tmp_path / name).mkdir()
    return VolumeFiles.of(tmp_path / "data", tmp_path / "index", "c", 7)


def test_a_volume_with_data_is_opened(paths: VolumeFiles) -> None:
    paths.dat.write_bytes(bytes(8))
    assert judge(paths, mounting=False) is Verdict.OPEN


def test_a_volume_without_data_is_skipped(paths: VolumeFiles) -> None:
    paths.data(".idx").touch()
    assert judge(paths, mounting=False) is Verdict.SKIP


@pytest.mark.parametrize("side", ["data", "index"])
def test_a_remote_volume_is_opened_so_that_opening_speaks(paths: VolumeFiles, side: str) -> None:
    volume_info.save(getattr(paths, side)(".vif"), VolumeInfo([RemoteFile("s3", "x")]))
    assert judge(paths, mounting=False) is Verdict.OPEN


@pytest.mark.parametrize("side", ["data", "index"])
def test_an_erasure_coded_volume_is_skipped_and_kept(paths: VolumeFiles, side: str) -> None:
    paths.dat.write_bytes(bytes(100))
    getattr(paths, side)(".ecx").write_bytes(b"x")
    assert judge(paths, mounting=False) is Verdict.SKIP
    assert judge(paths, mounting=True) is Verdict.SKIP
    paths.data(".idx").touch()
    assert judge(paths, mounting=False) is Verdict.SKIP
    assert judge(paths, mounting=True) is Verdict.OPEN
    assert names(paths.directory) >= {"c_7.dat", "c_7.idx"}


def test_the_empty_stub_of_an_erasure_coded_volume_is_skipped(paths: VolumeFiles) -> None:
    paths.dat.write_bytes(bytes(8))
    volume_info.save(paths.data(".vif"), VolumeInfo(ec_shard_config=EcShardConfig(10, 4)))
    assert judge(paths, mounting=False) is Verdict.SKIP
    paths.dat.write_bytes(bytes(16))
    assert judge(paths, mounting=False) is Verdict.OPEN


def test_an_unfinished_copy_is_removed(paths: VolumeFiles) -> None:
    for extension in (".dat", ".vif", ".note", ".unavailable"):
        paths.data(extension).write_text("copying from here")
    for extension in (".idx", ".sdx"):
        paths.index(extension).touch()
    paths.index(".ldb").mkdir()
    touch(paths.directory, "c_77.dat", "7.dat")
    assert judge(paths, mounting=False) is Verdict.UNFINISHED
    remove_unfinished(paths)
    assert names(paths.directory) == {"c_77.dat", "7.dat"}
    assert names(paths.index_directory) == set()


def test_an_unfinished_copy_beside_shards_leaves_their_vif(paths: VolumeFiles) -> None:
    paths.data(".note").touch()
    paths.data(".vif").touch()
    paths.index(".ecx").write_bytes(b"x")
    remove_unfinished(paths)
    assert names(paths.directory) == {"c_7.vif"}
    assert names(paths.index_directory) == {"c_7.ecx"}
