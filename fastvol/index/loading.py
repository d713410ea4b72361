"""From an index file to the needle map of a volume, by the ``-index`` flag.

| ``-index`` | takes writes | takes only deletions, or nothing |
| --- | --- | --- |
| ``memory`` | compact map | compact map |
| ``leveldb...`` | LevelDB | sorted file |

Upstream has the sorted file for every volume that takes no writes; with ``memory`` the compact map
costs 10 bytes a needle, and keeps look-ups off the disk. A map on the disk is a cache of the index:
when there can be none, the volume is served with a compact map all the same.
"""

import logging
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.needle_map import NeedleCounters, NeedleMap
from fastvol._cffi.sorted_map import IndexFigures
from fastvol.errors import DiskIOError
from fastvol.index.kinds import IndexOptions
from fastvol.index.sorted_file import open_sorted_map

log = logging.getLogger(__name__)


class Access(Enum):
    """What changes the volume takes."""

    WRITE = auto()
    DELETE = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class LoadedMap:
    """A map and what it counted."""

    needle_map: NeedleMap
    counters: NeedleCounters


def is_loaded_into_memory(idx_path: Path | None, options: IndexOptions) -> bool:
    """Whether a volume gets a compact map, and not only where no other can be had."""
    return options.kind == "memory" or idx_path is None


def load_needle_map(
    idx_fd: int,
    idx_path: Path | None,
    *,
    width: int,
    version: int,
    options: IndexOptions,
    access: Access,
) -> LoadedMap:
    """Loads or opens the map of an index that nobody appends to meanwhile.

    Args:
        idx_fd: not taken over.
        idx_path: beside which a map on the disk belongs; None when the index is in no file.
        width: bytes of an offset.
        version: of the needles, 1 to 3.

    Raises:
        OSError, StorageError: the index cannot be read; MemoryError, ValueError.
    """
    if idx_path is not None and not is_loaded_into_memory(idx_path, options):
        figures = IndexFigures(idx_fd, width, version)
        try:
            opened = _open_on_disk(idx_fd, idx_path, width, figures, options=options, access=access)
        except (OSError, DiskIOError) as error:
            log.error("%s: its map is kept in memory: %s", idx_path, error)
        else:
            return LoadedMap(opened, figures.counters)
    needle_map = CompactMap()
    return LoadedMap(needle_map, needle_map.load(idx_fd, width, version))


def prepare_needle_map(idx_fd: int, path: Path, *, width: int, options: IndexOptions) -> bool:
    """Builds a map that would take long to build while writers wait; whether there is one now.

    Args:
        idx_fd: of an index that may still grow; not taken over.
        path: of the LevelDB.
    """
    if options.kind == "memory":
        return False
    from fastvol.index.leveldb_map import build_leveldb_map

    try:
        build_leveldb_map(path, idx_fd, width, options)
    except OSError as error:
        log.warning("%s: %s", path, error)
        return False
    return True


def _open_on_disk(
    idx_fd: int,
    idx_path: Path,
    width: int,
    figures: IndexFigures,
    *,
    options: IndexOptions,
    access: Access,
) -> NeedleMap:
    if access is not Access.WRITE:
        return open_sorted_map(
            idx_path.with_suffix(".sdx"),
            idx_fd,
            width,
            figures,
            can_delete=access is Access.DELETE,
        )
    # Late: plyvel is only needed here.
    from fastvol.index.leveldb_map import open_leveldb_map

    return open_leveldb_map(
        idx_path.with_suffix(".ldb"), idx_fd, width, options, figures.live_count
    )
