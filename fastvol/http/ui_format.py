"""Numbers and times for people, and pictures of them; everything returned is HTML or plain ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DURATIONS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_CHART: Final = (120, 28)
"""Width and height of a chart's coordinates; its size on the page is the style's affair."""


def size_text(size: float) -> str:
    """``512 B``, ``1.00 MiB`` (weed/util/bytes.go: BytesToHumanReadable)."""
    if size < 1024:
        return f"{int(size)} B"
    value, unit = size / 1024, _UNITS[0]
    for larger in _UNITS[1:]:
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.2f} {unit}"


def count_text(count: int) -> str:
    """``1,234,567``."""
    return f"{count:,}"


def rate_text(rate: float) -> str:
    """``0``, ``0.4``, ``37``, ``1,204``: per second."""
    return f"{rate:.1f}" if 0 < rate < 9.95 else f"{rate:,.0f}"


def duration_text(seconds: float) -> str:
    """The two largest units: ``2d 3h``, ``6m 30s``, ``0s``."""
    left = int(max(0, seconds))
    parts: list[str] = []
    for length, unit in _DURATIONS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count}{unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0")) or "0s"


def ago(second: float, now: float) -> str:
    """A time element: how long ago, and the moment itself for whoever points at it."""
    if second <= 0:
        return "&ndash;"
    moment = datetime.fromtimestamp(min(second, 253_402_300_799), UTC)
    seconds = now - second
    words = f"{duration_text(seconds)} ago" if seconds >= 1 else "just now"
    exact = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<time datetime="{moment.isoformat()}" title="{exact}">{words}</time>'


def clock_text(second: float) -> str:
    """``2026-11-24 20:05:07 UTC``."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def bar(share: float, words: str, kind: str = "") -> str:
    """A filled bar; ``share`` of 0 to 1 is cut to that. ``words`` are what it means."""
    width = round(100 * min(1.0, max(0.0, share)), 1)
    return (
        f'<svg class="bar {kind}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}"><rect class="track" width="100" height="6"/>'
        f'<rect class="fill" width="{width}" height="6"/></svg>'
    )


def chart(values: Sequence[float], slots: int, words: str) -> str:
    """A line with its area; the newest value is at the right edge, ``slots`` values fill it."""
    width, height = _CHART
    peak = max([*values, 0.0])
    points = []
    for index, value in enumerate(values):
        x = width * (1 - (len(values) - 1 - index) / max(1, slots - 1))
        y = height - 1 - (height - 3) * (value / peak if peak else 0)
        if math.isfinite(y):
            points.append(f"{x:.1f},{y:.1f}")
    line = area = ""
    if points:
        line = f'<polyline class="line" points="{" ".join(points)}"/>'
        first, last = points[0].split(",")[0], points[-1].split(",")[0]
        area = (
            f'<polygon class="area" points="{first},{height} {" ".join(points)} {last},{height}"/>'
        )
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}">{area}{line}</svg>'
    )
