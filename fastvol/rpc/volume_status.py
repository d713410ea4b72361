"""What one volume is: sizes, counts, settings.

Source: weed/server/volume_grpc_admin.go: VolumeStatus; weed/server/volume_grpc_copy.go:
ReadVolumeFileStatus; weed/storage/volume_backup.go: GetVolumeSyncStatus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastvol.errors import StorageError, VolumeClosedError, VolumeNotFoundError
from fastvol.formats.volume_info import VolumeInfo
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.service import Handler

if TYPE_CHECKING:
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume


class VolumeStatusHandlers:
    """Handlers over ``store``."""

    def __init__(self, store: Store):
        self._store = store

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {
            "VolumeStatus": self.volume_status,
            "VolumeSyncStatus": self.sync_status,
            "ReadVolumeFileStatus": self.file_status,
        }

    def volume_status(self, request: pb.VolumeStatusRequest) -> pb.VolumeStatusResponse:
        """Read-only flag, size and the needle map's running counts."""
        with self._open_volume(request.volume_id) as volume:
            return pb.VolumeStatusResponse(
                is_read_only=volume.read_only,
                volume_size=volume.dat_size,
                file_count=volume.counters.file_count,
                file_deleted_count=volume.counters.deleted_count,
            )

    def sync_status(self, request: pb.VolumeSyncStatusRequest) -> pb.VolumeSyncStatusResponse:
        """What a backup compares to decide whether it can follow incrementally."""
        with self._open_volume(request.volume_id) as volume:
            super_block = volume.super_block
            return pb.VolumeSyncStatusResponse(
                volume_id=volume.id,
                collection=volume.collection,
                replication=str(super_block.replica_placement),
                ttl=str(super_block.ttl),
                tail_offset=volume.dat_size,
                compact_revision=super_block.compaction_revision,
                idx_file_size=volume.idx_size,
                version=super_block.version,
            )

    def file_status(
        self, request: pb.ReadVolumeFileStatusRequest
    ) -> pb.ReadVolumeFileStatusResponse:
        """What a copy needs to know of its source; both times are those of the ``.dat``."""
        with self._open_volume(request.volume_id) as volume:
            return pb.ReadVolumeFileStatusResponse(
                volume_id=volume.id,
                dat_file_timestamp_seconds=volume.modified_at_second,
                dat_file_size=volume.dat_size,
                idx_file_timestamp_seconds=volume.modified_at_second,
                idx_file_size=volume.idx_size,
                file_count=volume.counters.file_count,
                compaction_revision=volume.super_block.compaction_revision,
                collection=volume.collection,
                disk_type=volume.disk_type,
                volume_info=volume_info_message(volume.info),
                version=volume.version,
            )

    @contextmanager
    def _open_volume(self, volume_id: int) -> Iterator[Volume]:
        volume = self._store.find_volume(volume_id)
        if volume is None:
            raise VolumeNotFoundError(f"not found volume id {volume_id}")
        try:
            yield volume
        except VolumeClosedError as error:
            raise StorageError(f"volume {volume_id} data backend not found") from error


def volume_info_message(info: VolumeInfo) -> pb.VolumeInfo:
    """The content of a ``.vif`` as a message."""
    message = pb.VolumeInfo(
        files=[
            pb.RemoteFile(
                backend_type=file.backend_type,
                backend_id=file.backend_id,
                key=file.key,
                offset=file.offset,
                file_size=file.file_size,
                modified_time=file.modified_time,
                extension=file.extension,
            )
            for file in info.files
        ],
        version=info.version,
        replication=info.replication,
        bytes_offset=info.bytes_offset,
        dat_file_size=info.dat_file_size,
        expire_at_sec=info.expire_at_sec,
        read_only=info.read_only,
        read_only_can_delete=info.read_only_can_delete,
    )
    if info.ec_shard_config is not None:
        shards = info.ec_shard_config
        message.ec_shard_config.CopyFrom(
            pb.EcShardConfig(
                data_shards=shards.data_shards,
                parity_shards=shards.parity_shards,
                encode_ts_ns=shards.encode_ts_ns,
                block_size=shards.block_size,
            )
        )
    return message
