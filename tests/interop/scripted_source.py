"""A volume server that says what a test tells it to, for others to copy from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from daemons import GRPC_OFFSET, free_ports
from google.protobuf.message_factory import GetMessageClass
from http_calls import HOST
from volume_kit import create, needle

from fastvol.pb import volume_server_pb2 as pb

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["VolumeServer"]
_PIECE: Final = 2 << 20
_HOLD_SECONDS_MAX: Final = 30
COOKIE: Final = 0x11223344
CHANGED_NS: Final = 1_600_000_000_123_456_789


@dataclass
class Script:
    """What a source says of a volume, and sends."""

    files: dict[str, bytes | None]
    collection: str = ""
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] | None = None
    """Files and deleted files; None: as before."""
    announced: dict[str, int] = field(default_factory=dict)
    """Sizes other than those of the files."""
    modified_ns: int = CHANGED_NS
    changed_seconds: int = 1_600_000_000
    revision: int = 0
    dies_in: str = ""
    """The file of which only the first half is sent."""
    compacted_before: str = ""
    """The file that is refused because the volume is compacted by then."""
    no_status: int = 0
    """The number, from 1, of the VolumeStatus that fails."""
    endless: bool = False
    """The data file never ends."""
    tail: list[pb.VolumeTailSenderResponse] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event | None = None
    """The data file is held back, after its first half, until it is set."""
    statuses: int = 0


class Source:
    """The server; ``script`` is what it goes by at the moment."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.script = Script({})
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        handlers = {
            name: self._handler(name, answer)
            for name, answer in (
                ("VolumeStatus", self._status),
                ("ReadVolumeFileStatus", self._file_status),
                ("CopyFile", self._copy_file),
                ("VolumeTailSender", self._tail),
            )
        }
        generic = grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_insecure_port(f"{HOST}:{self.port + GRPC_OFFSET}")

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Source]:
        self._server.start()
        try:
            yield self
        finally:
            self._server.stop(0).wait(5)

    @staticmethod
    def _handler(name: str, answer: Callable[..., Any]) -> Any:
        method = _SERVICE.methods_by_name[name]
        kind = "unary_stream" if method.server_streaming else "unary_unary"
        return getattr(grpc, f"{kind}_rpc_method_handler")(
            answer,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
        )

    def _status(self, _request: Any, context: Any) -> pb.VolumeStatusResponse:
        script = self.script
        script.statuses += 1
        if script.statuses == script.no_status:
            context.abort(grpc.StatusCode.UNKNOWN, "no status today")
        counts = script.before if script.statuses == 1 else script.after or script.before
        return pb.VolumeStatusResponse(file_count=counts[0], file_deleted_count=counts[1])

    def _file_status(self, request: Any, _context: Any) -> pb.ReadVolumeFileStatusResponse:
        script = self.script

        def size(extension: str) -> int:
            return script.announced.get(extension, len(script.files.get(extension) or b""))

        return pb.ReadVolumeFileStatusResponse(
            volume_id=request.volume_id,
            dat_file_timestamp_seconds=script.changed_seconds,
            idx_file_timestamp_seconds=script.changed_seconds,
            dat_file_size=size(".dat"),
            idx_file_size=size(".idx"),
            compaction_revision=script.revision,
            collection=script.collection,
            version=3,
        )

    def _copy_file(self, request: Any, context: Any) -> Iterator[pb.CopyFileResponse]:
        script = self.script
        if request.ext == script.compacted_before:
            context.abort(grpc.StatusCode.UNKNOWN, f"volume {request.volume_id} is compacted")
        content = script.files.get(request.ext)
        if content is None:
            if not request.ignore_source_file_not_found:
                context.abort(grpc.StatusCode.UNKNOWN, "open: no such file or directory")
            return
        half = len(content) // 2
        if request.ext == ".dat" and script.hold is not None:
            yield pb.CopyFileResponse(file_content=content[:half], modified_ts_ns=1)
            script.reached.set()
            script.hold.wait(_HOLD_SECONDS_MAX)
            yield pb.CopyFileResponse(file_content=content[half:])
            return
        if request.ext == script.dies_in:
            yield pb.CopyFileResponse(file_content=content[:half], modified_ts_ns=1)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the source is gone")
        for at in range(0, max(len(content), 1), _PIECE):
            yield pb.CopyFileResponse(
                file_content=content[at : at + _PIECE],
                modified_ts_ns=0 if at else script.modified_ns,
            )
        while script.endless and request.ext == ".dat" and context.is_active():
            yield pb.CopyFileResponse(file_content=bytes(_PIECE))

    def _tail(self, _request: Any, _context: Any) -> Iterator[pb.VolumeTailSenderResponse]:
        yield from self.script.tail


def volume_script(
    directory: Path, volume_id: int, objects: dict[int, bytes], deleted: int = 0, **fields: Any
) -> Script:
    """A sound volume with these objects, the first ``deleted`` of which are deleted."""
    directory.mkdir(parents=True)
    volume = create(directory, volume_id)
    for key, data in objects.items():
        volume.write(needle(key, data, cookie=COOKIE))
    for key in list(objects)[:deleted]:
        volume.delete(key, COOKIE, 0)
    volume.close()
    files = {
        extension: (directory / f"{volume_id}{extension}").read_bytes()
        for extension in (".dat", ".idx", ".vif")
    }
    return Script(files, before=(len(objects), deleted), **fields)
