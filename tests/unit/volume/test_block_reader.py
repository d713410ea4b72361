"""Reading a file forwards in blocks."""

import os
from pathlib import Path

import pytest

from fastvol.formats.file_range import FileEndsError
from fastvol.volume.block_reader import BlockReader


def test_blocks_of_a_file(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    reader = BlockReader(fd, len(content))
    for at, length in ((0, 5), (5, 100), (1 << 20, 7), ((1 << 20) - 3, 9), (100, 2 << 20), (3, 4)):
        assert reader.read(at, length) == content[at : at + length]
    for at, length in ((len(content) - 3, 4), (1 << 20, 3 << 20), (len(content) + 9, 1)):
        with pytest.raises(FileEndsError):
            reader.read(at, length)
    assert BlockReader(fd, 10).read(0, 10) == content[:10]
    with pytest.raises(FileEndsError):
        BlockReader(fd, 10).read(0, 11)
    os.close(fd)
