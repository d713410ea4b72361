"""``fastvol help [subcommand]``."""

import sys
from collections.abc import Mapping, Sequence

from fastvol.cli.command import EXIT_OK, EXIT_USAGE, Command
from fastvol.cli.global_flags import GLOBAL_FLAGS


def run(argv: Sequence[str], commands: Mapping[str, Command]) -> int:
    """Print the overview, or what one of ``commands`` takes; returns the exit status."""
    if not argv:
        print(overview(commands))
        return EXIT_OK
    if len(argv) > 1:
        print("usage: fastvol help command\n\nToo many arguments given.", file=sys.stderr)
        return EXIT_USAGE
    command = commands.get(argv[0])
    if command is None:
        print(f"Unknown help topic `{argv[0]}`.  Run 'fastvol help'.", file=sys.stderr)
        return EXIT_USAGE
    print(command.help_text(), end="")
    return EXIT_OK


def overview(commands: Mapping[str, Command]) -> str:
    """All subcommands and the global flags."""
    rows = "".join(f"    {name:<10}{command.description}\n" for name, command in commands.items())
    return (
        "\nfastvol: a read-optimised volume server for SeaweedFS\n\nUsage:\n\n"
        "    fastvol [global flags] command [flags]\n\nThe commands are:\n\n"
        f'{rows}\nUse "fastvol help command" for the flags of a command.\n\n'
        f"Global flags, before the command:\n{GLOBAL_FLAGS.usage()}"
    )
