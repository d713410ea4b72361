"""README.md names commands, benches, directories and pages that are there."""

import re
from pathlib import Path

import pytest

from fastvol.cli import main
from fastvol.cli.offline import EXIT_CANNOT, EXIT_PROBLEMS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/results/*.md")]


def test_the_offline_commands() -> None:
    named = re.findall(r"^\| `fastvol (\w+)` \|", README, re.MULTILINE)
    assert set(named) == set(main._COMMANDS) - {"serve", "volume", "version"}
    for name in named:
        flags = main._COMMANDS[name].flags().flags
        assert "json" in flags, name
    assert (EXIT_PROBLEMS, EXIT_CANNOT) == (1, 2)


def test_the_benches() -> None:
    named = re.findall(r"^\| `python -m bench\.(\w+)` \|", README, re.MULTILINE)
    there = {path.stem for path in (ROOT / "bench").glob("*.py")} - {"__init__", "harness"}
    assert set(named) == there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target, _, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([\w-]+))?\)", text):
        path = page.parent / target if target else page
        assert path.exists(), target
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if heading else []
        anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not heading or heading in anchors, heading
