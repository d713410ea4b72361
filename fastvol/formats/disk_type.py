"""Disk types: the empty string is a hard disk, everything else is a lower-case tag.

Source of the rules: ``weed/storage/types/volume_disk_type.go``.
"""

from typing import Final

HDD: Final = ""
SSD: Final = "ssd"
_READABLE_HDD: Final = "hdd"


def normalize(text: str) -> str:
    """The form on the wire and in memory: ``""`` for a hard disk, else lower case (ToDiskType)."""
    lowered = text.lower()
    return HDD if lowered == _READABLE_HDD else lowered


def readable(text: str) -> str:
    """The form for people and log lines: ``hdd`` instead of the empty string."""
    return normalize(text) or _READABLE_HDD
