"""Texts of errors of the operating system."""

from pathlib import Path

import pytest

from fastvol.errors import StorageError, reason_of


def test_a_failed_call_names_its_path_and_no_errno(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / "gone").stat()
    assert reason_of(caught.value) == f"{tmp_path}/gone: No such file or directory"


def test_what_has_no_path_is_the_reason_alone() -> None:
    assert reason_of(OSError(28, "No space left on device")) == "No space left on device"
    assert reason_of(OSError("busy")) == "busy"
    assert reason_of(StorageError("volume 7 not found")) == "volume 7 not found"
