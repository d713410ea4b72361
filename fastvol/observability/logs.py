"""Log lines in the form of ``weed/glog``, text or JSON, on standard error.

``I1122 08:14:41.305200 volume.py:626 message``: severity, month and day, local time, place. Levels
below INFO are verbosities: ``_log.log(verbose(1), ...)`` shows under ``-v=1`` and up.
"""

import json
import logging
import sys
import time
from typing import Final, TextIO

_LETTERS: Final = {"W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_NAMES: Final = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
_VERBOSITY_MAX: Final = 4
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
_ESCAPES: Final = {
    code: chr(code).encode("unicode_escape").decode() for code in _CONTROLS if code != ord("\t")
}


def verbose(level: int) -> int:
    """The logging level of messages that ``-v=level`` shows; 0 is INFO."""
    return logging.INFO - level


def configure(*, verbosity: int = 0, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send all log records of the process to ``stream`` (standard error), replacing what was."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(verbose(min(max(verbosity, 0), _VERBOSITY_MAX)))


class TextFormatter(logging.Formatter):
    """One line a record; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        local = time.localtime(record.created)
        microseconds = int(record.created % 1 * 1e6)
        stamp = time.strftime("%m%d %H:%M:%S", local)
        line = (
            f"{_letter(record)}{stamp}.{microseconds:06d} "
            f"{record.filename}:{record.lineno} {_in_one_line(record.getMessage())}"
        )
        return line + _trace(self, record)


class JsonFormatter(logging.Formatter):
    """One JSON object a record; a traceback is part of the message."""

    def format(self, record: logging.LogRecord) -> str:
        utc = time.gmtime(record.created)
        nanoseconds = int(record.created % 1 * 1e9)
        return json.dumps(
            {
                "ts": f"{time.strftime('%Y-%m-%dT%H:%M:%S', utc)}.{nanoseconds:09d}Z",
                "level": _NAMES[_letter(record)],
                "file": record.filename,
                "line": record.lineno,
                "msg": record.getMessage() + _trace(self, record),
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )


def _in_one_line(message: str) -> str:
    """Paths and names of clients get into messages: none may look like a line of ours, or speak to
    the terminal that shows it."""
    return message if message.isprintable() else message.translate(_ESCAPES)


def _letter(record: logging.LogRecord) -> str:
    letter = "I"
    for candidate, level in _LETTERS.items():
        if record.levelno >= level:
            letter = candidate
    return letter


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = ""
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + formatter.formatException(record.exc_info)
    if record.stack_info:
        text += "\n" + formatter.formatStack(record.stack_info)
    return text
