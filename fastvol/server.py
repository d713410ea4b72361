"""The composition root: builds the parts from a Config, starts them, stops them; nothing else.

Order of the start: bind all ports (a port in use is known at once), wait for a master's
configuration, load the store, answer, and only then tell the master. Order of the end: leave the
master, answer for ``pre_stop_seconds`` more, close HTTP, close gRPC, sync and close the volumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import uvloop

from fastvol._cffi.serve import NativeServer
from fastvol.cluster.beats import NodeIdentity
from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.heartbeat import Heartbeat
from fastvol.cluster.master_build import offset_width_of
from fastvol.cluster.master_client import MasterClient
from fastvol.cluster.server_address import parse_addresses
from fastvol.cluster.single_node import SingleNodeAssigner
from fastvol.config import Config, load_security
from fastvol.config.security import SecuritySettings
from fastvol.errors import ConfigError, DuplicateDirectoriesError, FastvolError, StorageError
from fastvol.http.access import Access, AccessRules
from fastvol.http.assign import AssignHandler
from fastvol.http.delete import DeleteHandler
from fastvol.http.mime_types import system_table
from fastvol.http.plane import DataPlane, PlaneOptions, bind
from fastvol.http.read import ReadHandler
from fastvol.http.request import Request
from fastvol.http.response import HeaderWriter, Response
from fastvol.http.router import Answer, Router
from fastvol.http.status import StatusHandler
from fastvol.http.write import WriteHandler
from fastvol.limits import (
    GRPC_STOP_SECONDS,
    HEARTBEAT_SECONDS,
    HTTP_COPY_BYTES_MAX,
    HTTP_INLINE_VERIFY_BYTES_MAX,
    HTTP_IO_THREADS,
    HTTP_MAP_BYTES_MAX,
    HTTP_STOP_SECONDS,
    HTTP_WORKERS_MAX,
)
from fastvol.rpc.admin import AdminHandlers
from fastvol.rpc.gates import Gates
from fastvol.rpc.needle import NeedleHandlers
from fastvol.rpc.node import NodeFacts, NodeHandlers
from fastvol.rpc.server import ControlPlane
from fastvol.rpc.service import volume_server_handler
from fastvol.rpc.vacuum import VacuumHandlers
from fastvol.rpc.volume_status import VolumeStatusHandlers
from fastvol.security.jwt import TokenChecker
from fastvol.security.white_list import WhiteList
from fastvol.store.options import StoreOptions
from fastvol.store.store import Store
from fastvol.version import full_version, short_version
from fastvol.volume.volume import Volume

log = logging.getLogger(__name__)

EXIT_OK: Final = 0
EXIT_DUPLICATE_DIRECTORIES: Final = 1
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


def run(config: Config, *, on_ready: Callable[[Config], None] | None = None) -> int:
    """Serves until a signal says stop; returns the exit status.

    Args:
        on_ready: called once requests are answered.

    Raises:
        ConfigError: the server cannot start with what it was given.
    """
    return _Server(config).run(on_ready)


class _Server:
    """One server from its first bound port to its last closed file."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._exit_status = EXIT_OK
        self._listeners: list[tuple[socket.socket, bool]] = []
        self._control = ControlPlane(config.bind_ip, config.grpc_port)
        self._channels = ChannelPool()
        self._masters: MasterClient | None = None
        self._heartbeat: Heartbeat | None = None
        self._heartbeat_done: Future[None] | None = None
        self._store = Store(_store_options(config))
        self._access = Access(_access_rules(config.security))
        self._security_settings = config.settings
        self._reloading = threading.Lock()
        self._native: NativeServer | None = None

    # --- start ----------------------------------------------------------------------------------

    def run(self, on_ready: Callable[[Config], None] | None) -> int:
        _end_at_once_when_told()
        self._bind()
        with contextlib.ExitStack() as undo:
            undo.callback(self._close_listeners)
            self._control.start()
            undo.callback(self._control.stop, 0)
            if not self._config.single_node:
                self._meet_master()
            self._load_store()
            undo.callback(self._store.close)
            self._native = self._native_server()
            undo.pop_all()
        try:
            uvloop.run(self._serve(on_ready))
        finally:
            _end_at_once_when_told()  # the loop has taken its own handlers away
            self._native.close()
        return self._exit_status

    def _bind(self) -> None:
        config = self._config
        self._listeners.append((bind(config.bind_ip, config.port), False))
        try:
            if config.has_public_listener:
                self._listeners.append((bind(config.bind_ip, config.public_port), True))
        except ConfigError:
            self._close_listeners()
            raise

    def _close_listeners(self) -> None:
        for listener, _ in self._listeners:
            listener.close()

    def _meet_master(self) -> None:
        """Waits for the first master that answers, for ever."""
        config = self._config
        self._masters = MasterClient(
            self._channels,
            parse_addresses(",".join(config.masters)),
            ip=config.ip,
            port=config.port,
        )
        answer = self._control.submit(self._masters.wait_for_configuration()).result()
        self._store.volume_size_limit = answer.volume_size_limit_m_b << 20
        self._store.preallocate = answer.volume_preallocate

    def _load_store(self) -> None:
        config, store = self._config, self._store
        if config.single_node:
            store.volume_size_limit = config.volume_size_max
        if self._masters is not None:
            store.ask_offset_width = partial(offset_width_of, self._masters.seeds)
        try:
            store.load()
        except StorageError as error:
            raise ConfigError(str(error)) from error
        store.adjust_volume_max()

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
        return f"SeaweedFS Volume {short_version(self._store.usual_offset_width())}"

    # --- serving --------------------------------------------------------------------------------

    async def _serve(self, on_ready: Callable[[Config], None] | None) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        workers = ThreadPoolExecutor(HTTP_WORKERS_MAX, thread_name_prefix="http-worker")
        plane = self._data_plane(loop, workers)
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: workers.submit(self._reload_safely))
        self._control.serve(self._rpc_handler())
        for listener, public in self._listeners:
            plane.listen(listener, public=public)
        self._join_cluster(loop, stop)
        upkeep = loop.create_task(self._upkeep(workers)) if self._config.single_node else None
        log.info(
            "Start Seaweed volume server %s at %s:%d",
            full_version(self._store.usual_offset_width()),
            self._config.bind_ip,
            self._config.port,
        )
        if on_ready is not None:
            on_ready(self._config)
        await stop.wait()
        if upkeep is not None:
            upkeep.cancel()
        await self._stop(plane, workers)

    def _data_plane(
        self, loop: asyncio.AbstractEventLoop, workers: ThreadPoolExecutor
    ) -> DataPlane:
        config, store, access = self._config, self._store, self._access
        assert self._native is not None

        def run_blocking(
            work: Callable[..., Response], *args: Any, **kwargs: Any
        ) -> Awaitable[Response]:
            return loop.run_in_executor(workers, lambda: work(*args, **kwargs))

        status = StatusHandler(store, offset_width=self._store.usual_offset_width())
        exact: dict[str, Callable[[Request], Answer]] = {
            "/status": status.status,
            "/healthz": status.health,
            "/readyz": status.health,
        }
        if config.single_node:
            assigner = SingleNodeAssigner(store, config.volume_size_max)
            assign = AssignHandler(
                store, assigner, public_url=config.public_url, grpc_port=config.grpc_port
            )
            exact["/dir/assign"] = assign.assign
            exact["/dir/lookup"] = assign.lookup
        router = Router(
            HeaderWriter(self._server_header()),
            read=ReadHandler(store, access, run_blocking),
            write=WriteHandler(store, access, run_blocking, file_bytes_max=config.file_size_max),
            delete=DeleteHandler(store, access, run_blocking),
            exact=exact,
            bare={},
        )
        self._choose_fast_paths()
        options = PlaneOptions(
            idle_seconds=config.idle_timeout_seconds, file_bytes_max=config.file_size_max
        )
        return DataPlane(loop, self._native, router, options)

    def _choose_fast_paths(self) -> None:
        """The C core checks neither tokens nor peers, so each path is off while it would have to."""
        assert self._native is not None
        config, rules = self._config, self._access.rules
        self._native.set_fast_read(config.fast_read and not rules.read_tokens.enabled)
        guarded = rules.write_tokens.enabled or not rules.white_list.is_open
        self._native.set_fast_write(config.fast_write and not guarded)

    def _rpc_handler(self) -> Any:
        config, store = self._config, self._store
        gates = Gates(
            self._is_white_listed,
            lambda: store.state.maintenance,
            store.server_id,
        )
        if self._masters is not None:
            node = NodeIdentity(
                ip=config.ip,
                port=config.port,
                grpc_port=config.grpc_port,
                public_url=config.public_url,
                id=store.server_id,
                data_center=config.data_center,
                rack=config.rack,
            )
            self._heartbeat = Heartbeat(node, store, self._masters, self._channels)
        facts = NodeFacts(
            full_version(self._store.usual_offset_width()), config.data_center, config.rack
        )
        return volume_server_handler(
            gates,
            AdminHandlers(store, self._masters, gates).table(),
            NodeHandlers(store, self._masters, self._heartbeat, facts).table(),
            VolumeStatusHandlers(store).table(),
            NeedleHandlers(store).table(),
            VacuumHandlers(store).table(),
        )

    def _is_white_listed(self, host: str) -> bool:
        return self._access.rules.white_list.allows(host)

    def _join_cluster(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        if self._heartbeat is None:
            return

        def ended(done: Future[None]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is None:
                return
            log.critical("%s", error)
            if isinstance(error, DuplicateDirectoriesError):
                self._exit_status = EXIT_DUPLICATE_DIRECTORIES
                loop.call_soon_threadsafe(stop.set)

        self._heartbeat_done = self._control.submit(self._heartbeat.run())
        self._heartbeat_done.add_done_callback(ended)

    async def _upkeep(self, workers: ThreadPoolExecutor) -> None:
        """What the heartbeat does by the way in a cluster: expiry of TTL volumes, room."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await loop.run_in_executor(workers, self._look_after_store)

    def _look_after_store(self) -> None:
        try:
            self._store.adjust_volume_max()
            self._store.heartbeat_snapshot(time.time())
        except Exception:
            # Whatever it was, the next round may do better; without rounds no volume expires.
            log.exception("looking after the volumes failed")

    # --- SIGHUP ---------------------------------------------------------------------------------

    def _reload_safely(self) -> None:
        with self._reloading:
            try:
                self._reload()
            except Exception:
                log.exception("reload failed")

    def _reload(self) -> None:
        """New volumes from the disks, keys and white list from security.toml."""
        try:
            self._store.load_new_volumes()
        except FastvolError as error:
            log.error("reload: %s", error)
        try:
            security, settings = load_security(
                self._config.security_source, self._security_settings
            )
        except ConfigError as error:
            log.error("reload: security settings stay as they are: %s", error)
            return
        self._security_settings = settings
        self._access.rules = _access_rules(security)
        self._choose_fast_paths()
        log.info("reloaded volumes and security settings")

    # --- stop -----------------------------------------------------------------------------------

    async def _stop(self, plane: DataPlane, workers: ThreadPoolExecutor) -> None:
        """Not on the workers, which may all wait for a disk."""
        log.info("volume server has been killed")
        await self._leave_cluster()
        if not self._store.left:
            self._store.stopping = True
            await asyncio.to_thread(self._store.sync)
            if self._exit_status == EXIT_OK and self._config.pre_stop_seconds > 0:
                log.info(
                    "stop send heartbeat and wait %d seconds until shutdown ...",
                    self._config.pre_stop_seconds,
                )
                await asyncio.sleep(self._config.pre_stop_seconds)
        log.info("graceful stop cluster http server ...")
        await plane.stop(HTTP_STOP_SECONDS)
        log.info("graceful stop gRPC ...")
        with contextlib.suppress(FastvolError):
            self._control.submit(self._channels.close())
        await asyncio.to_thread(self._control.stop, GRPC_STOP_SECONDS)
        await asyncio.to_thread(self._store.close)
        workers.shutdown(wait=True)
        log.info("Shut down successfully!")

    async def _leave_cluster(self) -> None:
        if self._heartbeat is None or self._heartbeat_done is None:
            return
        self._heartbeat.stop()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.wrap_future(self._heartbeat_done), timeout=5)


def _end_at_once_when_told() -> None:
    """Signals while no loop handles them: before the server serves, and after its volumes closed.

    Nothing waits then that could not be cut off: what is on the disks survives any moment's end.
    """

    def end(_number: int, _frame: object) -> None:
        os._exit(EXIT_OK)

    for number in _STOP_SIGNALS:
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _store_options(config: Config) -> StoreOptions:
    return StoreOptions(
        ip=config.ip,
        port=config.port,
        server_id=config.server_id,
        directories=config.locations,
        index_directory=config.index_directory,
        offset_width=config.offset_width,
    )


def _access_rules(security: SecuritySettings) -> AccessRules:
    return AccessRules(
        white_list=WhiteList(security.white_list),
        write_tokens=TokenChecker(security.write_key),
        read_tokens=TokenChecker(security.read_key),
    )
