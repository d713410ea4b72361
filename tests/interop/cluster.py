"""A test cluster: the real master and servers, and fastvol as an operator starts it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from daemons import GRPC_OFFSET, START_SECONDS_MAX, Daemon, free_ports, run, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, Reply, get

from fastvol.cluster.stub import Stub
from fastvol.pb import volume_server_pb2

WEED: Final = shutil.which("weed") or str(Path(sys.executable).parent / "weed")
FASTVOL: Final = (sys.executable, "-m", "fastvol.cli.main")

_VOLUME_SERVER: Final = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"]


@dataclass
class Server:
    """A server that can be stopped and started again under the same ports and directories."""

    base: Path
    name: str
    port: int
    command: list[str]
    daemon: Daemon | None = None

    def start(self, *extra: str) -> Server:
        assert self.daemon is None or not self.daemon.running
        self.daemon = Daemon([*self.command, *extra], self.base, self.name)
        return self

    @property
    def running(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    def ready(self, path: str = "/status") -> Server:
        """Waits until it answers."""

        def answers() -> bool:
            daemon = self.running
            assert daemon.running, f"{self.name} ended: {daemon.output}{daemon.errors}"
            return get(self.port, path).status < 500

        wait_until(answers, f"{self.name} answers", START_SECONDS_MAX)
        return self

    def stop(self) -> int:
        return self.running.stop()

    def kill(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()


def weed(base: Path, *arguments: str) -> list[str]:
    """Command line of ``weed``, with its log in ``base``."""
    return [WEED, f"-logdir={base}", f"-config_dir={base}", *arguments]


def master_server(base: Path, *extra: str, port: int | None = None) -> Server:
    """A master of its own, not started yet."""
    port = port or free_ports(1)[0]
    directory = base / f"master-{port}"
    directory.mkdir(parents=True, exist_ok=True)
    command = weed(base, "master", f"-port={port}", f"-ip={HOST}", f"-mdir={directory}")
    command += ["-peers=none", "-telemetry=false", "-volumeSizeLimitMB=64", *extra]
    return Server(base, f"master-{port}", port, command)


def volume_server(
    program: Sequence[str],
    base: Path,
    directories: Sequence[Path] | Path,
    masters: Sequence[int],
    *extra: str,
    port: int | None = None,
) -> Server:
    """A volume server, fastvol (``FASTVOL``) or ``weed(base)``; not started yet."""
    port = port or free_ports(1)[0]
    directories = [directories] if isinstance(directories, Path) else directories
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    command = [*program, "volume", f"-port={port}", f"-ip={HOST}", "-preStopSeconds=0"]
    command += ["-dir=" + ",".join(map(str, directories)), "-max=60"]
    command += ["-master=" + ",".join(f"{HOST}:{master}" for master in masters), *extra]
    name = "weed-volume" if program[0] == WEED else "fastvol"
    return Server(base, f"{name}-{port}", port, command)


@contextmanager
def started(*servers: Server) -> Iterator[None]:
    """Starts servers that are not running and kills them all at the end."""
    try:
        for server in servers:
            if server.daemon is None:
                server.start()
        yield
    finally:
        for server in reversed(servers):
            server.kill()


def joined(master: Server, server: Server) -> bool:
    """Whether the master knows the volume server."""
    return f"{HOST}:{server.port}" in get(master.port, "/dir/status").body.decode()


def volume_status(server: Server) -> dict[int, dict[str, Any]]:
    """What a volume server says of its volumes, by id."""
    volumes = get(server.port, "/status").json()["Volumes"] or ()
    return {int(volume["Id"]): volume for volume in volumes}


# --- a cluster ----------------------------------------------------------------------------------


@dataclass
class Cluster:
    """A real master and one fastvol in a directory of their own."""

    base: Path
    master: Server
    volume: Server
    directory: Path
    _stubs: dict[int, tuple[grpc.Channel, Stub]] = field(default_factory=dict)

    @classmethod
    def make(cls, base: Path, *extra: str) -> Cluster:
        """Not started yet; ``extra`` are arguments of fastvol."""
        master = master_server(base)
        directory = base / "data"
        return cls(
            base,
            master,
            volume_server(FASTVOL, base, directory, [master.port], *extra),
            directory,
        )

    @contextmanager
    def running(self) -> Iterator[Cluster]:
        """Started and joined; killed at the end."""
        with started(self.master, self.volume):
            self.wait_joined()
            try:
                yield self
            finally:
                for channel, _ in self._stubs.values():
                    channel.close()

    @property
    def rpc(self) -> Stub:
        """The volume server's gRPC service."""
        return self.rpc_of(self.volume.port)

    def rpc_of(self, port: int) -> Stub:
        """The gRPC service of the volume server with this HTTP port."""
        if port not in self._stubs:
            channel = volume_channel(port)
            self._stubs[port] = channel, Stub(channel, _VOLUME_SERVER)
        return self._stubs[port][1]

    def master_json(self, path: str) -> Any:
        return get(self.master.port, path).json()

    def node(self, port: int | None = None) -> dict[str, Any] | None:
        """The volume server as ``/dir/status`` shows it; None when the master has lost it."""
        url = f"{HOST}:{port or self.volume.port}"
        return next((node for node in self._nodes() if node["Url"] == url), None)

    def _nodes(self) -> Iterator[dict[str, Any]]:
        topology = self.master_json("/dir/status")["Topology"]
        for center in topology["DataCenters"] or ():
            for rack in center["Racks"] or ():
                yield from rack["DataNodes"] or ()

    def wait_joined(self) -> None:
        self.volume.ready()
        wait_until(self.node, "the master knows the server", START_SECONDS_MAX)

    def wait_left(self) -> None:
        wait_until(lambda: self.node() is None, "the master has forgotten the server")

    def volume_ids(self) -> set[int]:
        """The volumes that the master sees on the server."""
        node = self.node()
        return expand_ids(node["VolumeIds"]) if node else set()

    def writables(self, collection: str = "") -> set[int]:
        """The volumes in which the master assigns."""
        layouts = self.master_json("/dir/status")["Topology"]["Layouts"] or ()
        return {
            volume_id
            for layout in layouts
            if layout["collection"] == collection
            for volume_id in layout["writables"] or ()
        }

    def assign(self, query: str = "") -> str:
        """A file id of the master's."""
        reply = get(self.master.port, f"/dir/assign{query}")
        assert reply.status == 200, reply.body
        answer = reply.json()
        assert "fid" in answer, answer
        return str(answer["fid"])

    def lookup(self, volume_id: int) -> Reply:
        return get(self.master.port, f"/dir/lookup?volumeId={volume_id}")

    def allocate(self, volume_id: int, collection: str = "", port: int | None = None) -> None:
        allocate(self.rpc_of(port or self.volume.port), volume_id, collection)

    def shell(self, *commands: str, seconds: float = START_SECONDS_MAX) -> str:
        """What ``weed shell`` prints for these commands."""
        text = "\n".join(("lock", *commands, "unlock", ""))
        program = weed(self.base, "shell", f"-master={HOST}:{self.master.port}")
        done = run(program, self.base, text, seconds=seconds)
        return done.stdout + done.stderr

    def volume_line(self, volume_id: int) -> str:
        """The volume's line in the shell's ``volume.list``; empty when there is none."""
        found = re.search(rf"^ *volume Id:{volume_id},.*$", self.shell("volume.list"), re.MULTILINE)
        return found[0].strip() if found else ""


def volume_channel(port: int) -> grpc.Channel:
    """A channel to the volume server with this HTTP port."""
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    return grpc.insecure_channel(f"{HOST}:{port + GRPC_OFFSET}", options=options)


@contextmanager
def volume_rpc(port: int) -> Iterator[Stub]:
    """The gRPC service of one volume server."""
    with volume_channel(port) as channel:
        yield Stub(channel, _VOLUME_SERVER)


def allocate(rpc: Stub, volume_id: int, collection: str = "", **fields: Any) -> None:
    """Has a volume created, as the master does; waits for a server that is still starting."""
    wanted = {"replication": "000", "version": 3, **fields}
    rpc.AllocateVolume(
        volume_server_pb2.AllocateVolumeRequest(
            volume_id=volume_id, collection=collection, **wanted
        ),
        timeout=CALL_SECONDS_MAX,
        wait_for_ready=True,
    )


def expand_ids(text: str) -> set[int]:
    """``" 2-4 7"`` -> {2, 3, 4, 7}."""
    found: set[int] = set()
    for item in text.split():
        first, _, last = item.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
