"""``fastvol version``."""

import platform

from fastvol.cli.command import EXIT_OK, Command
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import FlagSet, ParsedFlags
from fastvol.version import VERSION, full_version

_OFFSET_WIDTH = 5
_GO_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def _print(_parsed: ParsedFlags, _options: GlobalOptions) -> int:
    machine = platform.machine()
    followed = f"{full_version(_OFFSET_WIDTH)} linux {_GO_MACHINES.get(machine, machine)}"
    print(f"version {followed}\nfastvol {VERSION}")
    return EXIT_OK


COMMAND = Command(
    name="version",
    example="version",
    description="print the version of fastvol and of the SeaweedFS that it follows",
    flags=lambda: FlagSet([]),
    body=_print,
)
