"""A data plane on a real socket, over real volumes, without the rest of the server."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from volume_kit import create

from fastvol._cffi.serve import NativeServer, ServeCounts
from fastvol.cluster.locations import VolumeLocations
from fastvol.cluster.peer_http import PeerHttp
from fastvol.errors import MasterError, PeerError
from fastvol.formats.ttl import TTL
from fastvol.http.blocking import RunBlocking
from fastvol.http.chunks import ChunkReader
from fastvol.http.delete import DeleteHandler
from fastvol.http.elsewhere import Elsewhere
from fastvol.http.guard import AccessGuard, OpenGuard
from fastvol.http.mime_types import system_table
from fastvol.http.parts import HandlerParts, ReadMode
from fastvol.http.plane import DataPlane, PlaneOptions, bind
from fastvol.http.read import ReadHandler
from fastvol.http.replication import Replication
from fastvol.http.request import Request
from fastvol.http.response import HeaderWriter
from fastvol.http.router import Answer, Router
from fastvol.http.static_files import StaticFiles
from fastvol.http.throttle import Throttle
from fastvol.http.write import WriteHandler
from fastvol.observability.counts import Counts
from fastvol.observability.traffic import Traffic
from fastvol.pb import master_pb2
from fastvol.security.tls_reload import ServerContexts
from fastvol.volume.volume import Volume

HEADER = "SeaweedFS Volume 8000GB 4.48"
WAIT_SECONDS = 20


class TinyStore:
    """What the object handlers need of a store."""

    def __init__(self, ip: str, port: int) -> None:
        self.ip = ip
        self.port = port
        self.table: dict[int, Volume] = {}

    def find_volume(self, volume_id: int) -> Volume | None:
        return self.table.get(volume_id)

    def volumes(self) -> list[Volume]:
        return list(self.table.values())


@dataclass(frozen=True)
class Throttling:
    """Limits in bytes, 0 for none, and how long one waits."""

    downloads: int = 0
    uploads: int = 0
    seconds: float = 2


class TinyCluster:
    """What a plane hears from a master; tests say what that is."""

    def __init__(self) -> None:
        self.where: dict[int, list[master_pb2.Location]] = {}
        self.failure = ""
        self.asked: list[int] = []
        self.deleted: list[str] = []

    def put(self, volume_id: int, *ports: int, **marks: bool) -> None:
        """Copies of a volume on these ports of this machine."""
        found = self.where.setdefault(volume_id, [])
        found += [master_pb2.Location(url=f"127.0.0.1:{port}", **marks) for port in ports]

    async def lookup(self, volume_id: int) -> master_pb2.LookupVolumeResponse:
        self.asked.append(volume_id)
        if self.failure:
            raise MasterError(self.failure)
        answer = master_pb2.LookupVolumeResponse()
        entry = answer.volume_id_locations.add(volume_or_file_id=str(volume_id))
        if volume_id in self.where:
            entry.locations.extend(self.where[volume_id])
        else:
            entry.error = f"volume id {volume_id} not found"
        return answer

    async def delete_chunks(self, fids: Sequence[str]) -> None:
        self.deleted += fids
        if "unwilling" in fids:
            raise PeerError("chunk delete unwilling: Wrong fid format.")


class LivePlane:
    """Use as a context manager; ``exchange`` sends bytes and returns all that comes back."""

    def __init__(
        self,
        directory: Path,
        *,
        fast_read: bool = True,
        fast_write: bool = True,
        options: PlaneOptions | None = None,
        public: bool = False,
        stop_seconds: float = 5,
        read_mode: ReadMode = "proxy",
        throttling: Throttling | None = None,
        fix_orientation: bool = False,
        exact: Callable[[RunBlocking], dict[str, Callable[[Request], Answer]]] | None = None,
        tls: ServerContexts | None = None,
        guard: AccessGuard | None = None,
    ) -> None:
        self._tls = tls
        self._guard = guard or OpenGuard()
        self.cluster = TinyCluster()
        self._read_mode: ReadMode = read_mode
        self._fix_orientation = fix_orientation
        self._exact = exact
        limits = throttling or Throttling()
        self.downloads = Throttle(limits.downloads, limits.seconds)
        self.uploads = Throttle(limits.uploads, limits.seconds)
        self._stop_seconds = stop_seconds
        self._options = options or PlaneOptions(file_bytes_max=1 << 20)
        self._public = public
        self._directory = directory
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="live-plane")
        self._listener = bind("127.0.0.1", 0)
        self.port = int(self._listener.getsockname()[1])
        self.store = TinyStore("127.0.0.1", self.port)
        self._native = NativeServer(
            server_header=HEADER,
            copy_max=16 << 10,
            map_max=256 << 10,
            inline_verify_max=1 << 20,
            upload_max=self._options.file_bytes_max,
            verify_once=False,
            io_threads=2,
        )
        self._native.add_mime_types(system_table().items(lower=False), lower=False)
        self._native.add_mime_types(system_table().items(lower=True), lower=True)
        self._native.set_fast_read(fast_read)
        self._native.set_fast_write(fast_write)
        self.traffic = Traffic(self._native.counts, self.downloads, self.uploads, Counts())

    def add_volume(self, volume_id: int, *, ttl: str = "", replication: str = "000") -> Volume:
        volume = create(self._directory, volume_id, replication=replication, ttl=TTL.parse(ttl))
        self.store.table[volume_id] = volume
        self._native.put_volume(volume_id, volume.native)
        return volume

    def lend_volume(self, volume: Volume) -> None:
        """Serves a volume that another plane owns; take it out of ``store.table`` before the end."""
        self.store.table[volume.id] = volume
        self._native.put_volume(volume.id, volume.native)

    def give_up_volume(self, volume: Volume) -> None:
        """Serves it no more; whoever asked for that closes it."""
        del self.store.table[volume.id]
        self._native.drop_volume(volume.id)

    def counts(self) -> ServeCounts:
        return self._native.counts()

    def __enter__(self) -> LivePlane:
        self._thread.start()
        assert self._ready.wait(WAIT_SECONDS)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()
        self._native.close()
        for volume in self.store.volumes():
            volume.close()

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        workers = ThreadPoolExecutor(4)
        image_makers = ThreadPoolExecutor(4)
        store: Any = self.store
        own_address = f"{self.store.ip}:{self.store.port}"
        peers = PeerHttp()
        locations = VolumeLocations(self.cluster.lookup)
        counts = self.traffic.counts
        parts = HandlerParts(
            guard=self._guard,
            run_blocking=partial(loop.run_in_executor, workers),
            run_images=partial(loop.run_in_executor, image_makers),
            elsewhere=Elsewhere(own_address, locations, peers, counts),
            chunks=ChunkReader(locations, peers),
            replication=Replication(own_address, locations, peers),
            delete_chunks=self.cluster.delete_chunks,
            downloads=self.downloads,
            uploads=self.uploads,
            counts=counts,
            read_mode=self._read_mode,
            file_bytes_max=self._options.file_bytes_max,
            fix_orientation=self._fix_orientation,
            stages=self.traffic.stages,
        )
        router = Router(
            HeaderWriter(HEADER),
            read=ReadHandler(store, parts),
            write=WriteHandler(store, parts),
            delete=DeleteHandler(store, parts),
            exact=self._exact(parts.run_blocking) if self._exact else {},
            static=StaticFiles(),
            stats=self.traffic.stats,
        )
        self._plane = plane = DataPlane(loop, self._native, router, self._options)
        plane.listen(self._listener, public=self._public, tls=self._tls)
        self._ready.set()
        await self._stop.wait()
        await plane.stop(self._stop_seconds)
        await peers.close()
        workers.shutdown()
        image_makers.shutdown()

    def connections(self) -> int:
        """Connections open at this moment."""
        return self._plane.native_loop.connections()

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A client's socket, perhaps with little room; every wait on it is bounded."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(WAIT_SECONDS)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def exchange(self, request: bytes) -> bytes:
        """One request on a connection of its own; its response, head and body."""
        with self.connect() as sock:
            sock.sendall(request)
            response = Reader(sock).response(head_only=request.startswith(b"HEAD"))
            assert response is not None, "closed without an answer"
            return response


class Reader:
    """Reads responses off a connection by their framing, keeping what lies behind them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def _more(self) -> bool:
        piece = self._sock.recv(1 << 16)
        self._buffer += piece
        return bool(piece)

    def response(self, *, head_only: bool = False) -> bytes | None:
        """The next response; None when the connection ends before one begins."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                assert not self._buffer, f"cut off: {self._buffer!r}"
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = 0
        lengths = re.findall(rb"(?i)\r\nContent-Length: (\d+)", head)
        assert len(lengths) <= 1, head
        if lengths and not head_only:
            length = int(lengths[0])
        while len(self._buffer) < length:
            assert self._more(), f"cut off behind {head!r}"
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return head + b"\r\n\r\n" + body

    def rest(self) -> bytes:
        """Everything until the peer closes."""
        while self._more():
            pass
        rest, self._buffer = self._buffer, b""
        return rest
