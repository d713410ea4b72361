"""Thousands of idle, dripping and slow connections: what everybody else feels, and the memory.

A third of them are silent after one request, a third send a head byte by byte, a third read a large
object as slowly as the server lets them. Meanwhile one well-behaved client reads 1 KB objects.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

from bench.harness import Bench, Server, arguments, load, put, report

SMALL, LARGE = 1024, 8 << 20
DRIP_SECONDS = 0.05
"""One round of single bytes."""


def raise_descriptors() -> None:
    """As many connections as the machine allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def misbehave(port: int, small: str, large: str, count: int) -> None:
    """The other process: ``count`` connections until it is killed; says ``ready`` when all are up."""
    raise_descriptors()
    host = "\r\nHost: bench\r\n"
    silent, dripping = [], []
    for number in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        kind = number % 3
        if kind == 0:
            sock.sendall(f"GET {small} HTTP/1.1{host}\r\n".encode())
            sock.recv(4096)
            silent.append(sock)
        elif kind == 1:
            sock.sendall(f"GET {small} HTTP/1.1{host}X-Long: ".encode())
            dripping.append(sock)
        else:
            sock.sendall(f"GET {large} HTTP/1.1{host}\r\n".encode())
            sock.recv(100)
            silent.append(sock)
    print("ready", flush=True)
    share = max(1, len(dripping) // 20)
    at = 0
    while True:
        for sock in dripping[at : at + share]:
            with contextlib.suppress(OSError):
                sock.send(b"x")
        at = (at + share) % max(1, len(dripping))
        time.sleep(DRIP_SECONDS)


def p99(server: Server, rounds: int) -> float:
    samples = [load(server, server.url(SMALL), seconds=1, connections=1) for _ in range(rounds)]
    return statistics.median(sample.p99_us for sample in samples)


def measure(server: Server, count: int, rounds: int) -> list[str]:
    """Row of one server."""
    put(server, SMALL, os.urandom(SMALL))
    put(server, LARGE, os.urandom(LARGE))
    alone = p99(server, rounds)
    at_rest = server.anonymous_bytes()
    command = [sys.executable, "-m", "bench.hostile", "--as-client", str(server.port)]
    command += [server.paths[SMALL], server.paths[LARGE], str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None and crowd.stdout.readline() == "ready\n"
        among = p99(server, rounds)
        grown = server.anonymous_bytes() - at_rest
        crowd.kill()
    return [
        server.name,
        f"{alone:.0f}",
        f"{among:.0f}",
        f"{among / alone:.2f}",
        f"{grown / 2**20:.1f}",
    ]


def main() -> None:
    if sys.argv[1:2] == ["--as-client"]:
        misbehave(int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
    options = arguments(__doc__ or "", connections=2000, rounds=9)
    raise_descriptors()
    with Bench() as bench:
        rows = []
        for server in (bench.weed_volume(), bench.fastvol()):
            rows.append(measure(server, options.connections, options.rounds))
        report(
            "hostile",
            f"1 KB reads among {options.connections} silent, dripping and slow connections",
            ["server", "p99 us alone", "p99 us among them", "ratio", "anonymous MB more"],
            rows,
        )


if __name__ == "__main__":
    main()
