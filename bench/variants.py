"""Small reads that say more than GET: ranges, conditionals, stored gzip; against ``weed volume``."""

from __future__ import annotations

import gzip
import os

from bench.harness import Bench, Sample, Server, arguments, assign, load, median, report, request

SIZE = 1024


def store(server: Server, data: bytes, headers: dict[str, str]) -> str:
    """Path of a new object."""
    path = "/" + assign(server)
    given = {"Content-Type": "application/x-bench", **headers}
    status, answer = request(server.port, "PUT", path, data, given)
    if status != 201:
        raise SystemExit(f"{server.name}: upload answered {status} {answer!r}")
    return path


def main() -> None:
    options = arguments(__doc__ or "", rounds=5, seconds=3, connections=32)
    variants = {
        "plain": {},
        "range of 100 bytes": {"Range": "bytes=100-199"},
        "conditional, 304": {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        "stored gzip": {"Accept-Encoding": "gzip"},
    }
    samples: dict[tuple[str, str], list[Sample]] = {}
    with Bench() as bench:
        servers = [bench.weed_volume(), bench.fastvol()]
        paths = {}
        for server in servers:
            plain = store(server, os.urandom(SIZE), {})
            packed = store(server, gzip.compress(os.urandom(SIZE)), {"Content-Encoding": "gzip"})
            paths[server.name] = dict.fromkeys(variants, plain) | {"stored gzip": packed}
        for name, headers in variants.items():
            for _ in range(options.rounds):
                for server in servers:
                    sample = load(
                        server,
                        f"http://127.0.0.1:{server.port}{paths[server.name][name]}",
                        seconds=options.seconds,
                        connections=options.connections,
                        headers=headers,
                    )
                    samples.setdefault((name, server.name), []).append(sample)
    rows = []
    for name in variants:
        theirs = median(samples[name, "weed volume"], "cpu_us")
        ours = median(samples[name, "fastvol"], "cpu_us")
        rows.append([name, f"{theirs:.1f}", f"{ours:.1f}", f"{theirs / ours:.2f}"])
    report(
        "variants",
        "1 KB reads of several kinds, CPU us a request",
        ["read", "weed volume", "fastvol", "ratio"],
        rows,
    )


if __name__ == "__main__":
    main()
