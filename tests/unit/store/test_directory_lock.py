"""The directory lock: one process at a time, released with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastvol.errors import StorageError
from fastvol.store.directory_lock import DirectoryLock


def test_a_second_server_is_refused(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(StorageError, match="already served by another"):
        DirectoryLock(tmp_path).acquire()
    with DirectoryLock(tmp_path):
        pass


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from fastvol.store.directory_lock import DirectoryLock;"
        "DirectoryLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="already served"):
            DirectoryLock(tmp_path).acquire()
        holder.kill()
        holder.wait(10)
    with DirectoryLock(tmp_path):
        pass


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot open data directory .*gone"):
        DirectoryLock(tmp_path / "gone").acquire()
