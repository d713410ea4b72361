"""An object of a remote storage becomes a needle. Source: weed/server/volume_grpc_remote.go:
FetchAndWriteNeedle.

The caller says where this server connects to, so both the storage and the replicas pass the address
guard, unless ``-volume.allowUntrustedRemoteEndpoints`` trusts callers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastvol._cffi.crc32c import crc32c
from fastvol.cluster.needle_upload import upload_copy
from fastvol.errors import (
    FastvolError,
    InvalidRequestError,
    RemoteStorageError,
    StorageError,
    VolumeReadOnlyError,
)
from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import SIZE_MAX, Needle
from fastvol.limits import REMOTE_CONCURRENCY_MAX
from fastvol.pb import volume_server_pb2 as pb
from fastvol.remote.backends import concurrency
from fastvol.remote.bucket import Bucket
from fastvol.remote.object_read import read_object
from fastvol.remote.object_types import endpoint_of, s3_settings
from fastvol.rpc.go_message import go_text
from fastvol.rpc.service import Handler
from fastvol.rpc.status import wrap
from fastvol.rpc.volumes import readable_volume
from fastvol.security.address_guard import checked_endpoint, checked_host, checked_target

if TYPE_CHECKING:
    from fastvol.cluster.peer_http import PeerHttp
    from fastvol.pb import remote_pb2
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

_OFFSET_MAX: Final = 2**63 - 1


class FetchNeedleHandlers:
    """Handlers over ``store``; ``peers`` belong to the loop that runs the handlers."""

    def __init__(self, store: Store, peers: PeerHttp, *, trusts_callers: bool = False):
        self._store = store
        self._peers = peers
        self._trusts_callers = trusts_callers

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"FetchAndWriteNeedle": self.fetch}

    async def fetch(self, request: pb.FetchAndWriteNeedleRequest) -> pb.FetchAndWriteNeedleResponse:
        """Reads the range, then writes it here and on all replicas at once.

        What is written here stays when a replica fails: the caller writes again.
        """
        volume = readable_volume(self._store, request.volume_id)
        if not self._trusts_callers:
            await _check_endpoint(request.remote_conf)
        data = await asyncio.to_thread(self._read, request)
        dialled = [await self._dialled(replica.url) for replica in request.replicas]
        await self._write_everywhere(request, volume, data, dialled)
        return pb.FetchAndWriteNeedleResponse(e_tag=f"{crc32c(data):08x}")

    # --- reading --------------------------------------------------------------------------------

    def _read(self, request: pb.FetchAndWriteNeedleRequest) -> bytearray:
        conf, location = request.remote_conf, request.remote_location
        try:
            settings = s3_settings(conf)
        except RemoteStorageError as error:
            raise wrap("get remote client: ", error) from error
        check = None if self._trusts_callers else checked_host
        bucket = Bucket(location.bucket, settings, check_host=check)
        asked = request.download_concurrency or min(conf.download_concurrency, _OFFSET_MAX)
        reading = f"read from remote {go_text(location)}: "
        size, offset = request.size, request.offset
        if not (0 < size <= SIZE_MAX and 0 <= offset <= _OFFSET_MAX - size):
            raise wrap(reading, StorageError(f"invalid range: offset {offset} size {size}"))
        try:
            return read_object(
                bucket,
                location.path,
                offset,
                size,
                min(concurrency(asked), REMOTE_CONCURRENCY_MAX),
            )
        except RemoteStorageError as error:
            raise wrap(reading, error) from error

    # --- writing --------------------------------------------------------------------------------

    async def _dialled(self, url: str) -> str:
        """The address to connect to for a replica; empty for the one that it names itself."""
        if self._trusts_callers:
            return ""
        try:
            addresses = await checked_target(url)
        except FastvolError as error:
            raise wrap("reject replica target: ", error) from error
        return f"{_bracketed(addresses[0])}:{url.rpartition(':')[2]}"

    async def _write_everywhere(
        self,
        request: pb.FetchAndWriteNeedleRequest,
        volume: Volume,
        data: bytearray,
        dialled: list[str],
    ) -> None:
        key, cookie, size = request.needle_id, request.cookie, request.size
        fid = format_file_id(request.volume_id, key, cookie)
        uploads = [
            upload_copy(self._peers, replica.url, fid, data, request.auth, dialled=address)
            for replica, address in zip(request.replicas, dialled, strict=True)
        ]
        local = asyncio.to_thread(_write_local, volume, key, cookie, data)
        ended = await asyncio.gather(local, *uploads, return_exceptions=True)
        for number, error in enumerate(ended):
            if isinstance(error, FastvolError):
                where = "remote" if number else "local"
                raise wrap(f"{where} write needle {key} size {size}: ", error) from error
            if isinstance(error, BaseException):
                raise error


def _write_local(volume: Volume, key: int, cookie: int, data: bytearray) -> None:
    if volume.read_only:
        raise VolumeReadOnlyError(f"volume {volume.id} is read only")
    volume.write(
        Needle(
            id=key,
            cookie=cookie,
            data=data,
            flags=Needle.HAS_LAST_MODIFIED,
            last_modified=int(time.time()),
            checksum=crc32c(data),
        )
    )


async def _check_endpoint(conf: remote_pb2.RemoteConf) -> None:
    """An empty endpoint is that of AWS."""
    endpoint = endpoint_of(conf)
    if not endpoint:
        return
    try:
        await checked_endpoint(endpoint)
    except InvalidRequestError as error:
        raise wrap("reject remote endpoint: ", error) from error


def _bracketed(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
