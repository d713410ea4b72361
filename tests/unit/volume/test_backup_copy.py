"""Continuing and replacing a copy: nothing but whole records of the source ends in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from volume_kit import create, dat_of, named, open_volume, records, rows, snapshot

from fastvol.errors import StorageError
from fastvol.volume.backup import (
    CopyState,
    NotContinuousError,
    append_received,
    may_continue,
    replace_copy,
    state_of_copy,
)
from fastvol.volume.files import VolumeFiles


def files_in(directory: Path) -> VolumeFiles:
    directory.mkdir(exist_ok=True)
    return VolumeFiles.of(directory, directory, "", 7)


def filled(directory: Path) -> Path:
    directory.mkdir()
    volume = create(directory)
    for key in range(1, 21):
        volume.write(named(key, b"%d" % key * 100))
    volume.delete(4, 1, 1)
    volume.close()
    return directory


def in_pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_copy_is_replaced_and_continued(tmp_path: Path, size: int) -> None:
    source, files = filled(tmp_path / "source"), files_in(tmp_path / "copy")
    dat, idx = dat_of(source), (source / "7.idx").read_bytes()
    starts = [(offset, one.append_at_ns) for offset, one in records(dat)]
    cut = starts[12][0]
    assert state_of_copy(files) is None
    replace_copy(files, in_pieces(dat[:cut], size), in_pieces(idx, size))  # rows beyond the data
    assert rows(files.idx) == rows(source / "7.idx")[:12]
    state = state_of_copy(files)
    assert state == CopyState(0, 3, cut, starts[11][1])
    assert append_received(files, state.newest_ns, in_pieces(dat[cut:], size)) == len(dat) - cut
    assert dat_of(files.directory) == dat
    assert files.idx.read_bytes() == idx
    before = snapshot(files.directory)
    assert append_received(files, starts[-1][1], []) == 0
    with pytest.raises(NotContinuousError):
        append_received(files, starts[-1][1], in_pieces(dat[cut:], size))
    assert snapshot(files.directory) == before
    volume = open_volume(files.directory)
    assert not volume.read_only
    volume.close()


def test_a_record_cut_short_is_left_out(tmp_path: Path) -> None:
    source, files = filled(tmp_path / "source"), files_in(tmp_path / "copy")
    dat = dat_of(source)
    starts = [(offset, one.append_at_ns) for offset, one in records(dat)]
    cut = starts[5][0]
    replace_copy(files, [dat[:cut]], None)
    came = append_received(files, starts[4][1], [dat[cut : starts[15][0] + 30]])
    assert cut + came == starts[15][0]
    assert [row.offset * 8 for row in rows(files.idx)] == [at for at, _ in starts[:15]]
    assert came == append_received(files, starts[14][1], []) + came


def test_a_stream_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    source, files = filled(tmp_path / "source"), files_in(tmp_path / "copy")
    dat = dat_of(source)
    starts = [(offset, one.append_at_ns) for offset, one in records(dat)]
    cut = starts[5][0]
    replace_copy(files, [dat[:cut]], None)
    before = snapshot(files.directory)

    def broken(content: bytes) -> Iterator[bytes]:
        yield content
        raise StorageError("the connection broke off")

    with pytest.raises(StorageError, match="broke off"):
        append_received(files, starts[4][1], broken(dat[cut:]))
    with pytest.raises(StorageError, match="broke off"):
        replace_copy(files, broken(dat), None)
    for nonsense in (b"", b"\x09" * 50):
        with pytest.raises(StorageError):
            replace_copy(files, [nonsense], None)
    assert snapshot(files.directory) == before


def test_when_a_copy_may_be_continued() -> None:
    copy = CopyState(revision=1, version=3, dat_size=100, newest_ns=5)
    status = {"revision": 1, "tail_offset": 100, "version": 3}
    assert may_continue(copy, **status)
    assert not may_continue(None, **status)
    for change in ({"revision": 2}, {"tail_offset": 99}, {"version": 2}):
        assert not may_continue(copy, **{**status, **change})
    assert not may_continue(CopyState(1, 3, 100, 0), **status)
    assert may_continue(CopyState(1, 3, 8, 0), **status)
