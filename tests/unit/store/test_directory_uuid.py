"""The directory's uuid: made once, kept verbatim."""

import uuid
from pathlib import Path

import pytest

from fastvol.errors import StorageError
from fastvol.store.directory_uuid import directory_uuid


def test_made_once(tmp_path: Path) -> None:
    first = directory_uuid(tmp_path)
    assert uuid.UUID(first).version == 4
    assert (tmp_path / "vol_dir.uuid").read_text() == first
    assert directory_uuid(tmp_path) == first


def test_an_empty_file_is_rewritten(tmp_path: Path) -> None:
    (tmp_path / "vol_dir.uuid").touch()
    assert len(directory_uuid(tmp_path)) == 36


def test_any_other_content_is_kept(tmp_path: Path) -> None:
    (tmp_path / "vol_dir.uuid").write_text("mine\n")
    assert directory_uuid(tmp_path) == "mine\n"


def test_failure_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"vol_dir\.uuid"):
        directory_uuid(tmp_path / "gone")
