"""File ids: ``<volume id>,<needle id in hex><cookie in 8 hex digits>``.

Source of the rules: ``weed/storage/needle/volume_id.go``, ``file_id.go`` and ``needle.go``
(ParsePath, ParseNeedleIdCookie).  Parsing raises :exc:`ValueError` with upstream's texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastvol.formats.go_numbers import UINT64_MAX, parse_uint

COOKIE_DIGITS: Final = 8
KEY_DIGITS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class FileId:
    """The name of one needle in a cluster."""

    volume_id: int
    key: int
    cookie: int

    @classmethod
    def parse(cls, text: str) -> FileId:
        """Reads ``"7,01890e2b08"`` (ParseFileIdFromString); no ``_delta`` here."""
        volume_text, comma, rest = text.partition(",")
        if not comma or not volume_text:
            raise ValueError("wrong fid format")
        volume_id = parse_volume_id(volume_text)
        key, cookie = parse_key_cookie(rest)
        return cls(volume_id, key, cookie)

    def __str__(self) -> str:
        return format_file_id(self.volume_id, self.key, self.cookie)


def parse_volume_id(text: str) -> int:
    """A decimal volume id, truncated to 32 bits as upstream does (NewVolumeId)."""
    return parse_uint(text) & 0xFFFFFFFF


def parse_key_cookie(text: str) -> tuple[int, int]:
    """Needle id and cookie from their joined hex digits (ParseNeedleIdCookie)."""
    length = _byte_length(text)
    if length <= COOKIE_DIGITS:
        raise ValueError("KeyHash is too short.")
    if length > KEY_DIGITS_MAX + COOKIE_DIGITS:
        raise ValueError("KeyHash is too long.")
    key_text, cookie_text = _cut_before(text, COOKIE_DIGITS)
    try:
        key = parse_uint(key_text, 16)
    except ValueError as error:
        raise ValueError(
            f"Parse needleId error: needle id {key_text} format error: {error}"
        ) from None
    try:
        cookie = parse_uint(cookie_text, 16)
    except ValueError as error:
        raise ValueError(
            f"Parse cookie error: needle cookie {cookie_text} format error: {error}"
        ) from None
    return key, cookie


def parse_path(fid: str) -> tuple[int, int]:
    """Needle id and cookie from a URL's ``<key><cookie>[_delta]`` (ParsePath).

    The delta is added to the needle id: that is how the ids of one ``count=N`` assignment are told
    apart.
    """
    if _byte_length(fid) <= COOKIE_DIGITS:
        raise ValueError(f"Invalid fid: {fid}")
    at = fid.rfind("_")
    text, delta_text = (fid[:at], fid[at + 1 :]) if at > 0 else (fid, "")
    key, cookie = parse_key_cookie(text)
    if not delta_text:
        return key, cookie
    delta = parse_uint(delta_text)
    if key + delta > UINT64_MAX:
        raise ValueError(f"delta {delta} overflows needle id {hex_of_hex(key)}")
    return key + delta, cookie


def format_key_cookie(key: int, cookie: int) -> str:
    """Lower-case hex with the key's leading zero *bytes* left out."""
    key_bytes = key.to_bytes(8, "big").lstrip(b"\0")
    return f"{key_bytes.hex()}{cookie:08x}"


def format_file_id(volume_id: int, key: int, cookie: int) -> str:
    """``"7,01890e2b08"`` (FileId.String)."""
    return f"{volume_id},{format_key_cookie(key, cookie)}"


def hex_of_hex(key: int) -> str:
    """A needle id as some upstream messages print it: the hex digits, hex-encoded once more."""
    return f"{key:x}".encode().hex()


def _cut_before(text: str, last: int) -> tuple[str, str]:
    """What lies before so many bytes at the end, and those: upstream counts bytes, not letters."""
    if text.isascii():
        return text[:-last], text[-last:]
    raw = text.encode("utf-8", "surrogateescape")
    head, tail = raw[:-last], raw[-last:]
    return head.decode("utf-8", "surrogateescape"), tail.decode("utf-8", "surrogateescape")


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
