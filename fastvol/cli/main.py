"""``fastvol [global flags] <subcommand> [flags]``.

Flags without a subcommand mean ``volume``, as for volume servers that are nothing else.
"""

import os
import sys
from collections.abc import Sequence

from fastvol.cli import (
    backup,
    check,
    compact,
    compare,
    export,
    fix,
    info,
    scrub,
    serve,
    version,
    volume,
)
from fastvol.cli import help as help_command
from fastvol.cli.command import EXIT_USAGE
from fastvol.cli.global_flags import GLOBAL_FLAGS, parse_global_flags
from fastvol.cli.go_flags import HelpRequestedError
from fastvol.errors import UsageError

_COMMANDS = {
    command.name: command
    for command in (
        serve.COMMAND,
        volume.COMMAND,
        scrub.COMMAND,
        compare.COMMAND,
        info.COMMAND,
        check.COMMAND,
        fix.COMMAND,
        compact.COMMAND,
        export.COMMAND,
        backup.COMMAND,
        version.COMMAND,
    )
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (that of the process by default); returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    before = _global_flag_count(arguments)
    # What follows the global flags is a flag of another kind: there is no subcommand.
    implied_volume = before < len(arguments) and volume.COMMAND.flags().name_of(arguments[before])
    try:
        options, rest = parse_global_flags(
            arguments[:before] if implied_volume else arguments, os.environ
        )
    except UsageError as error:
        return _usage_error("" if isinstance(error, HelpRequestedError) else f"{error}\n")
    if implied_volume:
        return volume.COMMAND.run(arguments[before:], options)
    if not rest:
        return _usage_error("")
    name, rest = rest[0], rest[1:]
    if name == "help":
        return help_command.run(rest, _COMMANDS)
    command = _COMMANDS.get(name)
    if command is None:
        print(
            f"fastvol: unknown subcommand \"{name}\"\nRun 'fastvol help' for usage.",
            file=sys.stderr,
        )
        return EXIT_USAGE
    return command.run(rest, options)


def _global_flag_count(arguments: Sequence[str]) -> int:
    """How many leading arguments are global flags and their values."""
    at = 0
    while at < len(arguments):
        name = GLOBAL_FLAGS.name_of(arguments[at])
        if name is None:
            break
        takes_value = GLOBAL_FLAGS.flags[name].kind != "bool" and "=" not in arguments[at]
        at += 2 if takes_value else 1
    return min(at, len(arguments))


def _usage_error(text: str) -> int:
    print(f"{text}{help_command.overview(_COMMANDS)}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
