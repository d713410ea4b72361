"""Where a volume's files are, and that all of them go when it goes."""

import errno
import os
from pathlib import Path

import pytest
from volume_kit import create, named, open_volume

from fastvol.errors import StorageError
from fastvol.volume import files as volume_files
from fastvol.volume.files import VolumeFiles, open_for_update, remove_volume_files

EVERY_EXTENSION = [
    *(".dat", ".idx", ".vif", ".sdx", ".cpd", ".cpx", ".cpc", ".rdb", ".note", ".unavailable"),
    ".idx.tmp",
]


def test_names(tmp_path: Path) -> None:
    files = VolumeFiles.of(tmp_path / "d", tmp_path / "i", "col_a", 22)
    assert files.dat == files.data(".dat") == tmp_path / "d" / "col_a_22.dat"
    assert files.idx == files.index(".idx") == tmp_path / "i" / "col_a_22.idx"
    moved = files.with_index_beside_data()
    assert moved.idx == tmp_path / "d" / "col_a_22.idx"
    assert moved.everywhere((".idx",)) == [
        tmp_path / "d" / "col_a_22.idx",
        tmp_path / "i" / "col_a_22.idx",
    ]
    assert VolumeFiles.of(tmp_path, tmp_path, "", 3).everywhere((".x",)) == [tmp_path / "3.x"]


@pytest.mark.parametrize("keep_vif", [False, True])
def test_removal_takes_everything_in_both_directories(tmp_path: Path, keep_vif: bool) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    for directory in (data, index):
        directory.mkdir()
        for extension in EVERY_EXTENSION:
            (directory / f"3{extension}").write_bytes(b"")
            (directory / f"33{extension}").write_bytes(b"")
        for extension in (".ldb", ".cpldb"):
            (directory / f"3{extension}").mkdir()
            (directory / f"3{extension}" / "LOG").write_bytes(b"")
    remove_volume_files(VolumeFiles.of(data, index, "", 3), keep_vif=keep_vif)
    for directory in (data, index):
        left = {path.name for path in directory.iterdir() if path.name.startswith("3.")}
        assert left == ({"3.vif"} if keep_vif else set())
        assert len(list(directory.iterdir())) == len(EVERY_EXTENSION) + len(left)


def test_destroying_a_volume_whose_index_lies_beside_the_data(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    data.mkdir()
    index.mkdir()
    create(data).close()
    (index / "7.idx").write_bytes(b"stale")
    volume = open_volume(data, index_directory=index)
    assert volume.index_directory == data
    volume.write(named(1, b"x"))
    volume.destroy()
    assert not list(data.iterdir())
    assert not list(index.iterdir())


def test_a_volume_under_vacuum_is_not_destroyed(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume._compaction.busy = True
    with pytest.raises(StorageError, match=r"^volume 7 is compacting$"):
        volume.destroy()
    assert (tmp_path / "7.dat").exists()


def test_a_failed_removal_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = create(tmp_path)
    unlink = Path.unlink

    def failing(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".vif":
            raise PermissionError(errno.EPERM, "not this one", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(volume_files.Path, "unlink", failing)
    volume.destroy()
    assert [path.name for path in tmp_path.iterdir()] == ["7.vif"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_what_cannot_be_opened_for_writing_is_opened_for_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    real = os.open

    def refuse(name: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise OSError(number, os.strerror(number), str(name))
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    fd, refusal = open_for_update(path)
    assert os.read(fd, 1) == b"x"
    os.close(fd)
    assert refusal == f"{path}: {os.strerror(number)}"
