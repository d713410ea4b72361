"""Scrubbing by gRPC. Source: weed/server/volume_grpc_scrub.go: ScrubVolume.

What a scrub looks at and how it words its findings: :mod:`fastvol.volume.scrub`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import grpc

from fastvol.cluster.channel import error_text
from fastvol.errors import FastvolError, StorageError, VolumeClosedError, VolumeNotFoundError
from fastvol.observability.operation_stats import ScrubStats
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.volume.scrub import ScrubControl, ScrubResult, parse_mode, scrub_volume
from fastvol.volume.throttle import Throttle

if TYPE_CHECKING:
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

MarkReadOnly = Callable[[pb.VolumeMarkReadonlyRequest], Awaitable[object]]


class ScrubHandlers:
    """Handlers over ``store``.

    ``mark_read_only`` is the handler of VolumeMarkReadonly; ``bytes_per_second`` limits all reading of
    one call, 0 is no limit.
    """

    def __init__(
        self,
        store: Store,
        mark_read_only: MarkReadOnly,
        stats: ScrubStats | None = None,
        *,
        bytes_per_second: int = 0,
    ):
        self._store = store
        self._mark_read_only = mark_read_only
        self._stats = stats or ScrubStats()
        self._bytes_per_second = bytes_per_second

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"ScrubVolume": self.scrub}

    async def scrub(self, request: pb.ScrubVolumeRequest) -> pb.ScrubVolumeResponse:
        """Look at the volumes named, or at all; a caller who leaves ends it."""
        gone = threading.Event()
        try:
            result = await asyncio.to_thread(self._scrub, request, gone)
        finally:
            gone.set()
        details = list(result.details)
        if result.omitted:
            details.append(f"{result.omitted} more findings are left out")
        if request.mark_broken_volumes_readonly:
            details += await self._mark(result.broken_volume_ids)
        return pb.ScrubVolumeResponse(
            total_volumes=result.total_volumes,
            total_files=result.total_files,
            broken_volume_ids=result.broken_volume_ids,
            details=details,
        )

    def _scrub(self, request: pb.ScrubVolumeRequest, gone: threading.Event) -> ScrubResult:
        control = ScrubControl(throttle=Throttle(self._bytes_per_second), cancelled=gone.is_set)
        total = ScrubResult()
        named = list(request.volume_ids)
        for volume in self._volumes(named):
            mode = parse_mode(request.mode)
            try:
                total.add(scrub_volume(volume, mode, control))
            except VolumeClosedError:
                if named:
                    raise VolumeNotFoundError(f"volume id {volume.id} not found") from None
        self._stats.ended(_mode_name(request.mode), bad_volumes=len(total.broken_volume_ids))
        return total

    def _volumes(self, named: list[int]) -> list[Volume]:
        if not named:
            return [
                volume
                for location in self._store.locations
                for volume in self._store.table.on_disk(location.disk_id)
            ]
        found = []
        for volume_id in named:
            volume = self._store.find_volume(volume_id)
            if volume is None:
                raise VolumeNotFoundError(f"volume id {volume_id} not found")
            found.append(volume)
        return found

    async def _mark(self, broken: list[int]) -> list[str]:
        """Marks volumes read-only for good; sentences about those that are."""
        done, failures = [], []
        for volume_id in broken:
            request = pb.VolumeMarkReadonlyRequest(volume_id=volume_id, persist=True)
            try:
                await self._mark_read_only(request)
            except (FastvolError, grpc.RpcError) as error:
                failures.append(error_text(error))
            else:
                done.append(f"volume {volume_id} is now read-only")
        if failures:
            raise StorageError("\n".join(failures))
        return done


def _mode_name(mode: int) -> str:
    """As its metric is labelled: the name, or the number of one without a name."""
    try:
        return pb.VolumeScrubMode.Name(mode)
    except ValueError:
        return str(mode)
