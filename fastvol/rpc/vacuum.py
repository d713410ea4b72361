"""Vacuum, as the master drives it. Source: weed/server/volume_grpc_vacuum.go."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import grpc

from fastvol.errors import StorageError
from fastvol.limits import MIB
from fastvol.observability.operation_stats import VacuumStats
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler
from fastvol.rpc.status import StatusError, wrap

if TYPE_CHECKING:
    from fastvol.store.store import Store
    from fastvol.store.vacuuming import Vacuuming

_REPORT_EVERY_BYTES: Final = 128 * MIB


class VacuumHandlers:
    """Handlers over ``store`` and its vacuums."""

    def __init__(self, store: Store, vacuuming: Vacuuming, stats: VacuumStats | None = None):
        self._store = store
        self._stats = stats or VacuumStats()
        self._vacuuming = vacuuming

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "VacuumVolumeCheck": self.check,
            "VacuumVolumeCompact": self.compact,
            "VacuumVolumeCommit": self.commit,
            "VacuumVolumeCleanup": self.cleanup,
        }

    def check(self, request: pb.VacuumVolumeCheckRequest) -> pb.VacuumVolumeCheckResponse:
        """How much of a volume is garbage, 0 to 1."""
        volume = self._store.find_volume(request.volume_id)
        if volume is None:
            text = f"volume id {request.volume_id} is not found during check compact"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"{text}: volume not found")
        return pb.VacuumVolumeCheckResponse(garbage_ratio=volume.garbage_ratio())

    def compact(
        self,
        request: pb.VacuumVolumeCompactRequest,
        send: Callable[[pb.VacuumVolumeCompactResponse], bool],
    ) -> None:
        """Build the new files, reporting now and then; a caller who leaves ends it."""
        target = _REPORT_EVERY_BYTES

        def progress(offset: int) -> bool:
            nonlocal target
            if offset <= target:
                return True
            target = offset + _REPORT_EVERY_BYTES
            return send(pb.VacuumVolumeCompactResponse(processed_bytes=offset, load_avg_1m=_load()))

        try:
            with self._stats.compacting():
                self._vacuuming.compact(
                    request.volume_id, preallocate=request.preallocate, progress=progress
                )
        except StorageError as error:
            raise wrap(f"compact volume {request.volume_id}: ", error, store=True) from error

    def commit(self, request: pb.VacuumVolumeCommitRequest) -> pb.VacuumVolumeCommitResponse:
        """Swap the new files in."""
        try:
            with self._stats.committing():
                done = self._vacuuming.commit(request.volume_id)
        except StorageError as error:
            raise wrap(f"commit compact volume {request.volume_id}: ", error, store=True) from error
        return pb.VacuumVolumeCommitResponse(
            is_read_only=done.was_read_only, volume_size=done.dat_size
        )

    def cleanup(self, request: pb.VacuumVolumeCleanupRequest) -> pb.VacuumVolumeCleanupResponse:
        """Remove what was built and not committed."""
        try:
            self._vacuuming.cleanup(request.volume_id)
        except StorageError as error:
            raise wrap(f"cleanup volume {request.volume_id}: ", error, store=True) from error
        return pb.VacuumVolumeCleanupResponse()


def _load() -> float:
    """Load average of the last minute for each processor."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
