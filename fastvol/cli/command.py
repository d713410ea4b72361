"""What all subcommands share: parsing, usage texts, the fatal line, exit statuses."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fastvol.cli.global_flags import GlobalOptions, not_built_flags
from fastvol.cli.go_flags import FlagSet, HelpRequestedError, ParsedFlags
from fastvol.errors import ConfigError, UsageError
from fastvol.observability import logs

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_FATAL: Final = 255

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand; ``flags`` is called only when the command runs or is described."""

    name: str
    example: str
    description: str
    flags: Callable[[], FlagSet]
    body: Callable[[ParsedFlags, GlobalOptions], int]
    reads_environment: bool = True

    def run(self, argv: Sequence[str], options: GlobalOptions) -> int:
        """Parse ``argv`` and do the work; returns the exit status."""
        flags = self.flags()
        try:
            parsed = flags.parse(argv, os.environ if self.reads_environment else {})
        except UsageError as error:
            return self._usage_error(flags, error)
        logs.configure(verbosity=options.verbosity, as_json=options.log_json)
        ignored = (*options.not_built, *not_built_flags(flags, parsed))
        if ignored:
            _log.warning("accepted, but not built yet: %s", ", ".join(f"-{n}" for n in ignored))
        try:
            return self.body(parsed, options)
        except UsageError as error:
            return self._usage_error(flags, error)
        except ConfigError as error:
            _log.critical("%s", error)
            return EXIT_FATAL

    def help_text(self) -> str:
        """The text of ``fastvol help <name>``."""
        return (
            f"Usage: fastvol {self.example}\n\n  {self.description}\n\n"
            f"Default Parameters:\n{self.flags().usage()}"
        )

    def _usage_error(self, flags: FlagSet, error: UsageError) -> int:
        if not isinstance(error, HelpRequestedError):
            print(error, file=sys.stderr)
        print(
            f"Example: fastvol {self.example}\nDefault Usage:\n{flags.usage()}"
            f"Description:\n  {self.description}",
            file=sys.stderr,
        )
        return EXIT_USAGE
