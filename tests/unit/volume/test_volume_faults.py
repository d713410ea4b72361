"""A full disk and a failing one: exact rollback, errors for the request alone, a living process."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from descriptors_kit import open_descriptors
from volume_kit import create, named, needle, open_volume, reopen, snapshot

from fastvol._cffi import fault as native
from fastvol._cffi.fault import NativeFaultError
from fastvol.errors import (
    CookieMismatchError,
    DiskIOError,
    NeedleCorruptedError,
    OffsetOverflowError,
    StorageError,
    VolumeReadOnlyError,
)
from fastvol.volume.faults import VolumeNames, read_error, write_error
from fastvol.volume.files import VolumeFiles
from fastvol.volume.volume import Volume

SECONDS_MAX = 60
EFBIG = "file too large"


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes meanwhile; Python ignores SIGXFSZ, so writes fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def with_long_index(directory: Path) -> Volume:
    """An index longer than the data file, so that a limit hits it first: zero rows are harmless."""
    create(directory).close()
    (directory / "7.idx").write_bytes(bytes(17 * 400))
    volume = open_volume(directory)
    volume.write(named(1, b"first"))
    return volume


# --- no room -------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 16, 20, 21, 1000, 1055])
def test_no_room_for_the_record(tmp_path: Path, room: int) -> None:
    """Wherever the write stops, even in the middle of the payload, nothing of it stays."""
    volume = create(tmp_path)
    volume.write(named(1, b"first"))
    before, numbers = snapshot(tmp_path), volume.stat()
    data = os.urandom(1000)
    with files_up_to(volume.dat_size + room):
        with pytest.raises(DiskIOError) as failed:
            volume.write(named(2, data))
        with pytest.raises(DiskIOError):
            volume.write(named(1, data))
    dat = tmp_path / "7.dat"
    assert str(failed.value) == (
        f"append to volume 7 size 1027 actualSize 1056: failed to write 1056 bytes to {dat} "
        f"at offset 72: write {dat}: {EFBIG}"
    )
    assert snapshot(tmp_path) == before
    assert volume.stat() == numbers
    assert volume.read(1).data == b"first"
    assert not volume.read_only
    volume.write(named(2, data))
    volume = reopen(volume)
    assert [volume.read(key).data for key in (1, 2)] == [b"first", data]
    assert not volume.read_only


def test_no_room_for_a_tombstone(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"first"))
    before, numbers = snapshot(tmp_path), volume.stat()
    with files_up_to(volume.dat_size + 7), pytest.raises(DiskIOError, match="size 0 actualSize 32"):
        volume.delete(1, 0, 0)
    assert snapshot(tmp_path) == before
    assert volume.stat() == numbers
    assert volume.read(1).data == b"first"
    assert volume.delete(1, 0, 0) == 32


@pytest.mark.parametrize("room", [0, 1, 16])
def test_no_room_for_the_row(tmp_path: Path, room: int) -> None:
    volume = with_long_index(tmp_path)
    before, numbers = snapshot(tmp_path), volume.stat()
    with files_up_to(volume.idx_size + room):
        with pytest.raises(DiskIOError) as failed:
            volume.write(named(2, b"second"))
        with pytest.raises(DiskIOError):
            volume.delete(1, 0, 0)
    assert str(failed.value) == (
        f"index needle 2 of volume 7 at offset {numbers.dat_size}: "
        f"write {tmp_path / '7.idx'}: {EFBIG}"
    )
    assert snapshot(tmp_path) == before
    assert volume.stat() == numbers
    assert volume.read(1).data == b"first"
    volume.write(named(2, b"second"))
    assert reopen(volume).read(2).data == b"second"


def replace_by_full_device(path: Path) -> None:
    """The one descriptor that has this file open."""
    (fd,) = [fd for fd, target in open_descriptors().items() if target == str(path)]
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, fd)
    os.close(full)


def test_a_rollback_that_fails_ends_all_changes(tmp_path: Path) -> None:
    """/dev/full takes neither a row nor a truncation."""
    volume = create(tmp_path)
    volume.write(named(1, b"first"))
    replace_by_full_device(tmp_path / "7.idx")
    with pytest.raises(DiskIOError, match="no space left on device"):
        volume.write(named(2, b"second"))
    assert volume.no_write_or_delete
    assert "a failed append could not be undone" in volume.read_only_reasons[0].words
    for change in (lambda: volume.write(named(3, b"x")), lambda: volume.delete(1, 0, 0)):
        with pytest.raises(VolumeReadOnlyError):
            change()
    assert len(volume.read_only_reasons) == 1
    # Not even by a change of other flags.
    volume.disk_space_low = True
    volume.disk_space_low = False
    with pytest.raises(NativeFaultError):
        volume.native.delete(1, 0, 0)
    assert volume.read(1).data == b"first"
    assert volume.mark_writable(), "the files are opened anew, and are fine"
    volume.write(named(2, b"second"))
    volume = reopen(volume)
    assert [volume.read(key).data for key in (1, 2)] == [b"first", b"second"]


def test_a_rollback_that_failed_in_the_fast_write_is_noticed_by_the_next(tmp_path: Path) -> None:
    """There the core has nobody to tell it to."""
    volume = create(tmp_path)
    volume.write(named(1, b"first"))
    replace_by_full_device(tmp_path / "7.idx")
    with pytest.raises(NativeFaultError):
        volume.native.delete(1, 0, 0)
    assert not volume.read_only
    with pytest.raises(VolumeReadOnlyError):
        volume.write(named(2, b"second"))
    assert volume.no_write_or_delete
    assert volume.mark_writable()
    volume.write(named(2, b"second"))


# --- a failing disk ------------------------------------------------------------------------------


def three(directory: Path) -> Volume:
    """Large needles, far apart."""
    volume = create(directory)
    for key in (1, 2, 3):
        volume.write(needle(key, bytes([key]) * 300_000))
    return volume


def test_a_file_cut_short_under_its_mapping(tmp_path: Path) -> None:
    """The pages that are gone raise SIGBUS when they are touched: an error for that needle."""
    volume = three(tmp_path)
    stored = {key: volume.load(key, meta_above=0) for key in (1, 2, 3)}
    for found in stored.values():
        volume.verify(found)
    cut = stored[2].data_offset + 100_000
    os.truncate(tmp_path / "7.dat", cut)
    for key in (2, 3):
        # Where the file ends inside a page the rest of the page reads as zeros: then it is the sum.
        with pytest.raises(StorageError) as failed:
            volume.verify(stored[key])
        assert isinstance(failed.value, DiskIOError | NeedleCorruptedError)
        with pytest.raises(NeedleCorruptedError, match=r"^EOF$"):
            volume.read(key)
    with pytest.raises(DiskIOError, match=r"^read .*7.dat: input/output error"):
        volume.verify(stored[3])
    volume.verify(stored[1])
    assert volume.read(1).data == b"\x01" * 300_000


def test_metadata_behind_the_end(tmp_path: Path) -> None:
    volume = three(tmp_path)
    os.truncate(tmp_path / "7.dat", volume.load(3, meta_above=0).data_offset + 5)
    with pytest.raises(NeedleCorruptedError, match=r"^EOF$"):
        volume.load(3, meta_above=0)
    with pytest.raises(NeedleCorruptedError, match=r"^reading existing needle: EOF$"):
        os.truncate(tmp_path / "7.dat", 8)
        volume.write(needle(3, b"x"))


def test_a_sigbus_elsewhere_still_kills() -> None:
    """The guard is for the core's own reads; it must not hide a fault of somebody else."""
    program = textwrap.dedent(
        """
        import mmap, os, sys, tempfile
        from fastvol._cffi.compact_map import CompactMap, NeedleCounters
        from fastvol._cffi.volume import NativeVolume
        data = tempfile.TemporaryFile()
        NativeVolume(volume_id=1, version=3, offset_width=5, idx_fd=-1,
                     dat_fd=os.dup(data.fileno()), dat_size=8, idx_size=0, last_append_ns=0,
                     modified_second=0, last_modified_second=0, ttl=b"\\0\\0",
                     needle_map=CompactMap(), counters=NeedleCounters())
        file = tempfile.TemporaryFile()
        file.truncate(mmap.PAGESIZE)
        view = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        file.truncate(0)
        print("touching", flush=True)
        view[0]
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.stdout == b"touching\n"
    assert done.returncode == -signal.SIGBUS


# --- words ---------------------------------------------------------------------------------------


NAMES = VolumeNames(VolumeFiles.of(Path("/d"), Path("/i"), "", 7), 3)


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (
            NativeFaultError(native.OVERFLOW, offset=9, limit=8),
            OffsetOverflowError,
            "Volume Size 9 Ex",
        ),
        (NativeFaultError(native.BAD_COOKIE), CookieMismatchError, "mismatching cookie ab"),
        (NativeFaultError(native.NO_MEMORY), DiskIOError, "cannot allocate memory"),
        (
            NativeFaultError(native.IO_ERROR, sys_errno=5, on_read=True),
            DiskIOError,
            "reading existing needle: read /d/7.dat: input/output error",
        ),
        (
            NativeFaultError(native.IO_ERROR, sys_errno=28, on_index=True, offset=64),
            DiskIOError,
            "index needle c of volume 7 at offset 64: write /i/7.idx: no space left on device",
        ),
    ],
)
def test_errors_of_writes(fault: NativeFaultError, kind: type, text: str) -> None:
    error = write_error(fault, NAMES, needle_id=12, cookie=0xAB)
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (
            NativeFaultError(native.IO_ERROR, sys_errno=5),
            DiskIOError,
            "read /d/7.dat: input/output",
        ),
        (NativeFaultError(native.NO_MEMORY), DiskIOError, "cannot allocate memory"),
        (
            NativeFaultError(native.BAD_META, offset=8),
            NeedleCorruptedError,
            "invalid needle meta size",
        ),
        (NativeFaultError(native.OUT_OF_RANGE, part=6), NeedleCorruptedError, "out of range 6"),
    ],
)
def test_errors_of_reads(fault: NativeFaultError, kind: type, text: str) -> None:
    error = read_error(fault, NAMES, needle_id=12, want_size=5)
    assert type(error) is kind
    assert text in str(error)
