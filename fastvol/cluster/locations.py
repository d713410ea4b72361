"""Where the copies of a volume are, as the master tells.

Reads of volumes that are elsewhere may use what was told in the last ten minutes; a replicated write
or delete asks anew each time, because a copy that has become read-only must not be written. Source:
weed/operation/lookup.go, lookup_vid_cache.go; weed/topology/store_replicate.go:
GetWritableRemoteReplications.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fastvol.errors import MasterError
from fastvol.limits import LOCATION_CACHE_ENTRIES_MAX, LOCATION_CACHE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from fastvol.pb import master_pb2


@dataclass(frozen=True, slots=True)
class Location:
    """One copy; ``url`` is ``host:port``."""

    url: str
    read_only: bool = False
    read_only_can_delete: bool = False


class Lookup(Protocol):
    """Who knows where volumes are."""

    async def lookup_volume(
        self, volume_ids: Iterable[int], *, timeout_seconds: float | None = None
    ) -> master_pb2.LookupVolumeResponse:
        """An entry for each volume; :exc:`MasterError` when there is no answer."""


class NoEntryError(MasterError):
    """The master's answer does not mention the volume."""


class VolumeLocations:
    """Asks for locations and remembers them; belongs to one event loop."""

    def __init__(
        self,
        lookup: Callable[[int], Awaitable[master_pb2.LookupVolumeResponse]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``lookup`` asks the master and raises :exc:`MasterError`."""
        self._lookup = lookup
        self._clock = clock
        self._known: OrderedDict[int, tuple[float, tuple[Location, ...]]] = OrderedDict()

    async def fresh(self, volume_id: int) -> tuple[Location, ...]:
        """What the master says now; empty when it knows no such volume.

        Raises:
            MasterError: it did not answer; NoEntryError: it answered about something else.
        """
        answer = await self._lookup(volume_id)
        for entry in answer.volume_id_locations:
            if entry.volume_or_file_id != str(volume_id):
                continue
            found = tuple(
                Location(one.url, one.read_only, one.read_only_can_delete)
                for one in entry.locations
            )
            self._remember(volume_id, () if entry.error else found)
            return () if entry.error else found
        raise NoEntryError(f"no entry for {volume_id}")

    async def recent(self, volume_id: int) -> tuple[Location, ...]:
        """What it said in the last ten minutes, else what it says now.

        Raises:
            MasterError
        """
        told, known = self._known.get(volume_id, (0.0, ()))
        if known and self._clock() - told < LOCATION_CACHE_SECONDS:
            return known
        return await self.fresh(volume_id)

    def forget(self, volume_id: int) -> None:
        """What was told turned out not to hold."""
        self._known.pop(volume_id, None)

    def _remember(self, volume_id: int, found: tuple[Location, ...]) -> None:
        self._known.pop(volume_id, None)
        if not found or volume_id == 0:
            return
        self._known[volume_id] = (self._clock(), found)
        if len(self._known) > LOCATION_CACHE_ENTRIES_MAX:
            self._known.popitem(last=False)
