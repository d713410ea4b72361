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


def default_open(
    directory: Path,
    index_directory: Path,
    collection: str,
    volume_id: int,
    /,
    *,
    default_offset_width: int,
) -> Volume:
    from fastvol.volume.volume import Volume

    return Volume.open(
        directory,
        index_directory,
        collection,
        volume_id,
        default_offset_width=default_offset_width,
    )


def default_create(
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
) -> Volume:
    from fastvol.volume.volume import Volume

    return Volume.create(
        directory,
        index_directory,
        collection,
        volume_id,
        replica_placement=replica_placement,
        ttl=ttl,
        version=version,
        offset_width=offset_width,
        preallocate=preallocate,
    )
