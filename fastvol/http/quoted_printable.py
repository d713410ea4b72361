"""The quoted-printable encoding of a form's part, as Go reads it.

It is milder than the RFC in some ways (line feeds alone, an equals sign that introduces nothing) and
not in others: control bytes end it with an error, whose text clients see. The standard library takes
everything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastvol.errors import InvalidRequestError
from fastvol.http.go_text import go_quote, to_text
from fastvol.limits import MULTIPART_LINE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLANKS: Final = b" \t\r\n"
# An escape, an equals sign at the end of what is known, a byte that must be escaped.
_SPECIAL: Final = re.compile(
    rb"=([0-9A-Fa-f]{2})|=(?=[\r\n]|\Z)|([\x00-\x08\x0b\x0c\x0e-\x1f\x7f])"
)


def decode_quoted_printable(data: bytes, *, is_whole: bool) -> bytes:
    """The bytes that ``data`` stands for; ``is_whole`` says that its part had an end.

    Raises:
        InvalidRequestError: with Go's text.
    """
    return b"".join(_decoded(data, is_whole=is_whole))


def _decoded(data: bytes, *, is_whole: bool) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        feed = data.find(b"\n", at, at + MULTIPART_LINE_BYTES_MAX)
        too_long = feed < 0 and len(data) - at > MULTIPART_LINE_BYTES_MAX
        end = feed + 1 if feed >= 0 else min(len(data), at + MULTIPART_LINE_BYTES_MAX)
        line = data[at:end]
        at = end
        text = line.rstrip(_BLANKS)
        follows = line[len(text) :]
        if not text.endswith(b"="):
            ending = (b"\r\n" if follows.endswith(b"\r\n") else b"\n") if feed >= 0 else b""
            yield _unescaped(text + ending)
        else:
            follows = follows.lstrip(b" \t")
            yield _unescaped(text[:-1])
            is_end = not follows and len(text) > 1 and is_whole and not too_long
            if not is_end and not follows.startswith((b"\n", b"\r\n")):
                shown = go_quote(to_text(follows))
                raise InvalidRequestError(f"quotedprintable: invalid bytes after =: {shown}")
        if too_long:
            raise InvalidRequestError("bufio: buffer full")


def _unescaped(line: bytes) -> bytes:
    def meant(found: re.Match[bytes]) -> bytes:
        if found[1]:
            return bytes((int(found[1], 16),))
        if found[2]:
            raise InvalidRequestError(
                f"quotedprintable: invalid unescaped byte 0x{found[2][0]:02x} in body"
            )
        if len(line) - found.end() < 2:
            raise InvalidRequestError("unexpected EOF")
        raise InvalidRequestError(f"quotedprintable: invalid hex byte 0x{line[found.end()]:02x}")

    return _SPECIAL.sub(meant, line)
