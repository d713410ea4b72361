"""What one query may cost; a path of a caller's could otherwise ask for anything."""

from __future__ import annotations

from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.limits import KIB, MIB

PATH_BYTES_MAX: Final = 16 * KIB
"""Of a path or of the operand of a filter."""
NESTED_MAX: Final = 64
"""Paths within paths: behind sharps, in queries, in selections."""
MADE_BYTES_MAX: Final = 64 * MIB
"""Of text that is made and not only found."""
REPLY_BYTES_MAX: Final = 256 * MIB
"""What is selected of one needle."""

MEMBERS_MAX: Final = 1 << 20
"""Of an object or array that is turned round."""


class Limits:
    """The limits of one look-up."""

    def __init__(self) -> None:
        self._nested = 0

    def enter(self) -> None:
        """One path within another begins."""
        self._nested += 1
        if self._nested > NESTED_MAX:
            raise InvalidRequestError(f"query path has more than {NESTED_MAX} paths within paths")

    def leave(self) -> None:
        """It has ended."""
        self._nested -= 1


def check_path(path: bytes) -> bytes:
    """``path``, unless it is too long."""
    if len(path) > PATH_BYTES_MAX:
        raise InvalidRequestError(f"query text is longer than {PATH_BYTES_MAX} bytes")
    return path


def check_made(size: int) -> None:
    """Text of ``size`` bytes is about to be made."""
    if size > MADE_BYTES_MAX:
        raise InvalidRequestError(f"query result is larger than {MADE_BYTES_MAX} bytes")


def check_reply(size: int) -> None:
    """A reply is about to grow to ``size`` bytes."""
    if size > REPLY_BYTES_MAX:
        raise InvalidRequestError(f"query selects more than {REPLY_BYTES_MAX} bytes")


def check_members(count: int) -> None:
    """One more than ``count`` members are about to be remembered."""
    if count >= MEMBERS_MAX:
        raise InvalidRequestError(f"query cannot reverse more than {MEMBERS_MAX} members")
