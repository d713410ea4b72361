"""Multipart POST by size: fastvol against ``weed volume``, no fsync, loopback."""

from __future__ import annotations

import argparse
import os

from bench.harness import (
    LOAD_HEADER,
    Bench,
    Sample,
    Server,
    arguments,
    assign,
    load,
    load_rows,
    multipart,
    report,
)

SIZES = (1 << 10, 64 << 10, 1 << 20, 4 << 20)

SCRIPT = """
local file = io.open("{body}", "rb")
local body = file:read("*all")
file:close()
local counter = 0
request = function()
  counter = counter + 1
  return wrk.format("POST", string.format("/%s,%x%08x", "{volume}", {first} + counter, 0x1234abcd),
                    {{["Content-Type"] = "{content_type}"}}, body)
end
"""


def main() -> None:
    options = arguments(__doc__ or "", rounds=5, seconds=3, connections=16)
    with Bench() as bench:
        servers = [bench.weed_volume(), bench.fastvol("-volumeSizeLimitMB=30000")]
        samples: dict[tuple[str, int], list[Sample]] = {}
        first = 1 << 32
        for size in SIZES:
            body, content_type = multipart(os.urandom(size))
            path = bench.directory / f"body-{size}"
            path.write_bytes(body)
            for _ in range(options.rounds):
                for server in servers:
                    first += 1 << 28
                    sample = _round(bench, server, str(path), content_type, first, options)
                    samples.setdefault((server.name, size), []).append(sample)
        report("writes", "Multipart POST by size", LOAD_HEADER, load_rows(samples))


def _round(
    bench: Bench,
    server: Server,
    body: str,
    content_type: str,
    first: int,
    options: argparse.Namespace,
) -> Sample:
    volume = assign(server).partition(",")[0]
    script = bench.directory / "post.lua"
    script.write_text(
        SCRIPT.format(body=body, volume=volume, first=first, content_type=content_type)
    )
    return load(
        server,
        f"http://127.0.0.1:{server.port}/",
        seconds=options.seconds,
        connections=options.connections,
        script=script,
    )


if __name__ == "__main__":
    main()
