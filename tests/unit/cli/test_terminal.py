"""Text for people."""

import pytest

from fastvol.cli.terminal import ProgressLine, count_words, size_words


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
