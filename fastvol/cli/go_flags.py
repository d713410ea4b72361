"""Command-line flags with the grammar, texts and precedence of ``weed/util/fla9``.

``-name=value``, ``--name=value``, ``-name value`` and bare booleans; names contain dots, so none of
Python's parsers will do. A value comes from the command line, else the environment, else the
``-options`` file, else the default.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from fastvol.config import FlagValue
from fastvol.config.go_values import (
    format_duration,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    parse_uint,
)
from fastvol.errors import UsageError
from fastvol.formats.go_numbers import atoi, quote

Kind = Literal[
    "bool", "int", "uint", "float", "string", "duration", "level", "severity", "vmodule", "location"
]

_SEVERITIES: Final = {"INFO": 0, "WARNING": 1, "ERROR": 2, "FATAL": 3}
_OPTION_SEPARATOR: Final = re.compile(r"[= :]")


class HelpRequestedError(UsageError):
    """``-h`` or ``-help`` was given; print the usage, exit with status 2."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of a flag table; ``default`` has the type of ``kind``, durations in seconds."""

    name: str
    kind: Kind
    default: FlagValue
    help: str
    built: bool = True
    """False: accepted, but what it asks for is not there yet."""
    from_environment: bool = True


@dataclass(frozen=True, slots=True)
class ParsedFlags:
    """Values of all flags of a set, which of them were given, and the arguments left over."""

    values: dict[str, FlagValue]
    given: frozenset[str]
    arguments: list[str] = field(default_factory=list)


class FlagSet:
    """A table of flags that argument lists are parsed against."""

    def __init__(self, flags: Sequence[Flag], *, environment_prefix: str = "") -> None:
        self.flags = {flag.name: flag for flag in flags}
        self._prefix = environment_prefix

    def parse(self, argv: Sequence[str], environ: Mapping[str, str]) -> ParsedFlags:
        """Parse flags up to the first argument that is none.

        Raises:
            HelpRequestedError: ``-h`` or ``-help``.
            UsageError: anything wrong, with Go's text.
        """
        values: dict[str, FlagValue] = {}
        arguments = list(argv)
        while arguments and (word := arguments[0]).startswith("-") and len(word) > 1:
            if word == "--":
                arguments.pop(0)
                break
            self._parse_one(arguments, values)
        self._apply_environment(values, environ)
        self._apply_options_file(values)
        defaults = {flag.name: flag.default for flag in self.flags.values()}
        return ParsedFlags({**defaults, **values}, frozenset(values), arguments)

    def name_of(self, word: str) -> str | None:
        """Name of the flag that a word spells, or None when it is none of this set."""
        name = word[1:].removeprefix("-").partition("=")[0]
        return name if word.startswith("-") and name in self.flags else None

    def usage(self) -> str:
        """The flag list of the usage text, sorted by name."""
        return "".join(_usage_entry(self.flags[name]) for name in sorted(self.flags))

    def _parse_one(self, arguments: list[str], values: dict[str, FlagValue]) -> None:
        word = arguments.pop(0)
        name, equals, text = word[1:].removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}")
        flag = self.flags.get(name)
        if flag is None:
            if name in ("h", "help"):
                raise HelpRequestedError("")
            raise UsageError(f"flag provided but not defined: -{name}")
        if flag.kind == "bool":
            try:
                values[name] = parse_bool(text) if equals else True
            except ValueError as error:
                raise UsageError(
                    f"invalid boolean value {quote(text)} for -{name}: {error}"
                ) from error
            return
        if not equals:
            if not arguments:
                raise UsageError(f"flag needs an argument: -{name}")
            text = arguments.pop(0)
        try:
            values[name] = _PARSERS[flag.kind](text)
        except ValueError as error:
            raise UsageError(f"invalid value {quote(text)} for flag -{name}: {error}") from error

    def _apply_environment(self, values: dict[str, FlagValue], environ: Mapping[str, str]) -> None:
        for flag in self.flags.values():
            if flag.name in values or not flag.from_environment:
                continue
            text = environ.get(environment_name(self._prefix, flag.name))
            if text is not None:
                self._set(values, flag, text, "environment variable")

    def _apply_options_file(self, values: dict[str, FlagValue]) -> None:
        path = values.get("options")
        if not path:
            return
        try:
            lines = Path(str(path)).read_text("utf-8", "surrogateescape").splitlines()
        except OSError as error:
            raise UsageError(f"cannot read -options={path}: {error.strerror}") from error
        for line in map(str.strip, lines):
            if not line or line.startswith("#"):
                continue
            name, text = line, ""
            separator = _OPTION_SEPARATOR.search(line)
            if separator:
                name, text = line[: separator.start()].strip(), line[separator.end() :].strip()
            flag = self.flags.get(name.removeprefix("-"))
            if flag is not None and flag.name not in values:
                self._set(values, flag, text, "configuration variable")

    def _set(self, values: dict[str, FlagValue], flag: Flag, text: str, where: str) -> None:
        if flag.kind == "bool" and not text:
            values[flag.name] = True
            return
        try:
            values[flag.name] = _PARSERS[flag.kind](text)
        except ValueError as error:
            raise UsageError(
                f"invalid value {quote(text)} for {where} {flag.name}: {error}"
            ) from error


def environment_name(prefix: str, flag_name: str) -> str:
    """``port.grpc`` -> ``PORT_GRPC``, behind ``prefix``."""
    return prefix + flag_name.upper().replace("-", "_").replace(".", "_")


def _severity(text: str) -> int:
    return _SEVERITIES[text.upper()] if text.upper() in _SEVERITIES else atoi(text)


def _vmodule(text: str) -> str:
    for item in filter(None, text.split(",")):
        pattern, equals, level = item.partition("=")
        if not pattern or not equals or not level.isascii() or not level.isdigit():
            raise ValueError("syntax error: expect comma-separated list of filename=N")
    return text


def _location(text: str) -> str:
    if text:
        file, colon, line = text.partition(":")
        if not colon or "." not in file:
            raise ValueError("syntax error: expect file.go:234")
        if atoi(line) <= 0:
            raise ValueError("negative or zero value for level")
    return text


_PARSERS: Final[dict[Kind, Callable[[str], FlagValue]]] = {
    "bool": parse_bool,
    "int": parse_int,
    "uint": parse_uint,
    "float": parse_float,
    "string": str,
    "duration": parse_duration,
    "level": atoi,
    "severity": _severity,
    "vmodule": _vmodule,
    "location": _location,
}


def _usage_entry(flag: Flag) -> str:
    shown = {"bool": "", "level": " value", "severity": " value"}.get(flag.kind, f" {flag.kind}")
    if flag.kind in ("vmodule", "location"):
        shown = " value"
    return f"  -{flag.name}{shown}\n    \t{flag.help}{_usage_default(flag)}\n"


def _usage_default(flag: Flag) -> str:
    if not flag.default:
        return ""
    if flag.kind == "duration":
        return f" (default {format_duration(float(flag.default))})"
    if isinstance(flag.default, bool):
        return " (default true)"
    return f' (default "{flag.default}")' if flag.kind == "string" else f" (default {flag.default})"
