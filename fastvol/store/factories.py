"""How a store opens and creates volumes; tests put others in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from fastvol.formats.replica_placement import ReplicaPlacement
    from fastvol.formats.ttl import TTL
    from fastvol.volume.volume import Volume


class OpenVolume(Protocol):
    """Opens an existing volume: ``Volume.open``."""

    def __call__(
        self,
        directory: Path,
        index_directory: Path,
        collection: str,
        volume_id: int,
        /,
        *,
        default_offset_width: int,
    ) -> Volume: ...


class CreateVolume(Protocol):
    """Creates an empty volume: ``Volume.create``."""

    def __call__(
        self,
        directory: Path,
        index_directory: Path,
        collection: str,
        volume_id: int,
        /,
        *,
        replica_placement: ReplicaPlacement,
        ttl: TTL,
        version: int,
        offset_width: int,
        preallocate: int,
    ) -> Volume: ...
