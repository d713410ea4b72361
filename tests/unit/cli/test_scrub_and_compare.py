"""``fastvol scrub`` and ``fastvol compare``: what they print, what they return, what they leave alone."""

from pathlib import Path

import pytest
from offline_kit import filled, tool, tool_json
from volume_kit import snapshot_with_times

from fastvol.cli.main import main


@pytest.fixture(name="data")
def data_fixture(tmp_path: Path) -> Path:
    """Volumes 1, 2 (its first payload damaged) and 3 of collection pics."""
    data = tmp_path / "data"
    filled(data, 1)
    filled(data, 2)
    filled(data, 3, collection="pics")
    with (data / "2.dat").open("r+b") as file:
        file.seek(8 + 20)
        file.write(b"??")
    return data


def test_scrub_names_the_file_and_what_is_wrong(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot_with_times(data)
    status, out, error = tool(capsys, "scrub", f"-dir={data}")
    assert (status, error) == (1, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{data}/1.dat: sound, 14 index rows, ")
    assert lines[1].startswith(f"{data}/2.dat: failed to read needle 1 on volume 2: invalid CRC")
    assert lines[2].startswith(f"{data}/pics_3.dat: sound")
    assert lines[3].startswith("3 volumes, 42 index rows, ")
    assert lines[3].endswith(": 1 finding in 1 volume")
    assert snapshot_with_times(data) == before


@pytest.mark.parametrize(
    ("arguments", "count", "status"),
    [
        (["-volumeId=1"], 1, 0),
        (["-collection=pics"], 1, 0),
        (["-collection="], 2, 1),
        (["-mode=index"], 3, 0),
        (["-mode", "READS", "-limitMBps=1000"], 3, 1),
    ],
)
def test_scrub_takes_the_volumes_chosen(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], count: int, status: int
) -> None:
    document = tool_json(capsys, "scrub", *arguments, data)
    assert document["status"] == status
    assert document["total_volumes"] == len(document["volumes"]) == count
    assert document["total_files"] == 14 * count


def test_scrub_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tool_json(capsys, "scrub", data / "1.dat", data / "2.dat")
    assert document["status"] == 1
    assert document["mode"] == "full"
    assert document["broken_volume_ids"] == [2]
    assert document["findings"] == 1
    sound, broken = document["volumes"]
    assert (sound["volume_id"], sound["findings"], sound["details"]) == (1, 0, [])
    assert broken["dat"] == str(data / "2.dat")
    assert "invalid CRC for needle 1" in broken["details"][0]


def test_scrub_goes_on_behind_a_volume_that_it_cannot_open(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "1.dat").write_bytes(b"\xff" * 8)
    status, out, _ = tool(capsys, "scrub", data)
    assert status == 1
    assert "1.dat: volume super block version 255 is not supported" in out
    assert "pics_3.dat: sound" in out
    assert out.endswith("2 findings in 2 volumes\n")


def test_scrub_finds_an_index_elsewhere(data: Path, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (data / "1.idx").rename(tmp_path / "index" / "1.idx")
    assert main(["scrub", str(data / "1.dat")]) == 1
    assert main(["scrub", f"-dir.idx={tmp_path}/index", str(data / "1.dat")]) == 0


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["scrub", "/nosuch"], "fastvol scrub: /nosuch: no such file or directory\n"),
        (["scrub", "-volumeId=9", "DATA"], "fastvol scrub: no volume 9 in DATA\n"),
        (["scrub", "DATA/1.idx"], "DATA/1.idx: not the name of a volume's data file\n"),
        (["scrub", "-mode=quick", "DATA"], "-mode=quick is none of index, full, local, reads\n"),
        (["scrub", "DATA", "-json"], "flags go before the arguments: -json\n"),
        (["compare", "DATA"], "compare takes two directories or two data files\n"),
        (["compare", "DATA", "/nosuch"], "fastvol compare: /nosuch: no such file or directory\n"),
        (["compare", "-volumeId=9", "DATA", "DATA"], "no such volume in DATA and DATA\n"),
        (["compare", "DATA/1.dat", "DATA/9.dat"], "DATA/9.dat: no such file or directory\n"),
    ],
)
def test_what_cannot_be_done_exits_2(
    data: Path, capsys: pytest.CaptureFixture[str], argv: list[str], text: str
) -> None:
    status, out, error = tool(capsys, *(word.replace("DATA", str(data)) for word in argv))
    assert (status, out) == (2, "")
    assert text.replace("DATA", str(data)) in error


def test_compare_tells_what_is_not_the_same(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    filled(other, 1, count=11)
    filled(other, 2)
    filled(other, 4)
    before = snapshot_with_times(tmp_path)
    status, out, _ = tool(capsys, "compare", data, other)
    assert status == 1
    assert out.splitlines() == [
        "volume 1: needle c: only in A (size 118)",
        "volume 1: 11 needles, 1 not the same: 1 only in A",
        "volume 2: 11 needles, all the same",  # the payload is not read
        "volume pics_3: only in A",
        "volume 4: only in B",
    ]
    assert main(["compare", "-volumeId=2", str(data), str(other)]) == 0
    assert main(["compare", str(data / "2.dat"), str(other / "2.dat")]) == 0
    assert snapshot_with_times(tmp_path) == before


def test_compare_as_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    filled(other, 1, count=10)
    document = tool_json(capsys, "compare", "-limit=1", "-collection=", data, other)
    assert document["status"] == 1
    one, two = document["volumes"]
    assert (one["volume"], one["same"], one["needles"]) == ("1", False, 11)
    assert (one["counts"]["equal"], one["counts"]["only_a"]) == (9, 2)
    assert one["differences"] == [
        {"needle": "b", "kind": "only_a", "words": "only in A (size 118)"}
    ]
    assert (two["volume"], two["b"], two["same"]) == ("2", None, False)
    assert "counts" not in two


def test_compare_of_a_volume_that_cannot_be_opened(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "1.dat").write_bytes(b"short")
    status, _, error = tool(capsys, "compare", data / "1.dat", data / "2.dat")
    assert status == 2
    assert "super block has only 5 bytes" in error


def test_help_texts(capsys: pytest.CaptureFixture[str]) -> None:
    for name, flag in (("scrub", "-limitMBps int"), ("compare", "-dir.idx.b string")):
        assert main(["help", name]) == 0
        assert flag in capsys.readouterr().out
        assert main([name, "-h"]) == 2
        assert flag in capsys.readouterr().err
