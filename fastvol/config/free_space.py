"""The minimum of free space a location keeps: a percentage or an amount.

Grammar of ``weed/util/minfreespace.go`` and ``weed/util/bytes.go``.
"""

import re
from dataclasses import dataclass
from typing import Final

from fastvol.config.go_values import parse_float

_SIZE: Final = re.compile(r"([0-9.,]+)\s*([A-Za-z]+)")
_PERCENT_MAX: Final = 100
_BYTES_MIN: Final = 100
_UINT64_MAX: Final = (1 << 64) - 1
_MULTIPLES: Final = {
    "b": 1,
    **{
        letter + suffix: base**power
        for power, letter in enumerate("kmgtpe", 1)
        for base, suffixes in ((1000, ("", "b")), (1024, ("i", "ib")))
        for suffix in suffixes
    },
}


@dataclass(frozen=True, slots=True)
class MinFreeSpace:
    """Exactly one of the two is set: percent of the disk (0 to 100), or bytes."""

    percent: float | None = None
    bytes: int | None = None


def parse_min_free_space(text: str) -> MinFreeSpace:
    """Parse ``1``, ``2.5``, ``10GiB``; a bare number is a percentage and must not exceed 100.

    Raises:
        ValueError: neither form, or out of range.
    """
    text = text.strip()
    try:
        percent = parse_float(text)
    except ValueError:
        return MinFreeSpace(bytes=_parse_bytes(text))
    if not 0 <= percent <= _PERCENT_MAX:
        raise ValueError(f"not a percentage: {text}")
    return MinFreeSpace(percent=percent)


def _parse_bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    multiple = _MULTIPLES.get(match[2].lower()) if match else None
    if match is None or multiple is None:
        raise ValueError(f"not a size: {text}")
    size = int(parse_float(match[1].replace(",", "")) * multiple)
    if not _BYTES_MIN < size <= _UINT64_MAX:
        raise ValueError(f"size out of range: {text}")
    return size
