"""Deleting needles wherever they are, by BatchDelete on every server that has a copy
(weed/operation/delete_content.go: DeleteFileIds)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import grpc

from fastvol.cluster.channel import error_text
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import MasterError, PeerError
from fastvol.formats.file_id import parse_volume_id
from fastvol.pb import master_pb2, volume_server_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastvol.cluster.channel import ChannelPool
    from fastvol.cluster.locations import Lookup

_BATCH_DELETE: Final = volume_server_pb2.DESCRIPTOR.services_by_name[
    "VolumeServer"
].methods_by_name["BatchDelete"]


async def delete_needles(masters: Lookup, channels: ChannelPool, fids: Sequence[str]) -> None:
    """Deletes needles, without a look at their cookies; those that are gone already are fine.

    Runs on the control plane's loop.

    Raises:
        PeerError: one could not be deleted, with upstream's text.
    """
    by_volume = _grouped(fids)
    by_server: dict[ServerAddress, list[str]] = {}
    for volume_id, of_volume in by_volume.items():
        for server in await _servers(masters, volume_id, of_volume[0]):
            by_server.setdefault(server, []).extend(of_volume)
    await asyncio.gather(
        *(_delete_on(channels, server, wanted) for server, wanted in by_server.items())
    )


def _grouped(fids: Sequence[str]) -> dict[int, list[str]]:
    by_volume: dict[int, list[str]] = {}
    for fid in fids:
        by_volume.setdefault(_volume_of(fid), []).append(fid)
    return by_volume


def _volume_of(fid: str) -> int:
    vid, comma, _ = fid.partition(",")
    if comma:
        with contextlib.suppress(ValueError):
            return parse_volume_id(vid)
    raise PeerError(f"chunk delete {fid}: Wrong fid format.")


async def _servers(masters: Lookup, volume_id: int, fid: str) -> list[ServerAddress]:
    try:
        answer = await masters.lookup_volume((volume_id,))
    except MasterError as error:
        raise PeerError(f"chunk delete {fid}: {error}") from error
    found = []
    for entry in answer.volume_id_locations:
        if entry.error:
            raise PeerError(f"chunk delete {fid}: {entry.error}")
        found += [_address(one) for one in entry.locations]
    return found


def _address(location: master_pb2.Location) -> ServerAddress:
    port = f".{location.grpc_port}" if location.grpc_port else ""
    return ServerAddress(f"{location.url}{port}")


async def _delete_on(channels: ChannelPool, server: ServerAddress, fids: list[str]) -> None:
    request = volume_server_pb2.BatchDeleteRequest(file_ids=fids, skip_cookie_check=True)
    try:
        answer = await channels.call(server, _BATCH_DELETE, request)
    except grpc.RpcError as error:
        raise PeerError(f"chunk delete {fids[0]}: {error_text(error)}") from error
    for result in answer.results:
        if result.error and result.status not in _GONE:
            raise PeerError(f"chunk delete {result.file_id}: {result.error}")


_GONE: Final = (404, 304)
