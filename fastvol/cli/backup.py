"""``fastvol backup``: keep a copy of a volume of a running cluster, fetching what is new.

Flags and messages are those of ``weed backup`` (weed/command/backup.go). How the copy is continued or
replaced: ``volume/backup``.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc

from fastvol.cli.command import EXIT_OK
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.cli.offline import offline_command, print_json
from fastvol.cli.volume_choice import locked
from fastvol.cluster.channel import CHANNEL_OPTIONS
from fastvol.cluster.server_address import ServerAddress, parse_addresses
from fastvol.cluster.stub import Stub
from fastvol.errors import FastvolError, MasterError, StorageError, UsageError
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.limits import MASTER_CALL_SECONDS
from fastvol.pb import master_pb2, volume_server_pb2
from fastvol.volume.backup import (
    NotContinuousError,
    append_received,
    may_continue,
    replace_copy,
    state_of_copy,
)
from fastvol.volume.files import VolumeFiles

_MASTER: Final = master_pb2.DESCRIPTOR.services_by_name["Seaweed"]
_VOLUME_SERVER: Final = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"]


def _flags() -> list[Flag]:
    return [
        Flag("dir", "string", ".", "directory of the copy"),
        Flag("volumeId", "int", -1, "the volume to copy"),
        Flag("collection", "string", "", "its collection"),
        Flag("master", "string", "localhost:9333", "comma-separated master servers"),
        Flag("server", "string", "", "older name of -master"),
        Flag("ttl", "string", "", "time to live of the copy; empty: that of the volume"),
        Flag("replication", "string", "", "replication of the copy; empty: that of the volume"),
    ]


def _backup(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    volume_id = int(parsed.values["volumeId"])
    if volume_id < 1:
        raise UsageError("-volumeId is needed")
    directory = Path(str(parsed.values["dir"]))
    files = VolumeFiles.of(directory, directory, str(parsed.values["collection"]), volume_id)
    locations = _locations(parsed, volume_id)
    as_json = bool(parsed.values["json"])
    last = ""
    with locked([files]):
        for number, location in enumerate(locations, 1):
            if not as_json:
                print(
                    f"Attempting to backup volume {volume_id} from location "
                    f"{number}/{len(locations)}: {location}"
                )
            try:
                done = _copy_from(location, files, parsed)
            except (FastvolError, grpc.RpcError) as error:
                last = _words(error)
                if not as_json:
                    print(f"Error backing up volume {volume_id} from {location}: {last}")
                continue
            if as_json:
                print_json({"volume": files.base, "source": str(location), **done})
            else:
                print(
                    f"Successfully backed up volume {volume_id} from {location}: "
                    f"{done['way']}, {done['bytes']} bytes"
                )
            return EXIT_OK
    raise StorageError(
        f"Failed to backup volume {volume_id} after trying all {len(locations)} locations. "
        f"Last error: {last}"
    )


def _words(error: BaseException) -> str:
    if isinstance(error, grpc.Call):
        return f"rpc error: {error.code().name}: {error.details()}"
    return str(error)


def _channel(address: ServerAddress) -> grpc.Channel:
    return grpc.insecure_channel(address.grpc, options=CHANNEL_OPTIONS)


def _locations(parsed: ParsedFlags, volume_id: int) -> list[ServerAddress]:
    """Where the volume is, by the first master that answers."""
    masters = parse_addresses(str(parsed.values["server"] or parsed.values["master"]))
    problem = "no master is named"
    for master in masters:
        with _channel(master) as channel:
            request = master_pb2.LookupVolumeRequest(
                volume_or_file_ids=[str(volume_id)], collection=str(parsed.values["collection"])
            )
            try:
                answer = Stub(channel, _MASTER).LookupVolume(request, timeout=MASTER_CALL_SECONDS)
            except grpc.RpcError as error:
                problem = f"{master}: {_words(error)}"
                continue
        for found in answer.volume_id_locations:
            if found.error or not found.locations:
                raise MasterError(f"lookup volume {volume_id}: {found.error or 'not found'}")
            return [_address(location) for location in found.locations]
        raise MasterError(f"lookup volume {volume_id}: not found")
    raise MasterError(f"lookup volume {volume_id}: {problem}")


def _address(location: Any) -> ServerAddress:
    text = location.url
    return ServerAddress(f"{text}.{location.grpc_port}" if location.grpc_port else text)


def _copy_from(location: ServerAddress, files: VolumeFiles, parsed: ParsedFlags) -> dict[str, Any]:
    with _channel(location) as channel:
        return _Source(channel, files.volume_id, parsed).copy_to(files)


class _Source:
    """The volume on one server."""

    def __init__(self, channel: grpc.Channel, volume_id: int, parsed: ParsedFlags) -> None:
        self._rpc = Stub(channel, _VOLUME_SERVER)
        self._volume_id = volume_id
        self._ttl = str(parsed.values["ttl"])
        self._replication = str(parsed.values["replication"])
        request = volume_server_pb2.VolumeSyncStatusRequest(volume_id=volume_id)
        self._status = self._rpc.VolumeSyncStatus(request, timeout=MASTER_CALL_SECONDS)

    def copy_to(self, files: VolumeFiles) -> dict[str, Any]:
        """Continues or replaces the copy; how, and how many bytes came."""
        status = self._status
        try:
            copy = state_of_copy(files)
        except StorageError as error:
            print(f"fastvol backup: the copy is of no use any more: {error}", file=sys.stderr)
            copy = None
        if copy is not None and may_continue(
            copy,
            revision=status.compact_revision,
            tail_offset=status.tail_offset,
            version=status.version,
        ):
            try:
                came = append_received(files, copy.newest_ns, self._newer_than(copy.newest_ns))
            except NotContinuousError:
                pass
            else:
                if copy.dat_size + came >= status.tail_offset:
                    return {"way": "continued the copy", "bytes": came}
        self._fetch(files)
        return {"way": "fetched it whole", "bytes": files.dat.stat().st_size}

    def _newer_than(self, since_ns: int) -> Iterator[bytes]:
        request = volume_server_pb2.VolumeIncrementalCopyRequest(
            volume_id=self._volume_id, since_ns=since_ns
        )
        return (answer.file_content for answer in self._rpc.VolumeIncrementalCopy(request))

    def _fetch(self, files: VolumeFiles) -> None:
        status = self._status
        block = self._super_block()
        try:
            replace_copy(
                files,
                self._file(".dat", status.tail_offset),
                self._file(".idx", status.idx_file_size),
                super_block=block,
            )
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            replace_copy(files, self._without_copy_file(block), None)

    def _file(self, extension: str, size: int) -> Iterator[bytes]:
        request = volume_server_pb2.CopyFileRequest(
            volume_id=self._volume_id,
            ext=extension,
            compaction_revision=self._status.compact_revision,
            stop_offset=size,
            collection=self._status.collection,
        )
        return (answer.file_content for answer in self._rpc.CopyFile(request))

    def _without_copy_file(self, block: SuperBlock) -> Iterator[bytes]:
        """For servers that send records only."""
        yield block.to_bytes()
        yield from self._newer_than(0)

    def _super_block(self) -> SuperBlock:
        status = self._status
        block = SuperBlock(
            version=status.version,
            replica_placement=ReplicaPlacement.parse(status.replication),
            ttl=TTL.parse(status.ttl),
            compaction_revision=status.compact_revision,
        )
        try:
            if self._replication:
                placement = ReplicaPlacement.parse(self._replication)
                block = dataclasses.replace(block, replica_placement=placement)
            if self._ttl:
                block = dataclasses.replace(block, ttl=TTL.parse(self._ttl))
        except ValueError as error:
            raise UsageError(str(error)) from error
        return block


COMMAND = offline_command(
    "backup",
    _backup,
    flags=_flags,
    example="backup -dir=/backup -volumeId=234 -master=localhost:9333",
    description="copy a volume of a running cluster, and later what is new of it",
)
