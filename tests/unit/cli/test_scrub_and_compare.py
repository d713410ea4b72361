"""``fastvol scrub`` and ``fastvol compare``: what they print, what they return, what they leave alone."""

import json
from pathlib import Path

import pytest
from volume_kit_cli import filled, overwrite

from fastvol.cli.main import main
from fastvol.cli.offline import ProgressLine, count_words, size_words


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture(name="data")
def data_fixture(tmp_path: Path) -> Path:
    """Volumes 1, 2 (its first payload damaged) and 3 of collection pics."""
    data = tmp_path / "data"
    data.mkdir()
    filled(data, 1)
    filled(data, 2)
    filled(data, 3, collection="pics")
    overwrite(data / "2.dat", 8 + 20, b"??")
    return data


def test_scrub_names_the_file_and_what_is_wrong(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(data)
    assert main(["scrub", f"-dir={data}"]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].startswith(f"{data}/1.dat: sound, 11 index rows, ")
    assert lines[1].startswith(f"{data}/2.dat: failed to read needle 1 on volume 2: invalid CRC")
    assert lines[2].startswith(f"{data}/pics_3.dat: sound")
    assert lines[3].startswith("3 volumes, 33 index rows, ")
    assert lines[3].endswith(": 1 finding in 1 volume")
    assert captured.err == ""
    assert snapshot(data) == before


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
    assert main(["scrub", "-json", *arguments, str(data)]) == status
    document = json.loads(capsys.readouterr().out)
    assert document["total_volumes"] == len(document["volumes"]) == count
    assert document["total_files"] == 11 * count


def test_scrub_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scrub", "-json", str(data / "1.dat"), str(data / "2.dat")]) == 1
    document = json.loads(capsys.readouterr().out)
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
    assert main(["scrub", str(data)]) == 1
    out = capsys.readouterr().out
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
    assert main([word.replace("DATA", str(data)) for word in argv]) == 2
    captured = capsys.readouterr()
    assert text.replace("DATA", str(data)) in captured.err
    assert captured.out == ""


def test_compare_tells_what_is_not_the_same(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    filled(other, 1, 9)
    filled(other, 2)
    filled(other, 4)
    before = snapshot(tmp_path)
    assert main(["compare", str(data), str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "volume 1: needle a: only in A (size 385)",
        "volume 1: 9 needles, 1 not the same: 1 only in A",
        "volume 2: 9 needles, all the same",  # the payload is not read
        "volume pics_3: only in A",
        "volume 4: only in B",
    ]
    assert main(["compare", "-volumeId=2", str(data), str(other)]) == 0
    assert main(["compare", str(data / "2.dat"), str(other / "2.dat")]) == 0
    assert snapshot(tmp_path) == before


def test_compare_as_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    filled(other, 1, 8)
    assert main(["compare", "-json", "-limit=1", "-collection=", str(data), str(other)]) == 1
    one, two = json.loads(capsys.readouterr().out)["volumes"]
    assert (one["volume"], one["same"], one["needles"]) == ("1", False, 9)
    assert (one["counts"]["equal"], one["counts"]["only_a"]) == (7, 2)
    assert one["differences"] == [
        {"needle": "9", "kind": "only_a", "words": "only in A (size 347)"}
    ]
    assert (two["volume"], two["b"], two["same"]) == ("2", None, False)
    assert "counts" not in two


def test_compare_of_a_volume_that_cannot_be_opened(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "1.dat").write_bytes(b"short")
    assert main(["compare", str(data / "1.dat"), str(data / "2.dat")]) == 2
    assert "super block has only 5 bytes" in capsys.readouterr().err


def test_help_texts(capsys: pytest.CaptureFixture[str]) -> None:
    for name, flag in (("scrub", "-limitMBps int"), ("compare", "-dir.idx.b string")):
        assert main(["help", name]) == 0
        assert flag in capsys.readouterr().out
        assert main([name, "-h"]) == 2
        assert flag in capsys.readouterr().err


def test_progress_is_for_terminals_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = ProgressLine()
    quiet.show("nothing")
    quiet.clear()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    now = [0.0]
    line = ProgressLine(clock=lambda: now[0])
    line.show("first [bold]")
    line.show("too soon")
    now[0] += 1
    line.show("second")
    line.clear()
    shown = capsys.readouterr().err
    assert "first [bold]" in shown
    assert "second" in shown
    assert "too soon" not in shown


def test_words_for_people() -> None:
    assert [size_words(n) for n in (0, 999, 1500, 2.5e9, 3e15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.5 GB",
        "3000.0 TB",
    ]
    assert (count_words(1, "volume"), count_words(0, "volume")) == ("1 volume", "0 volumes")
