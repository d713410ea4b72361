"""The time to live of a volume or a needle: a count and a unit, two bytes.

Source of the rules: ``weed/storage/needle/volume_ttl.go``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.formats.go_numbers import atoi

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

EMPTY_UNIT: Final = 0
MINUTE: Final = 1
HOUR: Final = 2
DAY: Final = 3
WEEK: Final = 4
MONTH: Final = 5
YEAR: Final = 6

_LETTERS: Final = {MINUTE: "m", HOUR: "h", DAY: "d", WEEK: "w", MONTH: "M", YEAR: "y"}
_UNITS: Final = {letter: unit for unit, letter in _LETTERS.items()}
_UNIT_MINUTES: Final = {
    MINUTE: 1,
    HOUR: 60,
    DAY: 24 * 60,
    WEEK: 7 * 24 * 60,
    MONTH: 30 * 24 * 60,
    YEAR: 365 * 24 * 60,
}
_COUNT_LIMIT: Final = 256
_UINT64: Final = 2**64


@dataclass(frozen=True, slots=True)
class TTL:
    """``count`` units (0..255); ``unit`` is the stored byte.  ``EMPTY`` means: lives for ever.

    A zero count with a unit is not equal to EMPTY although it lasts no time: upstream stores and
    reports the two bytes as they are.
    """

    count: int = 0
    unit: int = EMPTY_UNIT

    @classmethod
    def parse(cls, text: str) -> TTL:
        """Reads ``3m``, ``4h``, ``5d``, ``6w``, ``7M``, ``8y`` or a bare number of minutes.

        The value is refitted into the largest unit that holds it exactly, else truncated into the
        smallest that holds it; an unknown unit letter gives EMPTY.  :exc:`ValueError` with Go's
        text when the count is no number (ReadTTL).
        """
        if not text:
            return EMPTY
        if "0" <= text[-1] <= "9":
            digits, letter = text, "m"
        else:
            digits, letter = text[:-1], text[-1]
        count = atoi(digits)
        minutes = _UNIT_MINUTES.get(_UNITS.get(letter, EMPTY_UNIT), 0)
        # Go multiplies unsigned: a negative count becomes a huge one that no unit holds.
        return _fit((count % _UINT64) * minutes * 60 % _UINT64)

    @classmethod
    def from_bytes(cls, stored: ReadableBuffer) -> TTL:
        """From the two stored bytes: count, unit (LoadTTLFromBytes)."""
        count, unit = bytes(stored)
        return cls(count, unit) if count or unit else EMPTY

    @classmethod
    def from_uint32(cls, value: int) -> TTL:
        """From ``count << 8 | unit``, the form of heartbeats (LoadTTLFromUint32)."""
        return cls.from_bytes(bytes(((value >> 8) & 0xFF, value & 0xFF)))

    def to_bytes(self) -> bytes:
        """The two stored bytes: count, unit."""
        return bytes((self.count, self.unit))

    def to_uint32(self) -> int:
        """``count << 8 | unit``, 0 for a zero count whatever its unit."""
        return self.count << 8 | self.unit if self.count else 0

    @property
    def minutes(self) -> int:
        """How long it lasts; 0 for ever."""
        return self.count * _UNIT_MINUTES.get(self.unit, 0)

    @property
    def seconds(self) -> int:
        """How long it lasts; 0 for ever."""
        return self.minutes * 60

    def __str__(self) -> str:
        letter = _LETTERS.get(self.unit)
        return f"{self.count}{letter}" if self.count and letter else ""


EMPTY: Final = TTL()


def _fit(seconds: int) -> TTL:
    """The stored form of a duration (fitTtlCount)."""
    if seconds == 0:
        return EMPTY
    for unit in (YEAR, MONTH, WEEK, DAY, HOUR):
        count, rest = divmod(seconds, _UNIT_MINUTES[unit] * 60)
        if rest == 0 and count < _COUNT_LIMIT:
            return TTL(count, unit)
    for unit in (MINUTE, HOUR, DAY, WEEK, MONTH, YEAR):
        count = seconds // (_UNIT_MINUTES[unit] * 60)
        if count < _COUNT_LIMIT:
            return TTL(count, unit)
    return EMPTY
