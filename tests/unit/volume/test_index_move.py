"""An index that lies beside the data goes to the directory for indexes, under a volume in use."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from volume_kit import create, needle, open_volume

from fastvol.errors import NeedleNotFoundError, StorageError
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.volume import index_replacement
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

LEVELDB = IndexOptions("leveldb")
OBJECTS = {key: b"object %d" % key for key in range(1, 30)}
WAIT_SECONDS = 10


@pytest.fixture(name="directories")
def directories_fixture(tmp_path: Path) -> tuple[Path, Path]:
    """For data and for indexes; a volume with its index beside the data."""
    data, index = tmp_path / "data", tmp_path / "index"
    data.mkdir()
    index.mkdir()
    volume = create(data)
    for key, content in OBJECTS.items():
        volume.write(needle(key, content))
    volume.delete(29, 0, 0)
    volume.close()
    return data, index


def opened(directories: tuple[Path, Path], index: IndexOptions = IN_MEMORY) -> Volume:
    return open_volume(directories[0], index_directory=directories[1], index=index)


def holds(volume: Volume) -> None:
    for key, content in OBJECTS.items():
        if key == 29:
            with pytest.raises(NeedleNotFoundError):
                volume.read(key)
        else:
            assert bytes(volume.read(key).data) == content


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("index", [IN_MEMORY, LEVELDB], ids=["memory", "leveldb"])
def test_the_index_moves_and_the_volume_goes_on(
    directories: tuple[Path, Path], index: IndexOptions
) -> None:
    data, indexes = directories
    for name in ("7.sdx", "7.rdb"):
        (data / name).write_bytes(b"of the old index")
    volume = opened(directories, index)
    before = volume.native
    assert volume.consolidate_index()
    assert volume.native is not before
    assert names(data) == {"7.dat", "7.vif"}
    assert names(indexes) == {"7.idx"} | ({"7.ldb"} if index is LEVELDB else set())
    holds(volume)
    volume.write(needle(40, b"after"))
    volume.delete(1, 0, 0)
    assert not volume.consolidate_index()
    volume.close()
    again = opened(directories, index)
    assert not again.read_only
    assert bytes(again.read(40).data) == b"after"
    with pytest.raises(NeedleNotFoundError):
        again.read(1)
    again.close()


@pytest.mark.parametrize("index", [IN_MEMORY, LEVELDB], ids=["memory", "leveldb"])
def test_what_is_read_and_written_meanwhile_is_there(
    directories: tuple[Path, Path], index: IndexOptions
) -> None:
    volume = opened(directories, index)
    over = threading.Event()
    written: list[int] = []
    failures: list[BaseException] = []

    def attempt(work: Callable[[], object]) -> None:
        while not over.is_set():
            try:
                work()
            except BaseException as error:
                failures.append(error)
                return

    def write() -> None:
        key = 1000 + len(written)
        volume.write(needle(key, b"%d" % key))
        written.append(key)

    threads = [threading.Thread(target=attempt, args=(w,)) for w in (write, lambda: holds(volume))]
    for thread in threads:
        thread.start()
    volume.consolidate_index()
    for _ in range(50):
        volume.read(2)
    over.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert not failures
    volume.close()
    again = opened(directories, index)
    assert [bytes(again.read(key).data) for key in written] == [b"%d" % key for key in written]
    again.close()


def test_a_crash_between_the_steps_leaves_the_index_beside_the_data(
    directories: tuple[Path, Path],
) -> None:
    """Both are there; what was written since is in the one beside the data."""
    data, indexes = directories
    shutil.copy(data / "7.idx", indexes / "7.idx")
    volume = opened(directories)
    volume.write(needle(40, b"later"))
    volume.close()
    again = opened(directories)
    assert again.index_directory == data
    assert bytes(again.read(40).data) == b"later"
    assert again.consolidate_index()
    assert bytes(again.read(40).data) == b"later"
    again.close()
    last = opened(directories)
    assert last.index_directory == indexes
    assert bytes(last.read(40).data) == b"later"
    holds(last)
    last.close()


@pytest.mark.parametrize("index", [IN_MEMORY, LEVELDB], ids=["memory", "leveldb"])
@pytest.mark.parametrize("step", ["fsync", "replace", "sync_directory"])
def test_an_error_before_the_old_index_goes_changes_nothing(
    directories: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    index: IndexOptions,
    step: str,
) -> None:
    volume = opened(directories, index)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "fsync":
            patched.setattr(index_replacement.os, "fsync", fail)
        elif step == "replace":
            patched.setattr(Path, "replace", fail)
        else:
            patched.setattr(index_replacement, "sync_directory", fail)
        with pytest.raises(StorageError, match="No space left on device"):
            volume.consolidate_index()
    assert (directories[0] / "7.ldb").exists() == (index is LEVELDB)  # the volume has it open
    holds(volume)
    volume.write(needle(40, b"after"))
    assert bytes(volume.read(40).data) == b"after"
    volume.close()
    again = opened(directories, index)
    holds(again)
    assert bytes(again.read(40).data) == b"after"
    assert again.consolidate_index()
    holds(again)
    again.close()


def test_a_read_only_volume_keeps_its_mark(directories: tuple[Path, Path]) -> None:
    volume = opened(directories)
    volume.mark_read_only(can_delete=False, persist=True)
    assert volume.consolidate_index()
    holds(volume)
    with pytest.raises(StorageError):
        volume.write(needle(40, b"no"))
    volume.mark_writable()
    volume.write(needle(40, b"yes"))
    volume.close()


def test_a_vacuum_at_work_refuses_it(directories: tuple[Path, Path]) -> None:
    volume = opened(directories)
    refused: list[str] = []

    def meanwhile(_offset: int) -> bool:
        try:
            volume.consolidate_index()
        except StorageError as error:
            refused.append(str(error))
        return True

    volume.compact(VacuumPlan(progress=meanwhile))
    assert refused
    assert set(refused) == {"volume 7 is compacting"}
    assert volume.index_directory == directories[0]
    # What was built belongs to the old index, and goes with it.
    assert volume.consolidate_index()
    with pytest.raises(StorageError):
        volume.commit_compaction()
    volume.compact(VacuumPlan())
    volume.commit_compaction()
    holds(volume)
    assert names(directories[0]) == {"7.dat", "7.vif"}
    volume.close()
