"""Flags that stand before the subcommand, shared by all of them (``weed/glog``, ``weed/weed.go``).

Logging goes to stderr; what concerns log files is accepted so that existing command lines work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastvol.cli.go_flags import Flag, FlagSet, ParsedFlags

_ERROR_SEVERITY: Final = 2

GLOBAL_FLAGS: Final = FlagSet(
    [
        Flag("config_dir", "string", "", "directory with toml configuration files"),
        Flag("logtostderr", "bool", False, "log to standard error only"),
        Flag("alsologtostderr", "bool", True, "log to standard error as well as to files"),
        Flag("stderrthreshold", "severity", _ERROR_SEVERITY, "severity for standard error", False),
        Flag("v", "level", 0, "verbosity, 0 to 4"),
        Flag("vmodule", "vmodule", "", "verbosity a file, pattern=N,...", built=False),
        Flag("log_backtrace_at", "location", "", "file:line whose log has a trace", built=False),
        Flag("logdir", "string", "", "directory for log files", built=False),
        Flag("log_max_size_mb", "uint", 1800, "size of a log file in MB", built=False),
        Flag("log_max_files", "int", 5, "number of log files to keep", built=False),
        Flag("log_rotate_hours", "int", 168, "hours until a log file is rotated", built=False),
        Flag("log_compress", "bool", False, "compress rotated log files", built=False),
        Flag("log_json", "bool", False, "one JSON object a log line"),
        Flag("options", "string", "", "file of flags, one name=value a line"),
    ],
    environment_prefix="WEED_",
)


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What the global flags say."""

    config_dir: str = ""
    verbosity: int = 0
    log_json: bool = False
    not_built: tuple[str, ...] = ()
    """Flags that were given and have no effect yet."""


def parse_global_flags(
    argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[GlobalOptions, list[str]]:
    """Split the command line behind its global flags.

    Raises:
        UsageError: a malformed global flag.
    """
    parsed = GLOBAL_FLAGS.parse(argv, environ)
    options = GlobalOptions(
        str(parsed.values["config_dir"]),
        int(parsed.values["v"]),
        bool(parsed.values["log_json"]),
        not_built_flags(GLOBAL_FLAGS, parsed),
    )
    return options, parsed.arguments


def not_built_flags(flags: FlagSet, parsed: ParsedFlags) -> tuple[str, ...]:
    """Names of flags that were given another value than their default, to no effect yet."""
    return tuple(
        name
        for name, flag in flags.flags.items()
        if not flag.built and name in parsed.given and parsed.values[name] != flag.default
    )
