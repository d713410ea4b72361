"""Opening volumes: what is believed, what is refused, and that refusals change nothing."""

import errno
import gc
import json
import logging
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from descriptors_kit import open_descriptors, opened_within
from volume_kit import create, named, needle, open_volume, reopen, snapshot

from fastvol._cffi import volume as native_volume
from fastvol._cffi.compact_map import CompactMap
from fastvol.errors import (
    DiskIOError,
    NeedleNotFoundError,
    StorageError,
    VolumeDamagedError,
    VolumeReadOnlyError,
)
from fastvol.formats import volume_info
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import RemoteFile
from fastvol.volume import opening
from fastvol.volume.volume import Volume


def filled(directory: Path, **options: Any) -> Volume:
    volume = create(directory, **options)
    for key in range(1, 6):
        volume.write(named(key, bytes([key]) * 20))
    volume.close()
    return volume


def set_info(directory: Path, **members: Any) -> None:
    path = directory / "7.vif"
    info = json.loads(path.read_text())
    info.update(members)
    path.write_text(json.dumps(info))


def volume_descriptors(directory: Path) -> list[str]:
    """Those of a volume's files there, and of indexes that are only in memory."""
    gc.collect()
    in_memory = [path for path in open_descriptors().values() if "memfd" in path]
    return [*opened_within(directory), *in_memory]


def words(volume: Volume) -> str:
    return "; ".join(reason.words for reason in volume.read_only_reasons)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "content", "text"),
    [
        (".dat", b"\x04" + bytes(7), "super block: volume super block version 4 is not supported"),
        (".dat", b"\x00" * 64, "super block: volume super block version 0 is not supported"),
        (".dat", b"", "not initialized"),
        (".dat", b"\x03" * 7, "not initialized"),
        (".dat", bytes.fromhex("0300000000000010"), "extra has 0 of 16 bytes"),
        (".dat", bytes.fromhex("0300000000000005") + bytes(5), "has 13 bytes, not a multiple of 8"),
        (".vif", b'{"files":[{"backendType":"s3"}],"version":3}', "backend storage s3. not found"),
        (".vif", b'{"version":3,"bytesOffset":6}', "bytesOffset 6 is neither 4 nor 5"),
        (".vif", b'{"version":3,"replication":"9z9"}', "Error parse volume 7 replication 9z9 : "),
    ],
)
def test_a_refusal_leaves_every_file_and_no_descriptor(
    tmp_path: Path, extension: str, content: bytes, text: str
) -> None:
    filled(tmp_path)
    (tmp_path / f"7{extension}").write_bytes(content)
    before, descriptors = snapshot(tmp_path), volume_descriptors(tmp_path)
    with pytest.raises(VolumeDamagedError, match=text):
        open_volume(tmp_path)
    assert snapshot(tmp_path) == before
    assert volume_descriptors(tmp_path) == descriptors


def test_without_data_there_is_no_volume(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "7.dat").unlink()
    before = snapshot(tmp_path)
    with pytest.raises(VolumeDamagedError, match=r"volume data file .*7\.dat does not exist"):
        open_volume(tmp_path)
    assert snapshot(tmp_path) == before


def test_data_that_its_owner_may_not_read(tmp_path: Path) -> None:
    """The owner's mode bit counts, as upstream, whoever runs the server."""
    filled(tmp_path)
    (tmp_path / "7.dat").chmod(0o200)
    with pytest.raises(VolumeDamagedError, match="cannot read Volume Data file"):
        open_volume(tmp_path)


@pytest.mark.parametrize("step", ["index_tail", "load", "memory", "native"])
def test_an_error_in_the_middle_leaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    filled(tmp_path)
    before, descriptors = snapshot(tmp_path), volume_descriptors(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise (
            OSError(errno.EIO, "Input/output error")
            if step != "load"
            else DiskIOError("read index")
        )

    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    if step == "index_tail":
        monkeypatch.setattr("fastvol.volume.index_repair.index_tail", fail)
    elif step == "load":
        monkeypatch.setattr(CompactMap, "load", fail)
    elif step == "memory":
        monkeypatch.setattr(CompactMap, "load", no_memory)
    else:
        monkeypatch.setattr(opening, "NativeVolume", fail)
    with pytest.raises(VolumeDamagedError, match=r"Input/output error|read index|MemoryError"):
        open_volume(tmp_path)
    assert volume_descriptors(tmp_path) == descriptors
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    assert open_volume(tmp_path).read(3).data == b"\x03" * 20


def test_a_sound_index_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass that compares it with the data fills the map; a partial row behind it is no matter."""
    filled(tmp_path)
    with (tmp_path / "7.idx").open("ab") as file:
        file.write(b"part")
    monkeypatch.setattr(opening, "load_needle_map", None)
    volume = open_volume(tmp_path)
    assert not volume.read_only
    assert volume.read(3).data == b"\x03" * 20


def test_what_was_read_before_a_repair_is_not_used(tmp_path: Path) -> None:
    """The map has what the index has afterwards: without the row cut, with the row added."""
    filled(tmp_path)
    data, index = tmp_path / "7.dat", tmp_path / "7.idx"
    os.truncate(data, data.stat().st_size - 1)
    volume = open_volume(tmp_path)
    assert volume.counters.file_count == 4
    with pytest.raises(NeedleNotFoundError):
        volume.read(5)
    volume.close()
    os.truncate(index, index.stat().st_size - 17)
    volume = open_volume(tmp_path)
    assert volume.counters.file_count == 4
    assert volume.read(4).data == b"\x04" * 20


def test_opening_and_closing_leaks_no_descriptors(tmp_path: Path) -> None:
    volume = filled(tmp_path)
    reopen(volume).close()
    descriptors = volume_descriptors(tmp_path)
    for _ in range(5):
        volume = reopen(volume)
        volume.load(1, meta_above=0)
        volume.verify(volume.load(2, meta_above=0))
    volume.close()
    assert volume_descriptors(tmp_path) == descriptors


# --- the .vif ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b""])
def test_a_missing_vif_is_written(tmp_path: Path, content: bytes | None) -> None:
    filled(tmp_path, ttl=TTL.parse("3d"), version=2, offset_width=4)
    path = tmp_path / "7.vif"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    volume = open_volume(tmp_path)
    info = volume_info.load(path)
    assert info is not None
    assert (info.version, info.bytes_offset) == (2, 4)
    assert info.expire_at_sec > 0
    assert not volume.read_only


def test_a_vif_that_says_little_is_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "7.vif").write_bytes(b"{}")
    volume = open_volume(tmp_path)
    assert not volume.read_only
    assert (volume.info.version, volume.info.bytes_offset) == (3, 5)
    assert (tmp_path / "7.vif").read_bytes() == b"{}"


def test_a_vif_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path)
    (tmp_path / "7.vif").unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(volume_info, "save", full)
    with caplog.at_level(logging.WARNING):
        assert open_volume(tmp_path).read(1).data == b"\x01" * 20
    assert "cannot write" in caplog.text


@pytest.mark.parametrize(
    "content", [b'{"version":3,"readOnly":tr', b"not json", b'{"version":"x"}']
)
def test_what_may_have_been_a_read_only_mark_counts_as_one(tmp_path: Path, content: bytes) -> None:
    filled(tmp_path)
    with (tmp_path / "7.dat").open("ab") as file:
        file.write(b"torn")
    (tmp_path / "7.vif").write_bytes(content)
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    assert volume.read_only
    assert "7.vif cannot be relied on: " in words(volume)
    assert volume.read(5).data == b"\x05" * 20
    assert snapshot(tmp_path) == before
    assert volume.mark_writable()
    volume.write(named(6, b"x"))
    assert not reopen(volume).read_only


def test_an_unreadable_vif(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "7.vif").chmod(0o200)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    volume = open_volume(tmp_path)
    assert volume.read_only
    assert "not readable" in words(volume)
    assert volume.read(1).data == b"\x01" * 20
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_members_that_we_do_not_know_survive_a_mark(tmp_path: Path) -> None:
    filled(tmp_path)
    set_info(tmp_path, bogus=1)
    volume = open_volume(tmp_path)
    assert not volume.read_only
    volume.mark_read_only(can_delete=False, persist=True)
    assert json.loads((tmp_path / "7.vif").read_text())["bogus"] == 1


@pytest.mark.parametrize("can_delete", [False, True])
def test_a_persisted_mark(tmp_path: Path, can_delete: bool) -> None:
    filled(tmp_path)
    set_info(tmp_path, readOnly=True, readOnlyCanDelete=can_delete)
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    assert volume.read_only
    assert (volume.no_write_or_delete, volume.no_write_can_delete) == (not can_delete, can_delete)
    assert volume.read_only_can_delete is can_delete
    assert words(volume) == "its .vif says read-only"
    with pytest.raises(VolumeReadOnlyError, match=r"^volume 7 is read only$"):
        volume.write(named(9, b"x"))
    if can_delete:
        assert volume.delete(1, 0, 0) > 0
        return
    with pytest.raises(VolumeReadOnlyError, match=r"^volume 7 is read only$"):
        volume.delete(1, 0, 0)
    volume.close()
    assert snapshot(tmp_path) == before


def test_replication_in_the_vif_outranks_the_super_block(tmp_path: Path) -> None:
    filled(tmp_path, replication="001")
    set_info(tmp_path, replication="200")
    volume = open_volume(tmp_path)
    assert str(volume.super_block.replica_placement) == "200"
    assert (tmp_path / "7.dat").read_bytes()[1] == 1
    set_info(tmp_path, replication="")
    assert str(open_volume(tmp_path).super_block.replica_placement) == "001"


def test_the_super_blocks_version_outranks_the_vif(tmp_path: Path) -> None:
    filled(tmp_path, version=2)
    set_info(tmp_path, version=3)
    volume = open_volume(tmp_path)
    assert (volume.version, volume.info.version) == (2, 2)
    assert volume.read(1).data == b"\x01" * 20


def test_remote_storage_names(tmp_path: Path) -> None:
    volume = create(tmp_path)
    assert volume.remote_storage == ("", "")
    volume.info.files = (RemoteFile("s3", "default", key="7.dat"),)
    assert volume.remote_storage == ("s3.default", "7.dat")


# --- file modes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".dat", ".idx"])
def test_a_file_that_its_owner_may_not_write(tmp_path: Path, extension: str) -> None:
    filled(tmp_path)
    with (tmp_path / "7.dat").open("ab") as file:
        file.write(b"torn")
    (tmp_path / f"7{extension}").chmod(0o444)
    before = snapshot(tmp_path)
    volume = open_volume(tmp_path)
    assert "not writable for its owner" in words(volume)
    assert volume.read(3).data == b"\x03" * 20
    with pytest.raises(VolumeReadOnlyError):
        volume.write(named(9, b"x"))
    with pytest.raises(StorageError, match=r"cannot be marked writable: .*not writable"):
        volume.mark_writable()
    assert volume.read(3).data == b"\x03" * 20
    volume.close()
    assert snapshot(tmp_path) == before
    (tmp_path / f"7{extension}").chmod(0o644)
    assert not open_volume(tmp_path).read_only


def test_a_read_only_file_system_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    real = os.open

    def read_only_open(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, mode)

    for missing in ("", ".vif", ".idx"):
        if missing:
            (tmp_path / f"7{missing}").unlink()
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", read_only_open)
            volume = open_volume(tmp_path)
        assert "Read-only file system" in words(volume)
        assert volume.read(4).data == b"\x04" * 20
        with pytest.raises(VolumeReadOnlyError):
            volume.write(named(9, b"x"))


# --- the index -----------------------------------------------------------------------------------


def test_an_index_beside_the_data_is_preferred(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    data.mkdir()
    index.mkdir()
    filled(data)
    (index / "7.idx").write_bytes(b"not this one")
    volume = open_volume(data, index_directory=index)
    assert volume.index_directory == data
    assert volume.read(1).data == b"\x01" * 20
    volume.write(named(9, b"x"))
    assert (index / "7.idx").read_bytes() == b"not this one"
    # Also when its files are opened anew.
    volume.mark_read_only(can_delete=False, persist=True)
    volume = open_volume(data, index_directory=index)
    assert volume.mark_writable()
    assert volume.index_directory == data
    volume.write(named(10, b"y"))
    assert (index / "7.idx").read_bytes() == b"not this one"


def test_a_fresh_volume_without_an_index_gets_one(tmp_path: Path) -> None:
    create(tmp_path).close()
    (tmp_path / "7.idx").unlink()
    volume = open_volume(tmp_path)
    volume.write(named(1, b"x"))
    assert (tmp_path / "7.idx").stat().st_size == 17


# --- unavailable ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["sync /x: input/output error\ntruncate", ""])
def test_the_marker_of_a_failed_rollback(tmp_path: Path, text: str) -> None:
    filled(tmp_path)
    (tmp_path / "7.unavailable").write_text(text)
    volume = open_volume(tmp_path)
    detail = f": {text}" if text else ""
    assert volume.unavailable
    assert volume.read_only
    assert volume.no_write_or_delete
    with pytest.raises(DiskIOError) as failed:
        volume.read(1)
    assert str(failed.value) == f"volume 7 is unavailable{detail}: volume unavailable"
    assert not isinstance(failed.value, NeedleNotFoundError)
    for change in (
        lambda: volume.write(named(9, b"x")),
        lambda: volume.delete(1, 0, 0),
    ):
        with pytest.raises(VolumeReadOnlyError, match=r"^volume 7 is read only$"):
            change()
    with pytest.raises(StorageError) as refused:
        volume.mark_writable()
    assert str(refused.value) == (
        f"volume 7 cannot be marked writable: volume 7 is unavailable{detail}: volume unavailable"
    )
    with pytest.raises(StorageError, match="reopen idx for write"):
        volume.mark_read_only(can_delete=True, persist=False)


# --- odd but harmless ----------------------------------------------------------------------------


def test_rows_in_any_order(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "7.idx"
    content = path.read_bytes()
    path.write_bytes(b"".join(content[at : at + 17] for at in range(4 * 17, -1, -17)))
    volume = open_volume(tmp_path)
    assert not volume.read_only
    assert volume.read(1).data == b"\x01" * 20


def test_zero_rows_at_the_end_of_the_index(tmp_path: Path) -> None:
    filled(tmp_path)
    with (tmp_path / "7.idx").open("ab") as file:
        file.write(bytes(40))
    volume = open_volume(tmp_path)
    assert not volume.read_only
    volume.write(named(9, b"x"))
    volume = reopen(volume)
    assert (tmp_path / "7.idx").stat().st_size == 8 * 17
    assert [volume.read(key).data for key in (1, 5, 9)] == [b"\x01" * 20, b"\x05" * 20, b"x"]


def test_an_extra_block_behind_the_super_block_is_kept(tmp_path: Path) -> None:
    """No released server writes one; its records begin behind it."""
    volume = filled(tmp_path)
    content = (tmp_path / "7.dat").read_bytes()
    head = content[:6] + struct.pack(">H", 8) + b"\x0a\x06extras"
    (tmp_path / "7.dat").write_bytes(head + content[8:])
    (tmp_path / "7.idx").unlink()
    volume = reopen(volume)
    assert volume.super_block.extra == b"\x0a\x06extras"
    assert [volume.read(key).data for key in (1, 5)] == [b"\x01" * 20, b"\x05" * 20]
    volume.write(needle(6, b"more"))
    assert reopen(volume).read(6).data == b"more"


def test_memory_runs_out_in_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptors belong to the core by then, which has closed them."""
    filled(tmp_path)
    descriptors = volume_descriptors(tmp_path)
    real = native_volume.lib

    class Poor:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def fv_volume_new(self, spec: Any, *_: Any) -> Any:
            os.close(spec.dat_fd)
            os.close(spec.idx_fd)
            return native_volume.ffi.NULL

    monkeypatch.setattr(native_volume, "lib", Poor())
    with pytest.raises(VolumeDamagedError, match="no memory for volume 7"):
        open_volume(tmp_path)
    assert volume_descriptors(tmp_path) == descriptors
