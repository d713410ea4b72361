"""Where a new volume goes, how many a location takes, and how wide its offsets are.

Sources of the rules: ``weed/storage/store.go``: addVolume, FindFreeLocation, MaybeAdjustVolumeMax.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from fastvol.errors import NoSpaceError
from fastvol.formats import disk_type as disk_types
from fastvol.formats import file_names
from fastvol.store.discovery import has_shards
from fastvol.store.reports import is_local

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.volume_table import VolumeTable
    from fastvol.volume.volume import Volume

_SLOTS_UNLIMITED: Final = 1 << 30


class Placement:
    """The rules over one store's locations; callers see to it that one asks at a time."""

    def __init__(self, locations: Sequence[DiskLocation], table: VolumeTable) -> None:
        self._locations = locations
        self._table = table

    def for_new_volume(self, disk_type: str) -> DiskLocation:
        """The location of this disk type with the fewest local volumes, the first of several.

        A maximum of 0 (automatic, not known yet) does not limit.  :exc:`NoSpaceError`.
        """
        candidates = [
            location
            for location in self._usable(disk_type)
            if location.max_volume_count == 0 or self._free_slots(location) > 0
        ]
        if not candidates:
            raise NoSpaceError("No more free space left")
        return min(candidates, key=self._local_count)

    def for_copied_volume(
        self, disk_type: str, volume_id: int, needed_bytes: int
    ) -> DiskLocation | None:
        """The location of this disk type with the most free slots; None when all are full.

        A copy that is there already makes room for its successor.  Here an automatic maximum that is
        not known yet means no room.
        """

        def slots(location: DiskLocation) -> int:
            present = self._table.copy_on(location.disk_id, volume_id)
            return self._free_slots(location) + (present is not None)

        candidates = [
            location
            for location in self._usable(disk_type)
            if slots(location) > 0 and location.status().free > needed_bytes
        ]
        return max(candidates, key=slots, default=None)

    def for_staged_volume(self, disk_type: str, volume_id: int) -> DiskLocation | None:
        """As for a copied one, where no shard of that volume lies; None when there is no room."""
        candidates = [
            location
            for location in self._usable(disk_type)
            if self._free_slots(location) > 0 and not has_shards(location.directory, volume_id)
        ]
        return max(candidates, key=self._free_slots, default=None)

    def for_shards(self, collection: str, volume_id: int) -> DiskLocation | None:
        """Where shards of an erasure-coded volume go: beside their index, else on a hard disk.

        (weed/storage/store_ec.go: FindEcShardTargetLocation.)  None when there is no room.
        """

        def rank(location: DiskLocation) -> tuple[bool, bool, int]:
            has_index = location.files(collection, volume_id).data(file_names.ECX).exists()
            return has_index, location.disk_type == disk_types.normalize(""), slots(location)

        def slots(location: DiskLocation) -> int:
            if location.max_volume_count <= 0:
                return _SLOTS_UNLIMITED
            return self._free_slots(location)

        candidates = [
            location
            for location in self._locations
            if location.takes_volumes() and slots(location) > 0
        ]
        return max(candidates, key=rank, default=None)

    def _usable(self, disk_type: str) -> Iterable[DiskLocation]:
        wanted = disk_types.normalize(disk_type)
        return (
            location
            for location in self._locations
            if location.disk_type == wanted and location.takes_volumes()
        )

    def _free_slots(self, location: DiskLocation) -> int:
        return location.max_volume_count - self._table.count(location.disk_id)

    def _local_count(self, location: DiskLocation) -> int:
        return sum(map(is_local, self._table.on_disk(location.disk_id)))

    def adjust_maxima(self, size_limit: int, *, preallocated: bool) -> bool:
        """Adapts automatic maxima to the free space; True when one changed.

        ``size_limit`` is what a volume may grow to, in bytes; with 0 nothing is adapted.
        """
        changed = False
        for location in self._locations:
            if size_limit == 0 or location.configured_max_volume_count != 0:
                continue
            maximum = self._automatic_max(location, size_limit, preallocated=preallocated)
            changed = changed or maximum != location.max_volume_count
            location.max_volume_count = maximum
        return changed

    def _automatic_max(self, location: DiskLocation, size_limit: int, *, preallocated: bool) -> int:
        volumes = self._table.on_disk(location.disk_id)
        unclaimed = location.status().free
        if not preallocated:
            unclaimed -= sum(
                max(0, size_limit - volume.dat_size - volume.idx_size)
                for volume in volumes
                if not volume.read_only
            )
        room = unclaimed // size_limit if unclaimed > 0 else 0
        return max(1, len(volumes) + room)

    def neighbours_offset_width(self, location: DiskLocation | None) -> int | None:
        """The width that most volumes of the location have, else most of the store, else None."""
        beside = self._table.on_disk(location.disk_id) if location is not None else []
        for neighbours in (beside, self._table.volumes()):
            width = _most_common_width(neighbours)
            if width is not None:
                return width
        return None


def _most_common_width(volumes: Sequence[Volume]) -> int | None:
    widths = Counter(int(volume.offset_width) for volume in volumes)
    return widths.most_common(1)[0][0] if widths else None
