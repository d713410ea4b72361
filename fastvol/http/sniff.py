"""Content-Type from the first bytes, as Go's ``net/http: DetectContentType`` decides it.

The WHATWG sniffing rules in Go's order: the first match wins. This is the reference that the C
twin is compared with.
"""

import re
from typing import Final

from fastvol.limits import SNIFF_BYTES_MAX

TEXT: Final = "text/plain; charset=utf-8"
BINARY: Final = "application/octet-stream"

_BLANKS: Final = b"\t\n\x0c\r "
_BINARY_BYTE: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_HTML: Final = re.compile(
    rb"<(?:!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P|!--)"
    rb"[ >]",
    re.IGNORECASE,
)

# Each row: pattern at the very first byte, its type. Order matters only where patterns overlap.
_SIGNATURES: Final = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"%PDF-", "application/pdf"),
        (rb"%!PS-Adobe-", "application/postscript"),
        (rb"\xfe\xff..", "text/plain; charset=utf-16be"),
        (rb"\xff\xfe..", "text/plain; charset=utf-16le"),
        (rb"\xef\xbb\xbf.", TEXT),
        (rb"\x00\x00[\x01\x02]\x00", "image/x-icon"),
        (rb"BM", "image/bmp"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBPVP", "image/webp"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"FORM....AIFF", "audio/aiff"),
        (rb"ID3", "audio/mpeg"),
        (rb"OggS\x00", "application/ogg"),
        (rb"MThd\x00\x00\x00\x06", "audio/midi"),
        (rb"RIFF....AVI ", "video/avi"),
        (rb"RIFF....WAVE", "audio/wave"),
        (rb"(?=....ftyp)", "video/mp4"),
        (rb"\x1a\x45\xdf\xa3", "video/webm"),
        (rb".{34}LP", "application/vnd.ms-fontobject"),
        (rb"\x00\x01\x00\x00", "font/ttf"),
        (rb"OTTO", "font/otf"),
        (rb"ttcf", "font/collection"),
        (rb"wOFF", "font/woff"),
        (rb"wOF2", "font/woff2"),
        (rb"\x1f\x8b\x08", "application/x-gzip"),
        (rb"PK\x03\x04", "application/zip"),
        (rb"Rar!\x1a\x07(?:\x00|\x01\x00)", "application/x-rar-compressed"),
        (rb"\x00asm", "application/wasm"),
    )
)

_FIRST_BYTES: Final = frozenset(b"%\xfe\xff\xef\x00BGR\x89FIOM\x1atw\x1fP")


def detect_content_type(data: bytes | bytearray | memoryview) -> str:
    """The type of ``data``, of which the first 512 bytes count; never empty."""
    head = bytes(data[:SNIFF_BYTES_MAX])
    stripped = head.lstrip(_BLANKS)
    if stripped.startswith(b"<"):
        if _HTML.match(stripped):
            return "text/html; charset=utf-8"
        if stripped.startswith(b"<?xml"):
            return "text/xml; charset=utf-8"
    if head and (head[0] in _FIRST_BYTES or head[4:8] == b"ftyp" or head[34:36] == b"LP"):
        for pattern, kind in _SIGNATURES:
            if pattern.match(head) and (kind != "video/mp4" or _is_mp4(head)):
                return kind
    return BINARY if _BINARY_BYTE.search(stripped) else TEXT


def _is_mp4(head: bytes) -> bool:
    """An ``ftyp`` box that lies within ``head`` and names an mp4 brand."""
    box_size = int.from_bytes(head[:4], "big")
    if len(head) < 12 or len(head) < box_size or box_size % 4 != 0:
        return False
    # Offset 12 holds the minor version, which is not a brand.
    return any(head[at : at + 3] == b"mp4" for at in range(8, box_size, 4) if at != 12)
