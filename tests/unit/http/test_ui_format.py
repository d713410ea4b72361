"""Numbers, times and pictures of the status page."""

from __future__ import annotations

import pytest

from fastvol.http.ui_format import ago, bar, chart, duration_text, rate_text, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1 << 20, "1.00 MiB"),
        (270553174016, "251.97 GiB"), (1 << 62, "4.00 EiB"), (1 << 75, "32768.00 EiB"), (12.7, "12 B"),
    ],
)  # fmt: skip
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (390, "6m 30s"), (3600, "1h"), (90061, "1d 1h"), (86405, "1d"), (-5, "0s")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0"), (0.04, "0.0"), (9.9, "9.9"), (1204.4, "1,204")]
)
def test_rates(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_a_moment_is_told_relatively_and_exactly() -> None:
    assert ago(1_700_000_000, 1_700_000_390) == (
        '<time datetime="2023-11-14T22:13:20+00:00" title="2023-11-14 22:13:20 UTC">6m 30s ago</time>'
    )
    assert "just now" in ago(10.0, 10.5) and "just now" in ago(20.0, 10.0)
    assert ago(0, 10) == "&ndash;" and "9999" in ago(1e18, 10)


def test_bars_stay_within_their_track() -> None:
    assert 'width="0.0"' in bar(-1, "x") and 'width="100.0"' in bar(7, "x")
    assert "&lt;&quot;" in bar(0, '<"')


def test_charts_end_at_the_right_edge() -> None:
    assert "polyline" not in chart([], 60, "nothing yet")
    assert "NaN" not in chart([0.0], 60, "idle") and "120.0,27.0" in chart([0.0], 60, "idle")
    assert 'points="0.0,2.0 60.0,14.5 120.0,27.0"' in chart([2.0, 1.0, 0.0], 3, "falling")
