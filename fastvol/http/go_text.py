"""Go's view of text: strings are bytes that are usually UTF-8.

Everything the HTTP layer calls text is a ``str`` made by :func:`to_text`: bytes that are not UTF-8
become lone surrogates, one a byte, so that :func:`to_bytes` restores exactly what was received and
the encoders can show each bad byte the way Go shows it.
"""

from typing import Final

from fastvol.formats.go_numbers import quote as go_quote

__all__ = ["go_base", "go_bool", "go_quote", "to_bytes", "to_text"]

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})


def to_text(raw: bytes) -> str:
    """Bytes from the wire as text; never fails and never loses a byte."""
    return raw.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes that :func:`to_text` was given."""
    return text.encode("utf-8", "surrogateescape")


def go_bool(text: str) -> bool:
    """``strconv.ParseBool`` with its error read as false, as every handler does."""
    return text in _TRUE


def go_base(path: str) -> str:
    """``path.Base``: the last element, ``.`` for nothing, ``/`` for only slashes."""
    if not path:
        return "."
    stripped = path.rstrip("/")
    return stripped.rpartition("/")[2] if stripped else "/"
