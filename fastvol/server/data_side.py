"""What answers HTTP: the fast paths in C over the store's volumes, and the handlers behind them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from fastvol._cffi.serve import NativeServer
from fastvol.cluster.single_node import SingleNodeAssigner
from fastvol.http.assign import AssignHandler
from fastvol.http.delete import DeleteHandler
from fastvol.http.mime_types import system_table
from fastvol.http.parts import HandlerParts
from fastvol.http.plane import DataPlane, PlaneOptions
from fastvol.http.read import ReadHandler
from fastvol.http.response import HeaderWriter
from fastvol.http.router import Answer, Router
from fastvol.http.static_files import StaticFiles
from fastvol.http.status import StatusHandler
from fastvol.http.throttle import Throttle
from fastvol.http.ui import PATH as PAGE_PATH
from fastvol.http.ui import StatusPage
from fastvol.http.ui_state import StateTaker
from fastvol.http.write import WriteHandler
from fastvol.limits import (
    HTTP_COPY_BYTES_MAX,
    HTTP_INLINE_VERIFY_BYTES_MAX,
    HTTP_IO_THREADS,
    HTTP_MAP_BYTES_MAX,
    REMOTE_READERS_MAX,
)
from fastvol.observability.activity import Activity
from fastvol.observability.counts import Counts
from fastvol.observability.traffic import Traffic
from fastvol.version import short_version

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fastvol.config import Config
    from fastvol.http.access import Access
    from fastvol.http.blocking import RunBlocking
    from fastvol.http.request import Request
    from fastvol.observability.metrics import Metrics
    from fastvol.server.peers import Peers
    from fastvol.store.store import Store
    from fastvol.volume.volume import Volume


class DataSide:
    """Serves a loaded store; from its making on it follows what comes and goes in the store."""

    def __init__(self, config: Config, store: Store, access: Access, metrics: Metrics) -> None:
        self._config = config
        self._store = store
        self._access = access
        self._offset_width = store.usual_offset_width()
        self._native = self._native_server()
        self.counts = Counts()
        self._downloads = Throttle(
            config.download_bytes_in_flight_max, config.download_wait_seconds
        )
        self._uploads = Throttle(config.upload_bytes_in_flight_max, config.upload_wait_seconds)
        self.traffic = Traffic(self._native.counts, self._downloads, self._uploads, self.counts)
        metrics.add_traffic(self.traffic, self._offset_width)
        self._remote_readers = ThreadPoolExecutor(
            REMOTE_READERS_MAX, thread_name_prefix="remote-reader"
        )

    def _native_server(self) -> NativeServer:
        config, store = self._config, self._store
        native = NativeServer(
            server_header=self._server_header(),
            copy_max=HTTP_COPY_BYTES_MAX,
            map_max=HTTP_MAP_BYTES_MAX,
            inline_verify_max=HTTP_INLINE_VERIFY_BYTES_MAX,
            upload_max=config.file_size_max,
            verify_once=config.read_verify == "once",
            io_threads=HTTP_IO_THREADS,
        )
        types = system_table()
        native.add_mime_types(types.items(lower=False), lower=False)
        native.add_mime_types(types.items(lower=True), lower=True)

        def serve_volume(volume: Volume) -> None:
            native.put_volume(volume.id, volume.native)

        def drop_volume(volume: Volume) -> None:
            native.drop_volume(volume.id)

        store.table.on_add = serve_volume
        store.table.on_remove = drop_volume
        for volume in reversed(store.volumes()):  # the copy on the first disk serves
            serve_volume(volume)
        return native

    def _server_header(self) -> str:
        return f"SeaweedFS Volume {short_version(self._offset_width)}"

    def close(self) -> None:
        """Ends the threads in C; the plane is stopped and the store closed by then."""
        self._native.close()
        self._remote_readers.shutdown(wait=False, cancel_futures=True)

    def choose_fast_paths(self) -> None:
        """The C core checks neither tokens nor peers, counts no bytes in flight and turns no
        pictures, so each path is off while it would have to."""
        config, rules = self._config, self._access.rules
        read_checked = rules.read_tokens.enabled or config.download_bytes_in_flight_max
        self._native.set_fast_read(config.fast_read and not read_checked)
        write_checked = (
            rules.write_tokens.enabled
            or not rules.white_list.is_open
            or config.upload_bytes_in_flight_max
            or config.fix_image_orientation
        )
        self._native.set_fast_write(config.fast_write and not write_checked)

    def plane(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: ThreadPoolExecutor,
        image_makers: ThreadPoolExecutor,
        peers: Peers,
    ) -> DataPlane:
        """The data plane on ``loop``; what may wait runs on ``workers``, images are made on
        ``image_makers``."""
        config, store = self._config, self._store
        parts = HandlerParts(
            guard=self._access,
            run_blocking=partial(loop.run_in_executor, workers),
            run_images=partial(loop.run_in_executor, image_makers),
            run_remote=partial(loop.run_in_executor, self._remote_readers),
            elsewhere=peers.elsewhere,
            chunks=peers.chunks,
            replication=peers.replication,
            delete_chunks=peers.delete_chunks,
            downloads=self._downloads,
            uploads=self._uploads,
            counts=self.counts,
            read_mode=config.read_mode,
            file_bytes_max=config.file_size_max,
            fix_orientation=config.fix_image_orientation,
            stages=self.traffic.stages,
        )
        router = Router(
            HeaderWriter(self._server_header()),
            read=ReadHandler(store, parts),
            write=WriteHandler(store, parts),
            delete=DeleteHandler(store, parts),
            exact=self._exact_paths(loop, parts.run_blocking),
            static=StaticFiles(),
            stats=self.traffic.stats,
        )
        self.choose_fast_paths()
        options = PlaneOptions(
            idle_seconds=config.idle_timeout_seconds, file_bytes_max=config.file_size_max
        )
        return DataPlane(loop, self._native, router, options)

    def _exact_paths(
        self, loop: asyncio.AbstractEventLoop, run_blocking: RunBlocking
    ) -> dict[str, Callable[[Request], Answer]]:
        config, store = self._config, self._store
        status = StatusHandler(store, run_blocking, offset_width=self._offset_width)
        exact: dict[str, Callable[[Request], Answer]] = {
            "/status": status.status,
            "/healthz": status.health,
            "/readyz": status.health,
        }
        if not config.security.write_key or config.security.ui_access:
            exact[PAGE_PATH] = self._status_page(loop, run_blocking).answer
        if config.single_node:
            assigner = SingleNodeAssigner(store, config.volume_size_max)
            assign = AssignHandler(
                store,
                assigner,
                run_blocking,
                public_url=config.public_url,
                grpc_port=config.grpc_port,
            )
            exact["/dir/assign"] = assign.assign
            exact["/dir/lookup"] = assign.lookup
        return exact

    def _status_page(
        self, loop: asyncio.AbstractEventLoop, run_blocking: RunBlocking
    ) -> StatusPage:
        activity = Activity(self.traffic)
        activity.follow(loop)
        config = self._config
        taker = StateTaker(
            self._store, config.address, config.masters, self._offset_width, activity=activity
        )
        return StatusPage(taker, run_blocking)
