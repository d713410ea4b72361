"""One server from its first bound port to its last closed file.

Order of the start: bind all ports (a port in use is known at once), wait for a master's
configuration, load the store, answer, and only then tell the master. Order of the end: leave the
master, answer for ``pre_stop_seconds`` more, close HTTP, close gRPC, sync and close the volumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvloop

from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.locations import Lookup
from fastvol.cluster.peer_http import PeerHttp
from fastvol.cluster.single_node import SingleNodeLookup
from fastvol.config import Config
from fastvol.errors import ConfigError, FastvolError, StorageError
from fastvol.http.access import Access
from fastvol.http.plane import DataPlane, bind
from fastvol.index.kinds import IndexOptions
from fastvol.limits import (
    GRPC_STOP_SECONDS,
    HEARTBEAT_SECONDS,
    HTTP_IMAGE_THREADS,
    HTTP_STOP_SECONDS,
    HTTP_WORKERS_MAX,
)
from fastvol.observability.metrics import Metrics
from fastvol.rpc.server import ControlPlane
from fastvol.security.grpc_tls import GrpcIdentities
from fastvol.security.tls import client_context
from fastvol.security.tls_reload import ServerContexts
from fastvol.server.control_side import rpc_handlers
from fastvol.server.data_side import DataSide
from fastvol.server.descriptors import raise_descriptor_limit
from fastvol.server.membership import Membership
from fastvol.server.metrics_side import MetricsSide
from fastvol.server.peers import Peers
from fastvol.server.reload import Reload, access_rules
from fastvol.store.options import StoreOptions
from fastvol.store.store import Store
from fastvol.version import full_version

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
        self._https = _https_of(config)
        peer_tls = config.security.tls.client
        self._peer_tls = None if peer_tls is None else client_context(peer_tls)
        self._grpc_tls = _grpc_identities_of(config)
        self._control = ControlPlane(config.bind_ip, config.grpc_port, identities=self._grpc_tls)
        self._channels = ChannelPool(self._grpc_tls)
        self._control_peers = PeerHttp(tls=self._peer_tls)
        self._store = Store(_store_options(config))
        self._access = Access(access_rules(config.security))
        self._metrics = Metrics(self._store)
        self._metrics_side = MetricsSide(config, self._metrics)
        disconnections = self._metrics.operations.disconnections
        self._membership = (
            None
            if config.single_node
            else Membership(config, self._store, self._control, self._channels, disconnections)
        )

    # --- start ----------------------------------------------------------------------------------

    def run(self, on_ready: Callable[[Config], None] | None) -> int:
        _end_at_once_when_told()
        raise_descriptor_limit()
        self._bind()
        with contextlib.ExitStack() as undo:
            undo.callback(self._close_listeners)
            undo.callback(self._metrics_side.close)
            self._metrics_side.open()
            self._control.start()
            undo.callback(self._control.stop, 0)
            if self._grpc_tls is not None:  # from now on: a master may be waited for for days
                self._control.submit(
                    self._grpc_tls.keep_fresh(self._config.security.tls.refresh_seconds)
                )
            if self._membership is not None:
                self._membership.meet_master()
                if self._membership.push_gateway is not None:
                    self._metrics_side.push(*self._membership.push_gateway)
            with _collector_at_rest():
                self._load_store()
            undo.callback(self._store.close)
            data = DataSide(self._config, self._store, self._access, self._metrics)
            undo.pop_all()
        try:
            uvloop.run(self._serve(data, on_ready))
        except BaseException:
            self._control.stop(0)
            self._store.close()
            raise
        finally:
            _end_at_once_when_told()  # the loop has taken its own handlers away
            self._metrics_side.close()
            data.close()
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

    def _load_store(self) -> None:
        config, store = self._config, self._store
        if config.single_node:
            store.volume_size_limit = config.volume_size_max
        try:
            store.load()
        except StorageError as error:
            raise ConfigError(str(error)) from error
        store.adjust_volume_max()

    # --- serving --------------------------------------------------------------------------------

    async def _serve(self, data: DataSide, on_ready: Callable[[Config], None] | None) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        workers = ThreadPoolExecutor(HTTP_WORKERS_MAX, thread_name_prefix="http-worker")
        image_makers = ThreadPoolExecutor(HTTP_IMAGE_THREADS, thread_name_prefix="image-maker")
        peers = self._peers(data)
        plane = data.plane(loop, workers, image_makers, peers)
        try:
            chores = self._begin(loop, stop, data, plane, workers)
            if on_ready is not None:
                on_ready(self._config)
            await stop.wait()
        except BaseException:
            await plane.stop(0)  # its loop in C would outlive the server that it counts for
            raise
        for chore in chores:
            chore.cancel()
        await self._stop(plane, workers)
        image_makers.shutdown(wait=True, cancel_futures=True)
        await peers.close()

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: asyncio.Event,
        data: DataSide,
        plane: DataPlane,
        workers: ThreadPoolExecutor,
    ) -> list[asyncio.Task[None]]:
        """Answers from here on, then tells the master; what is to be cancelled at the end."""
        reload = Reload(self._config, self._store, self._access, data.choose_fast_paths)
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: workers.submit(reload.run))
        self._control.serve(
            *rpc_handlers(
                self._config,
                self._store,
                self._access,
                self._membership,
                operations=self._metrics.operations,
                counts=data.counts,
                channels=self._channels,
                peers=self._control_peers,
            )
        )
        for listener, public in self._listeners:
            plane.listen(listener, public=public, tls=None if public else self._https)
        self._join_cluster(loop, stop)
        chores = self._begin_chores(loop, workers)
        log.info(
            "Start Seaweed volume server %s at %s:%d",
            full_version(self._store.usual_offset_width()),
            self._config.bind_ip,
            self._config.port,
        )
        return chores

    def _peers(self, data: DataSide) -> Peers:
        config = self._config
        lookup: Lookup
        if self._membership is None:
            lookup = SingleNodeLookup(
                self._store, address=config.address, grpc_port=config.grpc_port
            )
        else:
            lookup = self._membership.masters
        return Peers(
            config.address,
            self._control,
            lookup,
            self._channels,
            data.counts,
            tls=self._peer_tls,
            observer=self._metrics.operations.replication,
        )

    def _join_cluster(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        if self._membership is None:
            return

        def give_up() -> None:
            self._exit_status = EXIT_DUPLICATE_DIRECTORIES
            loop.call_soon_threadsafe(stop.set)

        self._membership.join(give_up)

    def _begin_chores(
        self, loop: asyncio.AbstractEventLoop, workers: ThreadPoolExecutor
    ) -> list[asyncio.Task[None]]:
        chores = []
        if self._config.single_node:
            chores.append(loop.create_task(self._upkeep(workers)))
        if self._https is not None:
            refresh_seconds = self._config.security.tls.refresh_seconds
            chores.append(loop.create_task(self._https.keep_fresh(refresh_seconds)))
        return chores

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

    # --- stop -----------------------------------------------------------------------------------

    async def _stop(self, plane: DataPlane, workers: ThreadPoolExecutor) -> None:
        """Not on the workers, which may all wait for a disk."""
        log.info("volume server has been killed")
        if self._membership is not None:
            await self._membership.leave()
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
        if self._membership is not None:
            self._membership.close()
        with contextlib.suppress(FastvolError):
            self._control.submit(self._control_peers.close())
        await asyncio.to_thread(self._control.stop, GRPC_STOP_SECONDS)
        await asyncio.to_thread(self._store.close)
        workers.shutdown(wait=True)
        log.info("Shut down successfully!")


def _end_at_once_when_told() -> None:
    """Signals while no loop handles them: before the server serves, and after its volumes closed.

    Nothing waits then that could not be cut off: what is on the disks survives any moment's end.
    """

    def end(_number: int, _frame: object) -> None:
        os._exit(EXIT_OK)

    for number in _STOP_SIGNALS:
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Without searches for garbage; what is there at the end is never searched again.

    A start makes hundreds of thousands of objects that stay, and each search would look at all.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _https_of(config: Config) -> ServerContexts | None:
    """What the admin port encrypts with; raises ConfigError."""
    settings = config.security.tls.server
    if settings is None:
        return None
    try:
        return ServerContexts(settings)
    except ConfigError as error:
        raise ConfigError(f"Volume server {error}") from error


def _grpc_identities_of(config: Config) -> GrpcIdentities | None:
    """What gRPC encrypts with, either way; raises ConfigError."""
    settings = config.security.tls.grpc
    if settings is None:
        return None
    try:
        return GrpcIdentities(settings)
    except ConfigError as error:
        raise ConfigError(f"gRPC: {error}") from error


def _store_options(config: Config) -> StoreOptions:
    return StoreOptions(
        ip=config.ip,
        port=config.port,
        server_id=config.server_id,
        directories=config.locations,
        index_directory=config.index_directory,
        offset_width=config.offset_width,
        index=IndexOptions(config.index_kind, config.leveldb_idle_hours),
    )
