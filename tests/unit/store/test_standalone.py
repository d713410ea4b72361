"""The library face: what it reads, what it refuses, and that reading changes nothing."""

import os
import threading
from pathlib import Path

import pytest
from volume_kit import snapshot_with_times

from fastvol import Volume
from fastvol.errors import (
    CookieMismatchError,
    InvalidRequestError,
    NeedleCorruptedError,
    NeedleNotFoundError,
    StorageError,
    VolumeDamagedError,
    VolumeNotFoundError,
    VolumeReadOnlyError,
)
from fastvol.store.directory_lock import DirectoryLock


def filled(directory: Path) -> None:
    with Volume.create(directory, 7) as volume:
        for key in range(1, 6):
            volume.write(key, bytes([key]) * key * 1000, 0x11223344, file_name=f"{key}.bin")
        volume.write(9, b"", 0x11223344)
        volume.delete(4)


def test_reading_changes_no_file_of_a_damaged_volume(tmp_path: Path) -> None:
    filled(tmp_path)
    for harm in ("torn tail", "no index", "partial row", "no vif", "vacuum"):
        if harm == "torn tail":
            (tmp_path / "7.dat").write_bytes((tmp_path / "7.dat").read_bytes() + b"\1" * 30)
        elif harm == "no index":
            (tmp_path / "7.idx").unlink()
        elif harm == "partial row":
            (tmp_path / "7.idx").write_bytes(b"\0\0\0")
        elif harm == "no vif":
            (tmp_path / "7.vif").unlink()
        else:
            (tmp_path / "7.cpd").write_bytes(b"\3" + bytes(7))
        before = snapshot_with_times(tmp_path)
        with Volume.open(tmp_path, 7) as volume:
            assert volume.read_only_reasons
            if harm in ("torn tail", "no index"):
                assert [one.key for one in volume] == [1, 2, 3, 5, 9][: 5 if harm[0] == "t" else 4]
            with pytest.raises(VolumeReadOnlyError):
                volume.write(1, b"x", 0x11223344)
            with pytest.raises(VolumeReadOnlyError):
                volume.delete(1)
        assert snapshot_with_times(tmp_path) == before, harm


def test_a_volume_in_use_can_be_read(tmp_path: Path) -> None:
    with Volume.create(tmp_path, 7, collection="c") as writer:
        fid = writer.add(b"one")
        with Volume.open(tmp_path / "c_7.dat") as reader:
            late = writer.add(b"two")
            assert reader.read(fid).data == b"one"
            with pytest.raises(NeedleNotFoundError):
                reader.read(late)
        with pytest.raises(StorageError, match="already served"):
            Volume.open(tmp_path, 7, collection="c", writable=True)
    with DirectoryLock(tmp_path):
        pass


def test_names(tmp_path: Path) -> None:
    filled(tmp_path)
    with Volume.open(tmp_path, 7) as volume:
        for name in ("7,0111223344", "0111223344", 1, "7,111223344", volume.read(1).fid):
            assert volume.read(name).data == b"\1" * 1000
        assert volume.read("7,0111223344_1").key == 2
        assert volume.read(1, 0x11223344).key == 1
        with pytest.raises(CookieMismatchError):
            volume.read(1, 5)
        for name in ("8,0111223344", "hello", "7,", ""):
            with pytest.raises(InvalidRequestError):
                volume.read(name)
        with pytest.raises(InvalidRequestError):
            volume.read("7,0111223344", 5)
        assert "7,0111223344" in volume
        assert "7,0111223345" not in volume
        assert 4 not in volume
        assert 4.5 not in volume
        assert volume.read(9).data == b""


def test_a_view_outlives_appends_vacuum_and_the_volume(tmp_path: Path) -> None:
    with Volume.create(tmp_path, 7) as volume:
        fid = volume.add(b"first" * 1000)
        volume.delete(volume.add(b"gone" * 1000))
        view = volume.read(fid).data
        for _ in range(50):
            volume.add(os.urandom(4096))
        later = volume.read(50).data
        volume.compact()
        assert volume.read(fid).data == view == b"first" * 1000
    assert view == b"first" * 1000
    assert len(later) == 4096
    with Volume.open(tmp_path, 7) as volume:
        assert volume.read(fid).data == view
        assert volume.engine.super_block.compaction_revision == 1


def test_a_damaged_payload_is_never_given(tmp_path: Path) -> None:
    filled(tmp_path)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(500)
        file.write(b"\xff")
    with Volume.open(tmp_path, 7) as volume:
        with pytest.raises(NeedleCorruptedError):
            volume.read(1)
        with pytest.raises(NeedleCorruptedError):
            list(volume)
        assert volume.read(2).data == b"\2" * 2000
        assert not volume.verify().sound


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    filled(tmp_path)
    with Volume.open(tmp_path, 7) as volume:
        os.truncate(tmp_path / "7.dat", 300)
        with pytest.raises(StorageError):
            volume.read(3)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(VolumeNotFoundError):
        Volume.open(tmp_path, 7)
    for name in ("7.idx", "x.dat"):
        with pytest.raises(VolumeNotFoundError):
            Volume.open(tmp_path / name)
    for content in (b"", b"\3", rb"\9" * 8):
        (tmp_path / "7.dat").write_bytes(content)
        for writable in (False, True):
            with pytest.raises(VolumeDamagedError):
                Volume.open(tmp_path, 7, writable=writable)
    (tmp_path / "7.dat").unlink()
    filled(tmp_path)  # the lock of a failed opening is gone
    (tmp_path / "7.note").write_text("copying from elsewhere")
    with pytest.raises(VolumeDamagedError, match="incomplete copy"):
        Volume.open(tmp_path, 7)
    with pytest.raises(ValueError, match="Atoi"):
        Volume.create(tmp_path, 8, ttl="xm")


def test_all_fields_come_back(tmp_path: Path) -> None:
    with Volume.create(tmp_path, 7, ttl="3d") as volume:
        fid = volume.write(
            "7,0afedcba98",
            b"data",
            file_name="ä.txt",
            mime="text/plain",
            pairs={"B": "2", "A": "ö"},
            last_modified=1700000000,
        )
        stored = volume.read(fid)
        assert (stored.name, stored.mime, stored.pairs) == (
            "ä.txt",
            "text/plain",
            {"A": "ö", "B": "2"},
        )
        assert (stored.last_modified, stored.ttl, stored.key) == (1700000000, "3d", 10)
        assert stored.cookie == 0xFEDCBA98
        assert not stored.is_chunk_manifest
        assert stored.append_at_ns > 0
        with pytest.raises(CookieMismatchError):
            volume.write(10, b"other", 5)
        volume.write(fid, b"other")
        assert volume.read(fid).data == b"other"


def test_threads_may_share_a_volume(tmp_path: Path) -> None:
    wrong: list[object] = []
    with Volume.create(tmp_path, 7) as volume:

        def work(first: int) -> None:
            for key in range(first, first + 100):
                volume.write(key, b"%d" % key * 50, 1)
                if volume.read(key, 1).data != b"%d" % key * 50:
                    wrong.append(key)

        threads = [threading.Thread(target=work, args=(first,)) for first in (100, 1000, 5000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not wrong
        assert len(list(volume.keys())) == 300
