"""Many parallel GETs of a large object: how much anonymous memory the server grows by."""

from __future__ import annotations

import os
import socket
import time

from bench.harness import Bench, Server, arguments, put, report

SIZE = 8 << 20


def grow(server: Server, clients: int) -> tuple[int, int]:
    """(bytes at rest, largest seen) while ``clients`` slow readers fetch the object at once."""
    at_rest = server.anonymous_bytes()
    request = f"GET {server.paths[SIZE]} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    sockets = []
    for _ in range(clients):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(request)
        sockets.append(sock)
    largest = at_rest
    got = [0] * clients
    deadline = time.monotonic() + 120
    while min(got) < SIZE and time.monotonic() < deadline:
        for number, sock in enumerate(sockets):
            if got[number] < SIZE:
                got[number] += len(sock.recv(1 << 18))
        largest = max(largest, server.anonymous_bytes())
    if min(got) < SIZE:
        raise SystemExit(f"{server.name}: the slowest client got {min(got)} of {SIZE} bytes")
    for sock in sockets:
        sock.close()
    return at_rest, largest


def main() -> None:
    options = arguments(__doc__ or "", clients=200)
    with Bench() as bench:
        data = os.urandom(SIZE)
        rows = []
        for server in (bench.weed_volume(), bench.fastvol()):
            put(server, SIZE, data)
            grow(server, 2)
            at_rest, largest = grow(server, options.clients)
            rows.append(
                [
                    server.name,
                    f"{at_rest / 2**20:.1f}",
                    f"{largest / 2**20:.1f}",
                    f"{(largest - at_rest) / 2**20:.1f}",
                ]
            )
        report(
            "parallel",
            f"{options.clients} parallel GETs of 8 MB",
            ["server", "anonymous MB at rest", "largest", "growth MB"],
            rows,
        )


if __name__ == "__main__":
    main()
