"""Stores of fake volumes, filled and looked into, for the tests of the store layer."""

from collections.abc import Callable
from pathlib import Path

from fake_volume import NO_REPLICAS, FakeVolume

from fastvol.formats.ttl import EMPTY, TTL
from fastvol.store.store import Store, VolumeEvent

MakeStore = Callable[..., Store]
Record = Callable[[Store], list[VolumeEvent]]


def add(
    store: Store, volume_id: int, collection: str = "", ttl: TTL = EMPTY, **options: object
) -> FakeVolume:
    return store.add_volume(volume_id, collection, NO_REPLICAS, ttl, **options)


def names(directory: Path) -> set[str]:
    """The files of a directory."""
    return {path.name for path in directory.iterdir()}


def kinds(events: list[VolumeEvent]) -> list[tuple[str, int, int]]:
    """What happened, to which volume, on which disk."""
    return [(event.kind, event.volume.id, event.volume.disk_id) for event in events]
