"""Text for people: how far the work is, sizes, counts and tables."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

_REFRESH_SECONDS: Final = 0.1


class ProgressLine:
    """How far the work is, on standard error and only when that is a terminal."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown_at = -_REFRESH_SECONDS
        self._console: Any = _console() if sys.stderr.isatty() else None

    def show(self, words: str) -> None:
        """Replaces what was shown before; too quick a change is left out."""
        now = self._clock()
        if self._console is None or now - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = now
        self._console(words)

    def clear(self) -> None:
        """Leaves the terminal as it was."""
        if self._console is not None and self._shown_at >= 0:
            self._console("")


@contextmanager
def byte_progress(subject: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how many bytes of how many are done, until the end of ``with``."""
    line = ProgressLine()
    try:
        yield lambda done, total: line.show(f"{subject}: {size_words(done)} of {size_words(total)}")
    finally:
        line.clear()


def _console() -> Callable[[str], None]:
    def plain(words: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{words}")
        sys.stderr.flush()

    try:
        from rich.console import Console
        from rich.control import Control
    except ImportError:
        return plain
    console = Console(stderr=True)

    def styled(words: str) -> None:
        if not console.is_terminal:
            plain(words)
            return
        console.control(Control.move_to_column(0))
        shown = words[: console.width - 1].ljust(console.width - 1)
        console.print(shown, end="", style="dim", markup=False, highlight=False)
        console.control(Control.move_to_column(0))

    return styled


def size_words(size: float) -> str:
    """``1.5 GB``: bytes for people, in powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def count_words(count: int, noun: str) -> str:
    """``1 volume``, ``2 volumes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table(rows: Sequence[Sequence[object]], *, left: int = 1) -> str:
    """Rows as aligned columns: the first ``left`` ones to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = []
    for row in cells:
        parts = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
