"""Interrupted vacuums: every state that a crash can leave is brought to before or after."""

from pathlib import Path

import pytest

from fastvol.store.compaction_recovery import reconcile_compactions

BEFORE = {"7.dat": "old data", "7.idx": "old index"}
AFTER = {"7.dat": "new data", "7.idx": "new index"}


def fill(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name).write_text(content)


def content(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("files", "result"),
    [
        ({**BEFORE, "7.cpd": "new data"}, BEFORE),
        ({**BEFORE, "7.cpx": "new index"}, BEFORE),
        ({**BEFORE, "7.cpd": "new data", "7.cpx": "new index"}, BEFORE),
        ({**BEFORE, "7.cpd": "new data", "7.cpx": "new index", "7.cpc": ""}, AFTER),
        ({**BEFORE, "7.dat": "new data", "7.cpx": "new index", "7.cpc": ""}, AFTER),
        ({**AFTER, "7.cpc": ""}, AFTER),
        (BEFORE, BEFORE),
    ],
)
def test_every_crash_point(tmp_path: Path, files: dict[str, str], result: dict[str, str]) -> None:
    fill(tmp_path, files)
    reconcile_compactions(tmp_path, tmp_path, set())
    assert content(tmp_path) == result
    reconcile_compactions(tmp_path, tmp_path, set())
    assert content(tmp_path) == result


def test_index_files_in_their_own_directory(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index"
    fill(data, {"7.dat": "old data", "7.cpd": "new data", "7.cpc": ""})
    fill(index, {"7.idx": "old index", "7.cpx": "new index", "7.rdb": "stale"})
    (index / "7.ldb").mkdir()
    (index / "7.ldb" / "LOG").touch()
    reconcile_compactions(data, index, set())
    assert content(data) == {"7.dat": "new data"}
    assert content(index) == {"7.idx": "new index"}


def test_loaded_volumes_and_strange_names_are_left_alone(tmp_path: Path) -> None:
    files = {**BEFORE, "7.cpd": "new data", "x.cpd": "?", "a_8.cpd": "b"}
    fill(tmp_path, files)
    reconcile_compactions(tmp_path, tmp_path, {7})
    del files["a_8.cpd"]
    assert content(tmp_path) == files
