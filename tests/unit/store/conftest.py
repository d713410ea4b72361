"""Stores over temporary directories with fake volumes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_volume import create_fake, open_fake
from store_kit import MakeStore

from fastvol.store.free_space import MinFreeSpace
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store, VolumeEvent


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    """Makes a store over ``disks`` directories; loaded unless told otherwise, closed at the end."""
    made: list[Store] = []

    def make(
        disks: int = 1, *, maximum: int = 8, types: str = "", load: bool = True, **options: object
    ) -> Store:
        kinds = types.split(",") if types else [""] * disks
        locations = []
        for number, kind in enumerate(kinds):
            directory = tmp_path / f"disk{number}"
            directory.mkdir(exist_ok=True)
            locations.append(
                LocationOptions(directory, maximum, MinFreeSpace(percent=0), kind, ("t",))
            )
        store = Store(
            StoreOptions("127.0.0.1", 8080, tuple(locations), **options),
            open_volume=open_fake,
            create_volume=create_fake,
        )
        made.append(store)
        if load:
            store.load()
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def recorded() -> Callable[[Store], list[VolumeEvent]]:
    """Collects a store's events."""

    def record(store: Store) -> list[VolumeEvent]:
        events: list[VolumeEvent] = []
        store.on_volume_event = events.append
        return events

    return record
