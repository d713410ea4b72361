"""All bytes of a range, or an error."""

import os
from pathlib import Path

import pytest

from fastvol.formats.file_range import FileEndsError, read_exactly


def test_a_read_that_gives_less_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one beyond 2 GiB is, or one of a network file system."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, at: real(fd, min(length, 7), at))
    with path.open("rb") as file:
        assert read_exactly(file.fileno(), 60, 3) == bytes(range(3, 63))
        assert read_exactly(file.fileno(), 0, 500) == b""
        with pytest.raises(FileEndsError, match="the file ends at 100") as caught:
            read_exactly(file.fileno(), 60, 41)
    assert caught.value.position == 100
