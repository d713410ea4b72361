"""What is checked before a call's handler runs: the white list, then maintenance mode.

Which method has which gate is part of the protocol, so the tables cover the whole service, also
the methods that are not built yet. Source: weed/server/volume_grpc_admin.go: checkGrpcAdminAuth;
weed/server/volume_server.go: CheckMaintenanceMode; gates as measured on SeaweedFS 4.48.
"""

from collections.abc import Callable
from typing import Final

from fastvol.errors import MaintenanceError, NotAuthorizedError
from fastvol.rpc.peer import peer_ip

WHITE_LISTED: Final = frozenset(
    {
        "BatchDelete",
        "VacuumVolumeCompact",
        "VacuumVolumeCommit",
        "VacuumVolumeCleanup",
        "DeleteCollection",
        "AllocateVolume",
        "VolumeMount",
        "VolumeUnmount",
        "VolumeConsolidateIndex",
        "VolumeDelete",
        "VolumeMarkReadonly",
        "VolumeMarkWritable",
        "VolumeConfigure",
        "SetState",
        "VolumeCopy",
        "ReadAllNeedles",
        "VolumeTailReceiver",
        "VolumeEcShardsGenerate",
        "VolumeEcShardsRebuild",
        "VolumeEcShardsCopy",
        "VolumeEcShardsDelete",
        "VolumeEcShardsUnmount",
        "VolumeEcShardsToVolume",
        "VolumeTierMoveDatToRemote",
        "VolumeTierMoveDatFromRemote",
        "VolumeServerLeave",
        "FetchAndWriteNeedle",
        "ScrubVolume",
        "ScrubEcVolume",
        "VolumeNeedleStatus",
    }
)
"""Methods that only white-listed peers may call."""

REFUSED_IN_MAINTENANCE: Final = frozenset(
    {
        "BatchDelete",
        "VacuumVolumeCompact",
        "VacuumVolumeCommit",
        "VacuumVolumeCleanup",
        "AllocateVolume",
        "VolumeConsolidateIndex",
        "VolumeMarkWritable",
        "VolumeConfigure",
        "VolumeCopy",
        "ReceiveFile",
        "WriteNeedleBlob",
        "VolumeEcShardsGenerate",
        "VolumeEcShardsRebuild",
        "VolumeEcShardsCopy",
        "VolumeEcBlobDelete",
        "VolumeEcShardsToVolume",
        "VolumeTierMoveDatToRemote",
        "FetchAndWriteNeedle",
    }
)
"""Methods that change data and are refused while the server is being maintained."""

CHECKED_BY_HANDLER: Final = frozenset({"VolumeMarkWritable"})
"""Maintenance is checked by the handler itself: there an unknown volume is reported first."""


class Gates:
    """The two checks, over state that others own.

    ``is_white_listed`` takes an IP text and answers True for an empty white list;
    ``in_maintenance`` tells the server's current mode; ``server_id`` appears in the refusal.
    """

    def __init__(
        self,
        is_white_listed: Callable[[str], bool],
        in_maintenance: Callable[[], bool],
        server_id: str,
    ):
        self._is_white_listed = is_white_listed
        self._in_maintenance = in_maintenance
        self._server_id = server_id

    def check(self, method: str, peer: str) -> None:
        """Let a call of ``method`` from ``peer`` (grpcio's text) pass, or raise.

        Raises NotAuthorizedError or MaintenanceError.
        """
        if method in WHITE_LISTED:
            ip = peer_ip(peer)
            if not ip:
                raise NotAuthorizedError("no peer info")
            if not self._is_white_listed(ip):
                raise NotAuthorizedError(f"not authorized: {ip}")
        if method in REFUSED_IN_MAINTENANCE and method not in CHECKED_BY_HANDLER:
            self.refuse_in_maintenance()

    def refuse_in_maintenance(self) -> None:
        """Raise MaintenanceError while the server is in maintenance mode."""
        if self._in_maintenance():
            raise MaintenanceError(f"volume server {self._server_id} is in maintenance mode")
