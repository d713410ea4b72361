"""``export`` and ``compact`` on the command line; names that are exported."""

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offline_kit import MODIFIED, create, filled, put, tool, tool_json
from volume_kit import snapshot_with_times

from fastvol import Volume
from fastvol.cli.export_names import NameTemplate, exported_name, extension_of, safe_path
from fastvol.errors import UsageError
from fastvol.formats.needle import Needle


def test_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    before = snapshot_with_times(tmp_path)
    status, out, _ = tool(capsys, "export", "-dir", tmp_path, "-volumeId=7")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split("\t")[:3] == ["key", "name", "size"]
    assert len(lines) == 12
    files = tool_json(capsys, "export", "-deleted", tmp_path)["files"]
    assert len(files) == 14
    assert files[-1]["name"] == "*tombstone"
    assert len(tool_json(capsys, "export", "-limit=2", tmp_path)["files"]) == 2
    assert snapshot_with_times(tmp_path) == before


def test_a_tar_and_a_directory_hold_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "v")
    assert tool(capsys, "export", "-o", tmp_path / "x.tar", tmp_path / "v")[0] == 0
    assert tool(capsys, "export", "-o", f"{tmp_path}/out/", tmp_path / "v")[0] == 0
    with tarfile.open(tmp_path / "x.tar") as tar:
        members = {member.name: member for member in tar}
        assert len(members) == 11
        for name, member in members.items():
            content = tar.extractfile(member)
            assert content is not None
            path = tmp_path / "out" / name
            assert content.read() == path.read_bytes()
            assert member.mtime == path.stat().st_mtime == MODIFIED + int(name.split("_")[0], 16)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(members)
    assert (tmp_path / "out" / "2_2.txt.txt").read_bytes() == b"new"


HOSTILE = [
    b"../../escape",
    b"/etc/passwd",
    b"a/../../b",
    b"..",
    b".",
    b"",
    b"/",
    b"nul\0nul",
    b"\xff\xfe",
    b"x" * 255,
    b"twice",
    b"twice",
    b"twice/below",
    b"link/sub/inside",
]


def test_no_name_leaves_the_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = create(tmp_path / "v")
    for key, name in enumerate(HOSTILE, 1):
        put(volume, key, b"%d" % key, name=name, last_modified=5)
    volume.close()
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["-fileNameFormat={{.Name}}", "-o", f"{out}/", tmp_path / "v"]
    assert tool(capsys, "export", *arguments)[0] == 0
    contents = sorted(int(path.read_bytes()) for path in out.rglob("*") if path.is_file())
    assert contents == list(range(1, len(HOSTILE) + 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "v"]
    # A link that lies there already is not followed out of it.
    other = tmp_path / "other"
    other.mkdir()
    out = tmp_path / "out2"
    out.mkdir()
    (out / "link").symlink_to(other)
    arguments[2] = f"{out}/"
    status, _, err = tool(capsys, "export", *arguments)
    assert status == 2
    assert "leads out of" in err
    assert not list(other.iterdir())


@given(st.binary(max_size=300) | st.text("./\\\0a", max_size=40).map(str.encode))
def test_any_name_becomes_a_path_within(stored: bytes) -> None:
    path = safe_path(stored.decode("utf-8", "surrogateescape"), "key")
    assert not path.is_absolute()
    assert path.parts
    assert ".." not in path.parts
    assert "\0" not in str(path)


def test_templates() -> None:
    needle = Needle(0x1F, 0xABCD, b"x", name=b"{{.Id}} a.tar.gz", mime=b"text/plain")
    for text, wanted in (
        ("{{.Id}}_{{.Name}}{{.Ext}}", "1f_{{.Id}} a.tar.gz.gz"),
        ("{{ .Mime }}/{{.Key}}", "text/plain/7,1f0000abcd"),
        ("plain", "plain"),
        ("", ""),
    ):
        assert exported_name(NameTemplate(text), needle, 7) == wanted
    for text in ("{{.Other}}", "{{Id}}", "{{.Id", "{{.Id | print}}", "{{}}"):
        with pytest.raises(UsageError, match="fileNameFormat"):
            NameTemplate(text)
    assert [extension_of(name) for name in ("a.b", "a.", ".b", "a.b/c", "")] == [
        ".b",
        ".",
        ".b",
        "",
        "",
    ]
    packed = Needle(1, 1, gzip.compress(b"x"), Needle.IS_COMPRESSED | Needle.HAS_NAME, b"a.txt")
    assert exported_name(NameTemplate("{{.Name}}"), packed, 7) == "a.txt.gz"
    assert safe_path("a/b", "k") == PurePosixPath("a/b")


def test_what_export_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    filled(tmp_path, 8)
    for arguments, words in (
        ([tmp_path], "which volume? -volumeId and -collection tell: 7, 8"),
        (["-volumeId=7", "-newer=yesterday", tmp_path], "cannot parse 'newer'"),
        (["-volumeId=7", "-o=x.zip", tmp_path], "should be '-' or end with .tar"),
        (["-volumeId=7", "-fileNameFormat={{.X}}", tmp_path], "{{.X}} is none of"),
        (["-volumeId=7", "-o=-", "-json", tmp_path], "standard output"),
    ):
        status, _, err = tool(capsys, "export", *arguments)
        assert status == 2
        assert words in err


def test_damage_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(20)
        file.write(b"\xff" * 30)
    status, out, err = tool(capsys, "export", tmp_path)
    assert status == 1
    assert len(out.splitlines()) == 11
    assert "passed over 8.." in err


@pytest.mark.parametrize("method", ["data", "index"])
def test_compact(tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    filled(tmp_path)
    before = snapshot_with_times(tmp_path)
    (report,) = tool_json(capsys, "compact", f"-method={method}", tmp_path)["volumes"]
    after = snapshot_with_times(tmp_path)
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == ["7.cpd", "7.cpx"]
    assert len(after["7.cpd"][0]) == report["dat_size"] < report["dat_size_before"]
    status, out, _ = tool(capsys, "compact", "-commit", f"-method={method}", tmp_path)
    assert (status, "put in its place" in out) == (0, True)
    assert sorted(snapshot_with_times(tmp_path)) == ["7.dat", "7.idx", "7.vif"]
    assert snapshot_with_times(tmp_path)["7.dat"][0] == after["7.cpd"][0]
    assert tool(capsys, "check", tmp_path)[0] == 0
    with Volume.open(tmp_path, 7) as volume:
        assert volume.engine.super_block.compaction_revision == 1
        assert volume.read(2).data == b"new"
        assert 3 not in volume
    assert tool(capsys, "compact", "-method=other", tmp_path)[0] == 2


def test_compact_refuses_a_damaged_volume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path)
    (tmp_path / "7.dat").write_bytes((tmp_path / "7.dat").read_bytes()[:-200])
    before = snapshot_with_times(tmp_path)
    status, _, err = tool(capsys, "compact", "-commit", tmp_path)
    assert status == 2
    assert "must be repaired first" in err
    assert snapshot_with_times(tmp_path) == before


def test_a_tar_on_standard_output(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    command = [sys.executable, "-m", "fastvol.cli.main", "export", "-o", "-", tmp_path]
    done = subprocess.run(command, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert len(tar.getmembers()) == 11
