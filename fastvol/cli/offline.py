"""What the offline tools share: which volumes a command line names, and telling how far the work is."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.errors import FastvolError, StorageError, UsageError, reason_of
from fastvol.formats.file_names import DAT, parse_base_name
from fastvol.store.directory_lock import DirectoryLock
from fastvol.volume.files import VolumeFiles

EXIT_PROBLEMS: Final = 1
EXIT_CANNOT: Final = 2

_REFRESH_SECONDS: Final = 0.1


Body = Callable[[ParsedFlags, GlobalOptions], int]


def offline_body(name: str, body: Body) -> Body:
    """``body`` with its failures told in one line: exit status 2."""

    def run(parsed: ParsedFlags, options: GlobalOptions) -> int:
        try:
            return body(parsed, options)
        except UsageError:
            raise
        except BrokenPipeError:
            sys.stderr.close()  # whoever read the output has seen enough; nothing more to tell
        except (FastvolError, OSError, MemoryError) as error:
            complain(name, error)
        except KeyboardInterrupt:
            print(f"\nfastvol {name}: interrupted", file=sys.stderr)
        return EXIT_CANNOT

    return run


def volume_choice_flags() -> list[Flag]:
    """The flags by which volumes are chosen; none of them is read from the environment."""
    return [
        Flag("dir", "string", ".", "directory of the data files", from_environment=False),
        Flag(
            "dir.idx",
            "string",
            "",
            "directory of the index files; empty: beside the data",
            from_environment=False,
        ),
        Flag("collection", "string", "", "only this collection", from_environment=False),
        Flag("volumeId", "int", 0, "only this volume; 0: all", from_environment=False),
    ]


def chosen_volumes(parsed: ParsedFlags) -> list[VolumeFiles]:
    """The volumes that flags and arguments (directories or data files) name, by path.

    Raises:
        StorageError: a directory or file is not there, or no volume is left.
        UsageError: a flag stands behind the arguments.
    """
    places = parsed.arguments or [str(parsed.values["dir"])]
    for place in places:
        if place.startswith("-"):
            raise UsageError(f"flags go before the arguments: {place}")
    index_directory = str(parsed.values["dir.idx"])
    found = [
        files
        for place in places
        for files in find_volumes(Path(place), Path(index_directory) if index_directory else None)
        if _is_wanted(files, parsed)
    ]
    if not found:
        volume_id = parsed.values["volumeId"]
        what = f"volume {volume_id}" if volume_id else "volume"
        raise StorageError(f"no {what} in {', '.join(places)}")
    return found


def _is_wanted(files: VolumeFiles, parsed: ParsedFlags) -> bool:
    if parsed.values["volumeId"] not in (0, files.volume_id):
        return False
    return "collection" not in parsed.given or parsed.values["collection"] == files.collection


def find_volumes(place: Path, index_directory: Path | None = None) -> list[VolumeFiles]:
    """The volumes of a directory by their ids, or the one of a data file.

    Raises:
        StorageError: there is no such directory or file, or it is no data file's name.
    """
    if place.is_dir():
        try:
            paths = sorted(place.glob(f"*{DAT}"))
        except OSError as error:
            raise StorageError(f"cannot read {reason_of(error)}") from error
        found = [files for path in paths if (files := _files_of(path, index_directory))]
        return sorted(found, key=lambda files: (files.volume_id, files.collection))
    if not place.exists():
        raise StorageError(f"{place}: no such file or directory")
    files = _files_of(place, index_directory)
    if files is None:
        raise StorageError(f"{place}: not the name of a volume's data file")
    return [files]


def _files_of(path: Path, index_directory: Path | None) -> VolumeFiles | None:
    if path.suffix != DAT:
        return None
    try:
        collection, volume_id = parse_base_name(path.name.removesuffix(DAT))
    except ValueError:
        return None
    return VolumeFiles.of(path.parent, index_directory or path.parent, collection, volume_id)


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


def json_flag() -> Flag:
    """``-json``, which every tool has."""
    return Flag("json", "bool", False, "print one JSON document", from_environment=False)


def one_volume(parsed: ParsedFlags) -> VolumeFiles:
    """The one volume that flags and arguments name.

    Raises:
        StorageError, UsageError: as :func:`chosen_volumes`, and when there are several.
    """
    found = chosen_volumes(parsed)
    if len(found) > 1:
        names = ", ".join(files.base for files in found)
        raise UsageError(f"which volume? -volumeId and -collection tell: {names}")
    return found[0]


@contextmanager
def locked(volumes: Sequence[VolumeFiles]) -> Iterator[None]:
    """Keeps servers away from the directories of these volumes.

    Raises:
        StorageError: a server has one of them.
    """
    with contextlib.ExitStack() as stack:
        for directory in dict.fromkeys(files.directory.resolve() for files in volumes):
            stack.enter_context(DirectoryLock(directory))
        yield


def complain(name: str, problem: BaseException) -> None:
    """One line on standard error."""
    print(f"fastvol {name}: {reason_of(problem) or type(problem).__name__}", file=sys.stderr)


def print_json(document: Any) -> None:
    """The one document of ``-json``."""
    json.dump(document, sys.stdout, indent=2)
    print()


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
