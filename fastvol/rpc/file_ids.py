"""The file ids in requests, read as leniently as upstream reads them.

Source: weed/operation/file_id.go: ParseFileId; weed/storage/needle: NewVolumeId, ParsePath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastvol.formats.file_id import parse_path, parse_volume_id

_UINT32_MASK: Final = 0xFFFFFFFF


def read_file_id(
    text: str, parse: Callable[[str], tuple[int, int]] = parse_path
) -> tuple[int, int, int]:
    """Volume id, key and cookie; raises ValueError with upstream's words."""
    volume_text, comma, needle_text = text.partition(",")
    if not (volume_text and comma):
        raise ValueError("Wrong fid format.")
    volume_id = _lenient_volume_id(volume_text)
    key, cookie = parse(needle_text)
    return volume_id, key, cookie


def _lenient_volume_id(text: str) -> int:
    """A volume id whose parse error upstream ignores: 0, or all ones when it overflows."""
    try:
        return parse_volume_id(text)
    except ValueError:
        return _UINT32_MASK if text.isascii() and text.isdigit() else 0
