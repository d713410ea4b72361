"""``fastvol serve [DIR]``: a complete single node for a newcomer; no master, no cluster.

It listens on the loopback address unless told otherwise, takes as many volumes as the disk holds,
and stops at once: there is no cluster that would have to notice first. It reads no flag from the
environment, where a ``PORT`` or ``DEBUG`` was seldom meant for it.
"""

import os
from pathlib import Path
from typing import Final

from fastvol.cli.command import Command
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, FlagSet, ParsedFlags
from fastvol.cli.volume_flags import volume_flags
from fastvol.cluster.server_address import join_host_port
from fastvol.config import Config, build_single_node_config
from fastvol.errors import ConfigError, UsageError
from fastvol.limits import HTTP_PORT_DEFAULT, MIB, SERVE_VOLUME_SIZE_MIB_DEFAULT

_DIRECTORY_DEFAULT: Final = "data"
_ANY_ADDRESSES: Final = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound


def serve_flags() -> FlagSet:
    """The few flags of a single node."""
    return FlagSet(
        [
            Flag("port", "int", HTTP_PORT_DEFAULT, "HTTP port"),
            Flag("port.grpc", "int", 0, "gRPC port; 0: HTTP port + 10000"),
            Flag("ip", "string", "127.0.0.1", "address or name that clients use"),
            Flag("ip.bind", "string", "", "address to listen on; empty: that of -ip"),
            Flag("max", "int", 0, "maximum number of volumes; 0: by free space"),
            Flag(
                "volumeSizeLimitMB", "int", SERVE_VOLUME_SIZE_MIB_DEFAULT, "size of a full volume"
            ),
            Flag(
                "offsetBytes", "string", "auto", "bytes of an offset in new volumes: 4, 5 or auto"
            ),
            Flag("metricsPort", "int", 0, "port of the Prometheus metrics; 0: none"),
            Flag("fastRead", "bool", True, "answer plain reads from the C core"),
            Flag("fastWrite", "bool", True, "store plain uploads from the C core"),
            Flag("readVerify", "string", "always", "checksum on every read (always) or once"),
        ]
    )


def describe(config: Config) -> str:
    """Where the server is, and how to put and get an object."""
    host = config.ip if config.bind_ip in _ANY_ADDRESSES else config.bind_ip
    scheme = "http" if config.security.tls.server is None else "https"
    url = f"{scheme}://{join_host_port(host, config.port)}"
    fid = r"""sed 's/.*"fid":"\([^"]*\)".*/\1/'"""
    return (
        f"fastvol serves {config.locations[0].directory.resolve()} at {url}\n"
        f"  put:  fid=$(curl -s {url}/dir/assign | {fid}); curl -F file=@README.md {url}/$fid\n"
        f"  get:  curl {url}/$fid\n"
    )


def _serve(parsed: ParsedFlags, options: GlobalOptions) -> int:
    if len(parsed.arguments) > 1:
        raise UsageError(
            f"unexpected argument: {parsed.arguments[1]} (flags go before the directory)"
        )
    directory = parsed.arguments[0] if parsed.arguments else _DIRECTORY_DEFAULT
    if "," in directory:
        raise UsageError(f"a single node has one directory, without a comma: {directory}")
    _create(directory)
    values = {flag.name: flag.default for flag in volume_flags().flags.values()}
    own = dict(parsed.values)
    volume_size_mib = int(own.pop("volumeSizeLimitMB"))
    values.update(own, dir=directory, max=str(own["max"]), preStopSeconds=0)
    config = build_single_node_config(
        values,
        volume_size_max=volume_size_mib * MIB,
        config_dir=options.config_dir,
        environ=os.environ,
    )
    # Late, so that a flag error does not wait for the whole server to be imported.
    from fastvol.server import run as run_server

    return run_server(config, on_ready=_announce)


def _create(directory: str) -> None:
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create {directory}: {error.strerror}") from error


def _announce(config: Config) -> None:
    print(describe(config), flush=True)


COMMAND = Command(
    name="serve",
    example="serve -port=8080 data",
    description="serve one directory alone: HTTP, gRPC and file ids from one process",
    flags=serve_flags,
    body=_serve,
    reads_environment=False,
)
