"""The volume that a request names, with the texts that copying and reading RPCs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastvol.errors import VolumeNotFoundError

if TYPE_CHECKING:
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume


def mounted_volume(store: Store, volume_id: int) -> Volume:
    """The volume of this id; VolumeNotFoundError."""
    volume = store.find_volume(volume_id)
    if volume is None:
        raise VolumeNotFoundError(f"not found volume id {volume_id}")
    return volume


def readable_volume(store: Store, volume_id: int) -> Volume:
    """The same; DiskIOError when it is unavailable."""
    volume = mounted_volume(store, volume_id)
    volume.require_available()
    return volume
