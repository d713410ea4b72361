"""What a store is told at its start."""

from dataclasses import dataclass, field
from pathlib import Path

from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.store.free_space import MinFreeSpace


@dataclass(frozen=True, slots=True)
class LocationOptions:
    """One data directory.

    ``max_volume_count`` 0 means: as many as the disk has room for.  ``disk_type`` is ``""`` for a
    hard disk, else a lower-case tag.
    """

    directory: Path
    max_volume_count: int
    min_free_space: MinFreeSpace = field(default_factory=MinFreeSpace)
    disk_type: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The store's share of the configuration.

    ``server_id`` is the ``-id`` flag, or empty for ``ip:port``.  ``index_directory`` is the one
    directory of all index files, None when they lie beside the data.  ``offset_width`` is that of
    volumes that do not tell and of new ones, in bytes, None when the other volumes decide.  ``index``
    says which needle maps volumes get.
    """

    ip: str
    port: int
    directories: tuple[LocationOptions, ...]
    server_id: str = ""
    index_directory: Path | None = None
    offset_width: int | None = None
    index: IndexOptions = IN_MEMORY
