"""Media types with parameters, as Go's ``mime.ParseMediaType`` reads them.

Used for Content-Type and for Content-Disposition, whose type has no slash. Error texts reach
clients: a POST or PUT whose Content-Type does not parse is refused with them.
"""

import re
from typing import Final, NamedTuple

from fastvol.errors import InvalidRequestError
from fastvol.http.go_text import to_bytes, to_text
from fastvol.http.percent import bad_escape, decode_escapes

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z{}]+")
"""What stands unquoted as a type, a parameter's name or its value."""
_BLANKS: Final = re.compile(r"\s+")
_TSPECIALS: Final = frozenset('()<>@,;:\\"/[]?=')
_INVALID_PARAMETER: Final = "mime: invalid media parameter"


class MediaType(NamedTuple):
    """Lower-case type and its parameters by lower-case name."""

    kind: str
    parameters: dict[str, str]


def parse_media_type(text: str) -> MediaType:
    """Parse ``type/subtype; name=value; ...``; RFC 2231 values are decoded and joined.

    Raises:
        InvalidRequestError: with Go's text.
    """
    base, semicolon, _ = text.partition(";")
    kind = base.lower().strip()
    _check_kind(kind)
    pieces: dict[str, str] = {}
    at = len(base) if semicolon else len(text)
    while True:
        at = _behind_blanks(text, at)
        if at == len(text) or (at == len(text) - 1 and text[at] == ";"):
            return MediaType(kind, _joined(pieces))
        name, value, at = _parameter(text, at)
        if pieces.setdefault(name, value) != value:
            raise InvalidRequestError("mime: duplicate parameter name")


def _check_kind(kind: str) -> None:
    token = TOKEN.match(kind)
    if not token:
        raise InvalidRequestError("mime: no media type")
    rest = kind[token.end() :]
    if not rest:
        return
    if rest[0] != "/":
        raise InvalidRequestError("mime: expected slash after first token")
    token = TOKEN.match(rest, 1)
    if not token:
        raise InvalidRequestError("mime: expected token after slash")
    if token.end() != len(rest):
        raise InvalidRequestError("mime: unexpected content after media subtype")


def _behind_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def _parameter(text: str, at: int) -> tuple[str, str, int]:
    """Name, value and the position behind them of what should start with ``;``."""
    if not text.startswith(";", at):
        raise InvalidRequestError(_INVALID_PARAMETER)
    name = TOKEN.match(text, _behind_blanks(text, at + 1))
    if not name:
        raise InvalidRequestError(_INVALID_PARAMETER)
    at = _behind_blanks(text, name.end())
    if not text.startswith("=", at):
        raise InvalidRequestError(_INVALID_PARAMETER)
    value, at = _value(text, _behind_blanks(text, at + 1))
    return name[0].lower(), value, at


def _value(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        token = TOKEN.match(text, at)
        if not token:
            raise InvalidRequestError(_INVALID_PARAMETER)
        return token[0], token.end()
    chars: list[str] = []
    at += 1
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(chars), at + 1
        # A backslash before an ordinary character is a Windows path separator, not an escape.
        if char == "\\" and at + 1 < len(text) and text[at + 1] in _TSPECIALS:
            at += 1
            char = text[at]
        elif char in "\r\n":
            break
        chars.append(char)
        at += 1
    raise InvalidRequestError(_INVALID_PARAMETER)


def _joined(pieces: dict[str, str]) -> dict[str, str]:
    """Plain parameters as they are; starred ones decoded, numbered ones joined."""
    starred = {name.partition("*")[0] for name in pieces if "*" in name}
    if not starred:
        return pieces
    parameters = {name: value for name, value in pieces.items() if "*" not in name}
    for name in starred:
        encoded = pieces.get(name + "*")
        if encoded is not None:
            decoded = _decode_extended(encoded)
            if decoded is not None:
                parameters[name] = decoded
            continue
        joined = _join_numbered(name, pieces)
        if joined is not None:
            parameters[name] = joined
    return parameters


def _join_numbered(name: str, pieces: dict[str, str]) -> str | None:
    parts: list[str] = []
    number = 0
    while True:
        plain = pieces.get(f"{name}*{number}")
        if plain is not None:
            parts.append(plain)
        else:
            encoded = pieces.get(f"{name}*{number}*")
            if encoded is None:
                return "".join(parts) if number else None
            decoded = _decode_extended(encoded) if number == 0 else _decode_percent(encoded)
            parts.append(decoded or "")
        number += 1


def _decode_extended(text: str) -> str | None:
    """RFC 2231 ``charset'language'text``; None when it is not decodable."""
    fields = text.split("'", 2)
    if len(fields) != 3 or fields[0].lower() not in ("us-ascii", "utf-8"):
        return None
    return _decode_percent(fields[2])


def _decode_percent(text: str) -> str | None:
    raw = to_bytes(text)
    return None if bad_escape(raw) else to_text(decode_escapes(raw))
