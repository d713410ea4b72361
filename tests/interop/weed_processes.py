"""Real SeaweedFS servers for tests: started on free ports, awaited, and taken down completely.

``weed`` may be a launcher that starts the server as a child, so each runs in a session of its own
and signals go to the whole process group.  Every wait is bounded.

    with weed_master(tmp_path) as master, weed_volume(tmp_path, master, data) as volume:
        reply = ask(volume.port, "GET", "/3,01637037d6")
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEED = shutil.which("weed") or str(Path(sys.executable).parent / "weed")
HOST = "127.0.0.1"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
REPLY_SECONDS_MAX = 20
GRPC_PORT_OFFSET = 10_000
_PORT_MAX = 65_535


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class WeedServer:
    """A running server and where its output goes."""

    port: int
    log: Path

    @property
    def address(self) -> str:
        """``host:port``, for flags of other servers."""
        return f"{HOST}:{self.port}"


def free_ports(count: int) -> list[int]:
    """Ports free now, as are the ones 10,000 above, where weed serves gRPC."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            low = held.enter_context(socket.socket())
            high = held.enter_context(socket.socket())
            low.bind((HOST, 0))
            port = low.getsockname()[1]
            if port + GRPC_PORT_OFFSET > _PORT_MAX:
                continue
            try:
                high.bind((HOST, port + GRPC_PORT_OFFSET))
            except OSError:
                continue
            found.append(port)
    return found


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request on a connection of its own; :exc:`OSError` when nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=REPLY_SECONDS_MAX)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, names, answer.read())
    finally:
        connection.close()


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = START_SECONDS_MAX
) -> None:
    """Polls ``condition``; refused connections count as False.  In the end AssertionError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


@contextlib.contextmanager
def weed_process(
    arguments: Sequence[str], directory: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs ``weed`` in a session of its own; in the end the whole group goes, gently first."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [WEED, f"-logdir={directory}", f"-config_dir={directory}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS_MAX)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS_MAX)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


@contextlib.contextmanager
def _running(
    kind: str, port: int, arguments: Sequence[str], directory: Path, is_up: Callable[[], bool]
) -> Iterator[WeedServer]:
    home = directory / f"{kind}-{port}"
    home.mkdir()
    server = WeedServer(port, home / "log")
    common = [kind, f"-port={port}", f"-ip={HOST}"]
    with weed_process([*common, *arguments], home, server.log) as process:

        def is_up_or_dead() -> bool:
            return process.poll() is not None or is_up()

        wait_until(is_up_or_dead, f"weed {kind} on {server.address} (see {server.log})")
        assert process.poll() is None, server.log.read_text(errors="replace")[-2000:]
        yield server


@contextlib.contextmanager
def weed_master(directory: Path, *flags: str) -> Iterator[WeedServer]:
    """A lone master that leads; its own files are under ``directory``."""
    (port,) = free_ports(1)
    home = directory / "master-data"
    home.mkdir(exist_ok=True)

    def leads() -> bool:
        return bool(ask(port, "GET", "/cluster/status").json().get("IsLeader"))

    arguments = [f"-mdir={home}", "-peers=none", "-telemetry=false", *flags]
    with _running("master", port, arguments, directory, leads) as server:
        yield server


@contextlib.contextmanager
def weed_volume(
    directory: Path, master: WeedServer, data: Path, *flags: str
) -> Iterator[WeedServer]:
    """A volume server of ``data``, known to ``master``; it stops cleanly at the end."""
    (port,) = free_ports(1)

    def serves() -> bool:
        topology = ask(master.port, "GET", "/dir/status").json()["Topology"]
        known = f"{HOST}:{port}" in json.dumps(topology)
        return known and ask(port, "GET", "/status").status == 200

    arguments = [f"-dir={data}", f"-master={master.address}", "-preStopSeconds=0", *flags]
    with _running("volume", port, arguments, directory, serves) as server:
        yield server


def volume_status(server: WeedServer) -> dict[int, dict[str, Any]]:
    """What a volume server says of its volumes, by id."""
    volumes = ask(server.port, "GET", "/status").json()["Volumes"] or []
    return {int(volume["Id"]): volume for volume in volumes}


def multipart(
    name: str, content: bytes, content_type: str = "", headers: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form with one file, as curl -F sends it."""
    boundary = "-----------------------7f4e0b1d"
    part = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
    for key, value in (headers or {}).items():
        part += f"{key}: {value}\r\n"
    if content_type:
        part += f"Content-Type: {content_type}\r\n"
    body = f"--{boundary}\r\n{part}\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
