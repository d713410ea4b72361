"""The examples of docs/library.md run as they stand, one after the other, and then that of README.md."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "library.md"
README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DOCUMENT.read_text()
    blocks = list(_BLOCK.finditer(text))
    assert len(blocks) >= 8
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    names: dict[str, object] = {}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(DOCUMENT), "exec"), names)
    capsys.readouterr()
    section = README.read_text().split("## As a library\n", 1)[1].split("\n## ", 1)[0]
    exec(textwrap.dedent("".join(re.findall(r"^ {4}.*\n", section, re.MULTILINE))), {})
    assert str(names["fid"]) in capsys.readouterr().out


def test_importing_fastvol_loads_no_engine() -> None:
    check = "import sys, fastvol; sys.exit('fastvol._cffi._core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_what_is_not_there() -> None:
    import fastvol

    with pytest.raises(AttributeError, match="no attribute 'Vollume'"):
        fastvol.Vollume  # noqa: B018
