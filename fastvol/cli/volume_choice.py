"""Which volumes the command line of an offline tool names."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.errors import StorageError, UsageError, reason_of
from fastvol.formats.file_names import DAT, parse_base_name
from fastvol.store.directory_lock import DirectoryLock
from fastvol.volume.files import VolumeFiles


def volume_choice_flags() -> list[Flag]:
    """The flags by which volumes are chosen."""
    return [
        Flag("dir", "string", ".", "directory of the data files"),
        Flag("dir.idx", "string", "", "directory of the index files; empty: beside the data"),
        *selection_flags(),
    ]


def selection_flags() -> list[Flag]:
    """The flags that leave volumes out; see :func:`is_selected`."""
    return [
        Flag("collection", "string", "", "only this collection"),
        Flag("volumeId", "int", 0, "only this volume; 0: all"),
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
        if is_selected(files, parsed)
    ]
    if not found:
        volume_id = parsed.values["volumeId"]
        what = f"volume {volume_id}" if volume_id else "volume"
        raise StorageError(f"no {what} in {', '.join(places)}")
    return found


def is_selected(files: VolumeFiles, parsed: ParsedFlags) -> bool:
    """Whether flags leave this volume in."""
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
