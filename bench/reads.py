"""GET by size: fastvol against ``weed volume`` and nginx, page cache warm, loopback."""

from __future__ import annotations

import os

from bench.harness import LOAD_HEADER, Bench, Sample, arguments, load, load_rows, put, report

SIZES = (1 << 10, 64 << 10, 1 << 20, 8 << 20)


def main() -> None:
    options = arguments(__doc__ or "", rounds=5, seconds=3, connections=32)
    with Bench() as bench:
        data = {size: os.urandom(size) for size in SIZES}
        files = {}
        for size, content in data.items():
            files[size] = bench.directory / f"object-{size}"
            files[size].write_bytes(content)
        servers = [bench.weed_volume(), bench.fastvol()]
        for server in servers:
            for size in SIZES:
                put(server, size, data[size])
        nginx = bench.nginx(files)
        if nginx is not None:
            servers.append(nginx)
        samples: dict[tuple[str, int], list[Sample]] = {}
        for size in SIZES:
            for _ in range(options.rounds):
                for server in servers:
                    sample = load(
                        server,
                        server.url(size),
                        seconds=options.seconds,
                        connections=options.connections,
                    )
                    samples.setdefault((server.name, size), []).append(sample)
        report("reads", "GET by size", LOAD_HEADER, load_rows(samples))


if __name__ == "__main__":
    main()
