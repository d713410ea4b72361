"""The data directories: one list of directories, and lists of their settings beside it.

Texts of ``weed/command/volume.go: startVolumeServer``.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from fastvol.errors import ConfigError, go_reason_of
from fastvol.formats.disk_type import normalize
from fastvol.formats.go_numbers import atoi
from fastvol.store.free_space import MinFreeSpace
from fastvol.store.options import LocationOptions

_T = TypeVar("_T")


def data_locations(
    *, directories: str, volume_counts: str, free_spaces: str, disk_types: str, tags: str
) -> tuple[LocationOptions, ...]:
    """The locations that the comma-separated texts of ``-dir``, ``-max`` and so on describe.

    Raises:
        ConfigError: a directory cannot be used, or a list does not fit the directories.
    """
    spaces = _free_spaces(free_spaces)
    paths = _directories(directories.split(","))
    count = len(paths)
    return tuple(
        LocationOptions(path, volume_count, space, normalize(disk_type), group)
        for path, volume_count, space, disk_type, group in zip(
            paths,
            _replicated(
                [_volume_count(item) for item in volume_counts.split(",")],
                count,
                "max is set by -max",
            ),
            _replicated(spaces, count, "minFreeSpacePercent is set by -minFreeSpacePercent"),
            _replicated(disk_types.split(","), count, "disk types is set by -disk"),
            _tag_groups(tags, count),
            strict=True,
        )
    )


def expand_user(text: str) -> Path:
    """A path with ``~`` and ``~user`` expanded; an unknown user stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _replicated(items: Sequence[_T], count: int, what: str) -> list[_T]:
    """One item stands for all directories; otherwise there must be one each."""
    if len(items) == 1:
        return list(items) * count
    if len(items) != count:
        raise ConfigError(f"{count} directories by -dir, but only {len(items)} {what}")
    return list(items)


def _free_spaces(text: str) -> list[MinFreeSpace]:
    spaces = []
    for item in text.split(","):
        try:
            spaces.append(MinFreeSpace.parse(item))
        except ValueError as error:
            raise ConfigError(
                f"The value specified in -minFreeSpace not a valid value {item}"
            ) from error
    return spaces


def _volume_count(item: str) -> int:
    try:
        return atoi(item)
    except ValueError as error:
        raise ConfigError(f"The max specified in -max not a valid number {item}") from error


def _directories(items: Sequence[str]) -> list[Path]:
    directories: list[Path] = []
    seen: dict[tuple[int, int], str] = {}
    for item in items:
        path = expand_user(item)
        shown = str(path) if item else ""
        try:
            status = path.stat() if item else None
        except OSError as error:
            reason = f"stat {shown}: {go_reason_of(error)}"
            raise ConfigError(f"Check Data Folder(-dir) Writable {shown} : {reason}") from error
        reason = _unusable(status)
        if reason:
            raise ConfigError(f"Check Data Folder(-dir) Writable {shown} : {reason}")
        assert status is not None
        first = seen.setdefault((status.st_dev, status.st_ino), item)
        if len(seen) == len(directories):
            raise ConfigError(f"Data Folder(-dir) {first} and {item} are the same directory")
        directories.append(path)
    return directories


def _unusable(status: os.stat_result | None) -> str:
    if status is None:
        return "stat : no such file or directory"
    if not stat.S_ISDIR(status.st_mode):
        return "Not a valid folder!"
    return "" if status.st_mode & stat.S_IWUSR else "Not writable!"


def _tag_groups(text: str, count: int) -> list[tuple[str, ...]]:
    """One group goes to every directory; of several, each goes to its own."""
    groups = [_tags(group) for group in text.split(",")]
    if len(groups) == 1:
        return groups * count
    return [groups[number] if number < len(groups) else () for number in range(count)]


def _tags(group: str) -> tuple[str, ...]:
    names = (name.strip().lower() for name in group.split(":"))
    return tuple(dict.fromkeys(name for name in names if name))
