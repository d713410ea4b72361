"""``check``, ``fix`` and ``info`` on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from offline_kit import create, filled, put, tool, tool_json
from volume_kit import snapshot_with_times

from fastvol.formats.index_entry import encode_row
from fastvol.store.directory_lock import DirectoryLock
from fastvol.volume.files import VolumeFiles
from fastvol.volume.inspection import inspect_volume


def damage(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_sound_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    before = snapshot_with_times(tmp_path)
    status, out, _ = tool(capsys, "check", tmp_path)
    assert status == 0
    assert "sound" in out
    document = tool_json(capsys, "check", "-dir", tmp_path)
    (volume,) = document["volumes"]
    assert volume["count"] == {
        "live": 11,
        "old": 1,
        "deleted": 1,
        "tombstone": 1,
        **dict.fromkeys(["unindexed", "bad_record", "damaged", "zeros", "torn"], 0),
    }
    assert (
        sum(volume["bytes"].values()) == volume["dat_size"] == (tmp_path / "7.dat").stat().st_size
    )
    assert volume["extents"] == [] == volume["problems"]
    status, out, _ = tool(capsys, "info", tmp_path / "7.dat")
    assert status == 0
    assert "volume 7" in out
    (info,) = tool_json(capsys, "info", tmp_path)["volumes"]
    assert info["needles"]["live"] == 11
    assert info["index"]["rows"] == 14
    assert info["super_block"]["version"] == 3
    assert snapshot_with_times(tmp_path) == before


def test_every_range_is_listed_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path)
    (volume,) = tool_json(capsys, "check", "-all", tmp_path)["volumes"]
    position = 8
    for extent in volume["extents"]:
        assert extent["offset"] == position
        position += extent["length"]
    assert position == volume["dat_size"]
    _, out, _ = tool(capsys, "check", "-v", tmp_path)
    assert out.count("old version  needle 2 cookie 00001002") == 1
    assert "live record  needle" not in out


Damage = Callable[[Path], None]


def _cut_row(directory: Path) -> None:
    path = directory / "7.idx"
    path.write_bytes(path.read_bytes()[:-5])


def _lose_rows(directory: Path) -> None:
    path = directory / "7.idx"
    path.write_bytes(path.read_bytes()[: 11 * 17])


def _torn_tail(directory: Path) -> None:
    path = directory / "7.dat"
    path.write_bytes(path.read_bytes() + path.read_bytes()[8:60])


def _zeros(directory: Path) -> None:
    path = directory / "7.dat"
    path.write_bytes(path.read_bytes() + bytes(4096))


def _no_index(directory: Path) -> None:
    (directory / "7.idx").unlink()


def _wrong_row(directory: Path) -> None:
    damage(directory / "7.idx", 17, encode_row(2, 1, 70, 5))


def _unfinished_vacuum(directory: Path) -> None:
    (directory / "7.cpd").write_bytes(b"\3" + bytes(7))
    (directory / "7.cpx").touch()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_cut_row, "partial row of 12 bytes"),
        (_lose_rows, "3 records are not in the index"),
        (_torn_tail, "1 torn tail, 52 bytes"),
        (_zeros, "ends in zeros; 4096 bytes"),
        (_no_index, "there is no index"),
        (_wrong_row, "row 1 (needle 2, offset 8, size 70) does not match"),
        (_unfinished_vacuum, "undo an unfinished vacuum"),
    ],
)
def test_what_is_wrong_is_told_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Damage, words: str
) -> None:
    filled(tmp_path)
    harm(tmp_path)
    before = snapshot_with_times(tmp_path)
    status, out, _ = tool(capsys, "check", tmp_path)
    assert words in out
    assert status == (0 if harm is _unfinished_vacuum else 1)
    info, _, _ = tool(capsys, "info", tmp_path)
    assert info == (1 if harm not in (_no_index, _wrong_row) else 0)
    assert snapshot_with_times(tmp_path) == before
    status, out, _ = tool(capsys, "check", "-repair", tmp_path)
    assert status == 0, out
    status, out, _ = tool(capsys, "check", tmp_path)
    assert (status, out.count("sound")) == (0, 1), out
    assert tool_json(capsys, "check", tmp_path)["volumes"][0]["live"] == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7.dat", "7.idx", "7.vif"]


def test_damage_in_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    damage(tmp_path / "7.dat", 200, b"\xff" * 100)
    (volume,) = tool_json(capsys, "check", tmp_path)["volumes"]
    assert volume["count"]["damaged"] + volume["count"]["bad_record"] >= 1
    assert not volume["sound"]
    document = tool_json(capsys, "fix", tmp_path)
    assert document["status"] == 1
    assert document["volumes"][0]["skipped"]
    status, out, _ = tool(capsys, "fix", tmp_path)
    assert status == 1
    assert "replaced by" in out


def test_a_marked_volume_keeps_its_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    vif = tmp_path / "7.vif"
    vif.write_text(vif.read_text().replace('"readOnly":  false', '"readOnly":  true'))
    assert '"readOnly":  true' in vif.read_text()
    assert tool(capsys, "info", tmp_path)[0] == 0
    _torn_tail(tmp_path)
    before = snapshot_with_times(tmp_path)
    status, out, _ = tool(capsys, "check", "-repair", tmp_path)
    assert status == 1
    assert "still read-only: its .vif says read-only" in out
    assert snapshot_with_times(tmp_path) == before


def test_a_served_directory_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path)
    with DirectoryLock(tmp_path):
        for arguments in (["fix"], ["check", "-repair"]):
            status, _, err = tool(capsys, *arguments, tmp_path)
            assert status == 2
            assert "already served by another process" in err
        assert tool(capsys, "check", tmp_path)[0] == 0
        assert tool(capsys, "info", tmp_path)[0] == 0


def test_which_volumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path, 7)
    filled(tmp_path, 8, collection="pictures_old")
    filled(tmp_path / "other", 9)
    (tmp_path / "notes.dat").write_bytes(b"no volume")

    def found(*arguments: object) -> list[str]:
        return [one["volume"] for one in tool_json(capsys, "check", *arguments)["volumes"]]

    assert found(tmp_path) == ["7", "pictures_old_8"]
    assert found("-volumeId=8", tmp_path) == ["pictures_old_8"]
    assert found("-collection=pictures_old", tmp_path, tmp_path / "other") == ["pictures_old_8"]
    assert found(tmp_path / "other", tmp_path / "7.dat") == ["9", "7"]
    for arguments, words in (
        (["-volumeId=5", tmp_path], "no volume 5 in"),
        ([tmp_path / "none"], "no such file"),
        ([tmp_path / "notes.dat"], "notes.dat"),
        ([tmp_path, "-v"], "flags go before"),
    ):
        status, _, err = tool(capsys, "check", *arguments)
        assert status == 2
        assert words in err


def test_one_bad_volume_among_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path, 7)
    filled(tmp_path, 9)
    (tmp_path / "8.dat").write_bytes(b"\7" * 64)
    document = tool_json(capsys, "check", tmp_path)
    assert document["status"] == 2
    assert [bool(one["error"]) for one in document["volumes"]] == [False, True, False]
    assert tool(capsys, "info", tmp_path)[0] == 1
    assert [one["volume"] for one in tool_json(capsys, "fix", tmp_path)["volumes"]] == ["7", "8"]
    document = tool_json(capsys, "fix", "-ignoreError", tmp_path)
    assert document["status"] == 2
    assert [one["volume"] for one in document["volumes"]] == ["7", "8", "9"]


def test_an_unindexed_write_behind_damage_gets_a_new_index(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path)
    idx = (tmp_path / "7.idx").read_bytes()
    (tmp_path / "7.idx").unlink()
    volume = create(tmp_path / "x")
    for key in range(20, 23):
        put(volume, key, b"late")
    volume.close()
    tail = (tmp_path / "x" / "7.dat").read_bytes()[8:]
    with (tmp_path / "7.dat").open("ab") as file:
        file.write(b"\xee" * 64 + tail)
    (tmp_path / "7.idx").write_bytes(idx)
    status, out, _ = tool(capsys, "check", "-repair", tmp_path / "7.dat")
    assert "replace" in out
    assert status == 1  # the damage stays
    (volume,) = tool_json(capsys, "check", tmp_path / "7.dat")["volumes"]
    assert volume["live"] == 14
    assert volume["problems"] == ["1 stretches of which no record can be made, 64 bytes"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    dat=st.lists(st.tuples(st.integers(0, 1500), st.binary(min_size=1, max_size=60)), max_size=3),
    idx=st.lists(st.tuples(st.integers(0, 240), st.binary(min_size=1, max_size=20)), max_size=3),
    cut=st.integers(0, 60),
)
def test_any_bytes_are_explained(
    tmp_path_factory: pytest.TempPathFactory,
    dat: list[tuple[int, bytes]],
    idx: list[tuple[int, bytes]],
    cut: int,
) -> None:
    """The kinds add up, whatever the files hold, and nothing is changed."""
    directory = tmp_path_factory.mktemp("fuzz")
    filled(directory)
    for name, places in (("7.dat", dat), ("7.idx", idx)):
        for at, content in places:
            damage(directory / name, at + (8 if name == "7.dat" else 0), content)
    (directory / "7.idx").write_bytes((directory / "7.idx").read_bytes()[cut:])
    before = snapshot_with_times(directory)
    found = inspect_volume(VolumeFiles.of(directory, directory, "", 7))
    assert found.super_block_bytes + sum(found.stat.bytes.values()) == found.dat_size
    assert snapshot_with_times(directory) == before
