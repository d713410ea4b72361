"""Processes that tests start, and waiting for what they do.

Every one runs in a session of its own, so that a launcher and its child die together; every wait
has an end. Ports lie below the range that the kernel gives to clients.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from http_calls import HOST

GRPC_OFFSET: Final = 10_000
START_SECONDS_MAX: Final = 30
WAIT_SECONDS_MAX: Final = 20
STOP_SECONDS_MAX: Final = 15

_PORTS: Final = range(11_000, 22_000)
_POLL_SECONDS: Final = 0.05

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Ports that are free, as are those 10,000 above, where gRPC listens by default."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        if port not in found and _is_free(port) and _is_free(port + GRPC_OFFSET):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_until(check: Callable[[], T], what: str, seconds: float = WAIT_SECONDS_MAX) -> T:
    """The first true value of ``check``; an OSError of it counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value: Any = check()
        except (OSError, http.client.HTTPException) as error:
            value, last = None, repr(error)
        else:
            last = repr(value)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {last})")
        time.sleep(_POLL_SECONDS)


class Daemon:
    """A process that runs until it is stopped; its output goes to a file."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        name: str,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self._log = directory / f"{name}-{time.monotonic_ns()}.log"
        self._errors = self._log.with_suffix(".err")
        with self._log.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                self.command,
                cwd=directory,
                env=environment(directory, environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it wrote to standard output so far."""
        return self._log.read_text(errors="replace")

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far, where its log goes."""
        return self._errors.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.killpg(self.pid, number)

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Exit status, negative for a signal."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} did not end: {self.errors[-2000:]}") from None

    def stop(self) -> int:
        """Ends it in good order; returns its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Ends it as a crash would, with all of its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which no configuration of the developer's is found."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **(extra or {}),
    }


def run(
    command: Sequence[str],
    directory: Path,
    text: str = "",
    environ: Mapping[str, str] | None = None,
    *,
    seconds: float = START_SECONDS_MAX,
) -> subprocess.CompletedProcess:
    """Runs a command to its end."""
    return subprocess.run(
        list(command),
        cwd=directory,
        env=environment(directory, environ),
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


_GLOG: Final = re.compile(r"^[IWEF]\d{4} [\d:.]+ \S+ ")


def log_lines(errors: str, levels: str = "IWEF") -> list[str]:
    """The messages of a log, without their prefixes; only of these levels."""
    return [_GLOG.sub("", line) for line in errors.splitlines() if line[:1] in levels]
