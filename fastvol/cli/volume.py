"""``fastvol volume``: a volume server of a cluster, with the command line of ``weed volume``."""

import os

from fastvol.cli.command import Command
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import ParsedFlags
from fastvol.cli.volume_flags import volume_flags
from fastvol.config import build_config


def _serve(parsed: ParsedFlags, options: GlobalOptions) -> int:
    config = build_config(parsed.values, config_dir=options.config_dir, environ=os.environ)
    # Late, so that a flag error does not wait for the whole server to be imported.
    from fastvol.server import run as run_server

    return run_server(config)


COMMAND = Command(
    name="volume",
    example="volume -port=8080 -dir=/tmp -max=5 -ip=server_name -master=localhost:9333",
    description="serve the volumes of some directories, as a member of a cluster",
    flags=volume_flags,
    body=_serve,
)
