"""``/status`` and the health checks (weed/server/volume_server_handlers_admin.go).

Asking a disk for its room may wait as long as the disk is sick, and thousands of volumes take their
time to be written down: ``/status`` is made in a thread.
"""

from collections.abc import Awaitable

from fastvol.http.blocking import RunBlocking
from fastvol.http.go_json import Float32
from fastvol.http.query import parse_query
from fastvol.http.request import Request
from fastvol.http.response import Response, json_response
from fastvol.store.store import Store
from fastvol.version import full_version
from fastvol.volume.volume import Volume


class StatusHandler:
    """The server's own state."""

    def __init__(self, store: Store, run_blocking: RunBlocking, *, offset_width: int) -> None:
        self._store = store
        self._run_blocking = run_blocking
        self._offset_width = offset_width

    def status(self, request: Request) -> Awaitable[Response]:
        """Disks and volumes; any method, any caller."""
        pretty = bool(parse_query(request.target.raw_query).get("pretty"))
        return self._run_blocking(lambda: self._status(pretty=pretty))

    def _status(self, *, pretty: bool) -> Response:
        volumes = sorted(self._store.volumes(), key=lambda volume: volume.id)
        response = json_response(
            200,
            {
                "DiskStatuses": self._disks(),
                "Version": full_version(self._offset_width),
                "Volumes": [_volume_object(volume) for volume in volumes] or None,
            },
        )
        response.write_json(pretty=pretty)
        return response

    def health(self, _request: Request) -> Response:
        """503 while stopping, after leaving, and while a volume is unusable."""
        return Response(200 if self._store.healthy() else 503)

    def _disks(self) -> list[dict[str, object]]:
        disks = []
        for status in self._store.disk_statuses():
            entry: dict[str, object] = {
                "dir": status.dir,
                "all": status.all,
                "used": status.used,
                "free": status.free,
                "percent_free": Float32(status.percent_free),
                "percent_used": Float32(status.percent_used),
                "disk_type": status.disk_type,
                "error": status.error,
            }
            disks.append({name: value for name, value in entry.items() if value})
        return disks


def _volume_object(volume: Volume) -> dict[str, object]:
    stat = volume.stat()
    ttl = volume.ttl
    return {
        "Collection": volume.collection,
        "DiskType": volume.disk_type,
        "RemoteStorageName": volume.remote_storage[0],
        "ReplicaPlacement": volume.super_block.replica_placement.to_json(),
        "Ttl": {"Count": ttl.count, "Unit": ttl.unit},
        "Size": stat.content_size,
        "DeletedByteCount": stat.deleted_size,
        "ModifiedAtSecond": stat.modified_second,
        "Id": volume.id,
        "DiskId": volume.disk_id,
        "CompactRevision": volume.super_block.compaction_revision,
        "FileCount": stat.file_count,
        "DeleteCount": stat.deleted_count,
        "Version": volume.version,
        "ReadOnly": volume.read_only,
        "ReadOnlyCanDelete": volume.read_only_can_delete,
    }
