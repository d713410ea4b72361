"""What all offline tools are: commands that fail in one line and print JSON when asked to."""

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from fastvol.cli.command import Command
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, FlagSet, ParsedFlags
from fastvol.errors import FastvolError, UsageError, reason_of

EXIT_PROBLEMS: Final = 1
EXIT_CANNOT: Final = 2

Body = Callable[[ParsedFlags, GlobalOptions], int]


def offline_command(
    name: str, body: Body, *, flags: Callable[[], list[Flag]], example: str, description: str
) -> Command:
    """A subcommand with ``-json``; nothing of it is read from the environment."""
    return Command(
        name=name,
        example=example,
        description=description,
        flags=lambda: FlagSet([*flags(), Flag("json", "bool", False, "print one JSON document")]),
        body=_told(name, body),
        reads_environment=False,
    )


def _told(name: str, body: Body) -> Body:
    """``body`` with its failures told in one line: exit status 2."""

    def run(parsed: ParsedFlags, options: GlobalOptions) -> int:
        try:
            return body(parsed, options)
        except UsageError:
            raise
        except BrokenPipeError:
            sys.stderr.close()  # whoever read the output has seen enough; nothing more to tell
        except (FastvolError, OSError, MemoryError) as error:
            complain(name, error)
        except KeyboardInterrupt:
            print(f"\nfastvol {name}: interrupted", file=sys.stderr)
        return EXIT_CANNOT

    return run


def complain(name: str, problem: BaseException) -> None:
    """One line on standard error."""
    print(f"fastvol {name}: {reason_of(problem) or type(problem).__name__}", file=sys.stderr)


def print_json(document: Any) -> None:
    """The one document of ``-json``."""
    json.dump(document, sys.stdout, indent=2)
    print()
