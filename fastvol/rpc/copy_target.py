"""Copying a volume from another server to this one. Source: weed/server/volume_grpc_copy.go:
VolumeCopy.

How the files arrive and when the old copy goes: :mod:`fastvol.store.incoming`.  A caller who leaves
ends the copy, and so does whatever fails: then nothing has changed here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc

from fastvol._cffi.volume import write_behind
from fastvol.cluster.channel import ChannelPool, error_text
from fastvol.cluster.file_fetch import fetch_file
from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import FastvolError, NoSpaceError, StorageError, reason_of
from fastvol.formats import disk_type as disk_types
from fastvol.formats import file_names
from fastvol.limits import COPY_REPORT_BYTES, MIB, WRITE_BEHIND_BYTES
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.copy_source import check_collection
from fastvol.rpc.service import Handler
from fastvol.rpc.source_guard import check_source
from fastvol.rpc.status import StatusError, wrap
from fastvol.rpc.threads import on_threads, to_the_end
from fastvol.store.incoming import IncomingVolume
from fastvol.volume.last_append import last_append_ns
from fastvol.volume.received import write_chunks
from fastvol.volume.throttle import Throttle

if TYPE_CHECKING:
    from fastvol.cluster.master_client import MasterClient
    from fastvol.rpc.streams import ReplySender
    from fastvol.store.disk_location import DiskLocation
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume

_METHODS: Final = pb.DESCRIPTOR.services_by_name["VolumeServer"].methods_by_name
_VIF_BYTES_MAX: Final = MIB
_NS: Final = 1_000_000_000
_UINT64_MASK: Final = 2**64 - 1

log = logging.getLogger(__name__)


class CopyTargetHandlers:
    """Handlers over ``store``.

    ``masters`` None is a node that has none to ask; ``bytes_per_second`` limits a copy whose caller
    names no limit (0: none); ``trusts_callers`` switches the check of source addresses off.
    """

    def __init__(
        self,
        store: Store,
        channels: ChannelPool,
        masters: MasterClient | None,
        *,
        bytes_per_second: int = 0,
        trusts_callers: bool = False,
    ):
        self._store = store
        self._channels = channels
        self._masters = masters
        self._bytes_per_second = bytes_per_second
        self._trusts_callers = trusts_callers

    def table(self) -> Mapping[str, Handler]:
        """Method name to handler."""
        return {"VolumeCopy": self.copy_volume}

    async def copy_volume(self, request: pb.VolumeCopyRequest, send: ReplySender) -> None:
        """Fetches a volume, mounts it, and tells the append time of its last record."""
        source = ServerAddress(request.source_data_node)
        resolved = []
        if not self._trusts_callers:
            resolved = await check_source(source.text, "source data node")
        rate = request.io_byte_per_second
        channel = await self._channels.open(source, resolved)
        try:
            copy = _VolumeCopy(
                self._store,
                self._channels,
                channel,
                source,
                request,
                throttle=Throttle(rate if rate > 0 else self._bytes_per_second),
                send=send,
            )
            last_append = await copy.run(await self._preallocation())
        finally:
            await channel.close(None)
        await send.write(pb.VolumeCopyResponse(last_append_at_ns=last_append))

    async def _preallocation(self) -> int:
        """Bytes to reserve for a volume's data, as the master says."""
        if self._masters is None:
            return 0
        try:
            answer = await self._masters.configuration(self._masters.current)
        except (grpc.RpcError, FastvolError) as error:
            log.warning("get master %s configuration: %s", self._masters.current, error_text(error))
            return 0
        return answer.volume_size_limit_m_b * MIB if answer.volume_preallocate else 0


class _VolumeCopy:
    """One copy."""

    def __init__(
        self,
        store: Store,
        channels: ChannelPool,
        channel: grpc.aio.Channel,
        source: ServerAddress,
        request: pb.VolumeCopyRequest,
        *,
        throttle: Throttle,
        send: ReplySender,
    ) -> None:
        self._store = store
        self._channels = channels
        self._channel = channel
        self._source = source
        self._request = request
        self._throttle = throttle
        self._send = send
        self._volume_id = request.volume_id

    async def run(self, preallocate: int) -> int:
        """Append time of the last record in nanoseconds."""
        before = await self._status_before()
        origin = await self._file_status()
        check_collection(origin.collection)  # it becomes a part of file names
        is_remote = bool(origin.volume_info.files)
        location = await asyncio.to_thread(self._choose_location, origin, is_remote=is_remote)
        incoming = IncomingVolume(location, origin.collection, self._volume_id)
        async with on_threads(self._store.receiving(self._volume_id)):
            await to_the_end(incoming.begin)
            try:
                await self._fetch_all(incoming, origin, 0 if is_remote else preallocate)
                after = await self._status_after()
                last_append = await to_the_end(
                    partial(self._settle, incoming, origin, is_remote=is_remote)
                )
            except BaseException:
                await to_the_end(incoming.discard)
                raise
            await to_the_end(self._adopt, incoming, before, after)
        return last_append

    # --- what the source says -------------------------------------------------------------------

    async def _status_before(self) -> pb.VolumeStatusResponse | None:
        try:
            return await self._status()
        except grpc.RpcError as error:
            log.warning(
                "volume %d on %s: status before its copy: %s",
                self._volume_id,
                self._source,
                error_text(error),
            )
            return None

    async def _status_after(self) -> pb.VolumeStatusResponse:
        try:
            return await self._status()
        except grpc.RpcError as error:
            prefix = f"read source volume {self._volume_id} status after copy failed: "
            raise wrap(prefix, error) from error

    async def _status(self) -> pb.VolumeStatusResponse:
        answer: pb.VolumeStatusResponse = await self._channels.call(
            self._source,
            _METHODS["VolumeStatus"],
            pb.VolumeStatusRequest(volume_id=self._volume_id),
            via=self._channel,
        )
        return answer

    async def _file_status(self) -> pb.ReadVolumeFileStatusResponse:
        try:
            answer: pb.ReadVolumeFileStatusResponse = await self._channels.call(
                self._source,
                _METHODS["ReadVolumeFileStatus"],
                pb.ReadVolumeFileStatusRequest(volume_id=self._volume_id),
                via=self._channel,
            )
        except grpc.RpcError as error:
            raise wrap("read volume file status failed, ", error) from error
        return answer

    def _choose_location(
        self, origin: pb.ReadVolumeFileStatusResponse, *, is_remote: bool
    ) -> DiskLocation:
        disk_type = self._request.disk_type or origin.disk_type
        needed = origin.idx_file_size if is_remote else origin.dat_file_size
        location = self._store.find_free_location(disk_type, self._volume_id, needed)
        if location is None:
            raise NoSpaceError(f"no space left for disk type {disk_types.readable(disk_type)}")
        return location

    # --- the files ------------------------------------------------------------------------------

    async def _fetch_all(
        self, incoming: IncomingVolume, origin: pb.ReadVolumeFileStatusResponse, preallocate: int
    ) -> None:
        if not origin.volume_info.files:
            await self._fetch(
                incoming,
                file_names.DAT,
                origin,
                origin.dat_file_size,
                reserve_bytes=preallocate,
            )
        await self._fetch(incoming, file_names.IDX, origin, origin.idx_file_size)
        await self._fetch(incoming, file_names.VIF, origin, _VIF_BYTES_MAX)

    async def _fetch(
        self,
        incoming: IncomingVolume,
        extension: str,
        origin: pb.ReadVolumeFileStatusResponse,
        stop: int,
        *,
        reserve_bytes: int = 0,
    ) -> None:
        request = pb.CopyFileRequest(
            volume_id=self._volume_id,
            ext=extension,
            compaction_revision=origin.compaction_revision,
            stop_offset=stop,
            collection=self._request.collection,
            ignore_source_file_not_found=extension != file_names.IDX,
        )
        path = incoming.path(extension)
        opened: list[int] = []
        try:
            await to_the_end(
                lambda: opened.append(incoming.create(extension, reserve_bytes=reserve_bytes))
            )
            modified_ns = await self._receive(request, *opened)
        except grpc.RpcError as error:
            text = f"failed to copy {extension} file: receiving {path}: {error_text(error)}"
            raise StatusError(grpc.StatusCode.UNKNOWN, text) from error
        except OSError as error:
            raise StorageError(
                f"failed to copy {extension} file: write file {path}: {reason_of(error)}"
            ) from error
        finally:
            for fd in opened:
                os.close(fd)
        if modified_ns:
            incoming.received(extension, modified_ns)
        else:
            await to_the_end(incoming.absent, extension)

    async def _receive(self, request: pb.CopyFileRequest, fd: int) -> int:
        """Writes what comes; the source's time of the file, 0 when it has none.

        The next piece is received while the last one is written.
        """
        at, modified_ns, target = 0, 0, COPY_REPORT_BYTES
        writing: asyncio.Future[None] | None = None
        try:
            async with aclosing(fetch_file(self._channel, request)) as pieces:
                async for piece in pieces:
                    modified_ns = piece.modified_ns or modified_ns
                    if writing is not None:
                        await writing
                    if at + len(piece.content) > request.stop_offset:
                        raise StorageError(
                            f"failed to copy {request.ext} file: {self._source} sends more than "
                            f"the {request.stop_offset} bytes that it announced"
                        )
                    writing = asyncio.ensure_future(to_the_end(_write, fd, at, piece.content))
                    at += len(piece.content)
                    await asyncio.sleep(self._throttle.due(len(piece.content)))
                    if request.ext == file_names.DAT and at > target:
                        await self._send.write(pb.VolumeCopyResponse(processed_bytes=at))
                        target = at + COPY_REPORT_BYTES
        finally:
            if writing is not None:
                await writing  # the descriptor is closed next
        return modified_ns

    def _settle(
        self,
        incoming: IncomingVolume,
        origin: pb.ReadVolumeFileStatusResponse,
        *,
        is_remote: bool,
    ) -> int:
        """Checks what came and makes it durable; append time of its last record."""
        self._verify(incoming, origin, is_remote=is_remote)
        last_append = self._last_append(incoming, origin, is_remote=is_remote)
        incoming.settle()
        return last_append

    # --- what came ------------------------------------------------------------------------------

    def _verify(
        self,
        incoming: IncomingVolume,
        origin: pb.ReadVolumeFileStatusResponse,
        *,
        is_remote: bool,
    ) -> None:
        idx_size = incoming.size(file_names.IDX)
        if idx_size is None and origin.idx_file_size:
            path = incoming.files.index(file_names.IDX)
            raise StorageError(f"stat idx file {path} failed: no such file or directory")
        if (idx_size or 0) != origin.idx_file_size:
            path = incoming.files.index(file_names.IDX)
            raise StorageError(
                f"idx file {path} size [{idx_size}] is not same as origin file size "
                f"[{origin.idx_file_size}]"
            )
        if is_remote:
            return
        dat_size = incoming.size(file_names.DAT)
        if dat_size is None:
            path = incoming.files.data(file_names.DAT)
            raise StorageError(f"get dat file info failed, stat {path}: no such file or directory")
        if dat_size != origin.dat_file_size:
            raise StorageError(
                f"the dat file size [{dat_size}] is not same as origin file size "
                f"[{origin.dat_file_size}]"
            )

    def _last_append(
        self,
        incoming: IncomingVolume,
        origin: pb.ReadVolumeFileStatusResponse,
        *,
        is_remote: bool,
    ) -> int:
        found = 0
        if not is_remote and origin.idx_file_size:
            try:
                found = last_append_ns(
                    incoming.path(file_names.DAT),
                    incoming.path(file_names.IDX),
                    stated_width=origin.volume_info.bytes_offset,
                    default_width=self._store.usual_offset_width(),
                )
            except (OSError, ValueError) as error:
                log.warning("volume %d: last append time: %s", self._volume_id, reason_of(error))
        if is_remote:
            # To the end of that second: there is nothing newer, and a tail could write nothing.
            return ((origin.dat_file_timestamp_seconds + 1) * _NS - 1) & _UINT64_MASK
        return found or origin.dat_file_timestamp_seconds * _NS & _UINT64_MASK

    def _adopt(
        self,
        incoming: IncomingVolume,
        before: pb.VolumeStatusResponse | None,
        after: pb.VolumeStatusResponse,
    ) -> None:
        def check(volume: Volume) -> None:
            if before is None or _counts(before) != _counts(after):
                return  # the source took writes meanwhile: whoever asked for the copy catches up
            counters = volume.counters
            for kind, ours, theirs in (
                ("file", counters.file_count, after.file_count),
                ("deleted", counters.deleted_count, after.file_deleted_count),
            ):
                if ours != theirs:
                    raise StorageError(
                        f"target {kind} count [{ours}] is not same as origin {kind} count [{theirs}]"
                    )

        try:
            self._store.adopt_volume(
                incoming, f"copying from {self._request.source_data_node}", check
            )
        except StorageError as error:
            text = f"failed to mount or validate volume {self._volume_id}: "
            raise wrap(text, error) from error


def _counts(status: pb.VolumeStatusResponse) -> tuple[int, int]:
    return status.file_count, status.file_deleted_count


def _write(fd: int, at: int, content: memoryview) -> None:
    """Writes a piece; what is complete goes to the disk while the rest is on its way."""
    end = write_chunks(fd, at, (content,))
    step = at // WRITE_BEHIND_BYTES
    if end // WRITE_BEHIND_BYTES > step:
        write_behind(fd, step * WRITE_BEHIND_BYTES, WRITE_BEHIND_BYTES)
