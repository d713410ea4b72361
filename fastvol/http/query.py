"""Request targets: path, query and form values with Go's tolerance and Go's error texts.

Rules of ``net/url`` (ParseQuery, unescape, URL.EscapedPath) and of ``net/http``'s ServeMux (clean
paths), which upstream inherits from its standard library.
"""

import re
from html import escape as _html_escape
from typing import Final, NamedTuple

from fastvol.errors import InvalidRequestError
from fastvol.http.go_text import go_quote, to_text
from fastvol.http.percent import bad_escape, decode_escapes

Query = dict[str, str]
"""First value of each key."""

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_ABSOLUTE_FORM: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?]*")
_PATH_SAFE: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~$&+,/:;=@"
)
_PATH_VALID_RAW: Final = _PATH_SAFE | frozenset(b"!'()*[]%")


class Target(NamedTuple):
    """A request target, still percent-encoded."""

    raw_path: bytes
    raw_query: bytes

    @property
    def escaped_path(self) -> bytes:
        """The path as it can be sent on: also what a client may leave as it is, but no URL holds
        (``net/url: URL.EscapedPath``)."""
        return _escaped(self.raw_path)


def split_target(target: bytes) -> Target:
    """Split a request target into path and query; an absolute-form target loses its origin.

    Raises:
        InvalidRequestError: the target does not start with a slash, or holds control bytes.
    """
    if _CONTROL.search(target):
        raise InvalidRequestError("net/url: invalid control character in URL")
    if not target.startswith(b"/"):
        origin = _ABSOLUTE_FORM.match(target)
        if origin:
            target = target[origin.end() :]
            if not target.startswith(b"/"):
                target = b"/" + target
        elif target != b"*":
            raise InvalidRequestError("invalid URI for request")
    raw_path, _, raw_query = target.partition(b"?")
    return Target(raw_path, raw_query)


def decode_path(raw_path: bytes) -> str:
    """Percent-decode a path; ``+`` stays a plus.

    Raises:
        InvalidRequestError: a bad escape.
    """
    return to_text(_unescape(raw_path) if b"%" in raw_path else raw_path)


def parse_query(raw: bytes) -> Query:
    """Query of a GET, HEAD or DELETE: pairs that do not decode are dropped."""
    values: Query = {}
    if raw:
        for pair in raw.split(b"&"):
            try:
                _add_pair(values, pair)
            except InvalidRequestError:
                continue
    return values


def parse_query_all(raw: bytes) -> dict[str, list[str]]:
    """As :func:`parse_query`, with every value of a key."""
    values: dict[str, list[str]] = {}
    for pair in raw.split(b"&"):
        one: Query = {}
        try:
            _add_pair(one, pair)
        except InvalidRequestError:
            continue
        for key, value in one.items():
            values.setdefault(key, []).append(value)
    return values


def parse_query_strict(raw: bytes) -> Query:
    """Query or urlencoded form of a POST or PUT.

    Raises:
        InvalidRequestError: with the text of the first pair that does not decode; a semicolon
            anywhere is told first.
    """
    values: Query = {}
    if b";" in raw:
        raise InvalidRequestError("invalid semicolon separator in query")
    if raw:
        for pair in raw.split(b"&"):
            _add_pair(values, pair)
    return values


def clean_location(target: Target) -> str | None:
    """Where a path that is not clean is redirected to (307), or None when it is clean.

    Clean is meant literally: percent-encoded dots and slashes are ordinary characters
    (``net/http: cleanPath``, ``ServeMux.findHandler``).
    """
    raw_path = target.raw_path
    if b"//" not in raw_path and b"/." not in raw_path:
        return None
    cleaned = _clean(raw_path)
    if cleaned == raw_path:
        return None
    location = _escaped(cleaned)
    if target.raw_query:
        location += b"?" + target.raw_query
    return "".join(chr(byte) if byte < 0x80 else f"%{byte:02x}" for byte in location)


def redirect_body(location: str, reason: str) -> bytes:
    """Body of a GET that is redirected (``net/http: Redirect``)."""
    shown = _html_escape(location).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    return f'<a href="{shown}">{reason}</a>.\n\n'.encode()


def _add_pair(values: Query, pair: bytes) -> None:
    if b";" in pair:
        raise InvalidRequestError("invalid semicolon separator in query")
    if not pair:
        return
    key, _, value = pair.partition(b"=")
    values.setdefault(_unescape_form(key), _unescape_form(value))


def _unescape_form(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return to_text(_unescape(raw) if b"%" in raw else raw)


def _unescape(raw: bytes) -> bytes:
    bad = bad_escape(raw)
    if bad:
        raise InvalidRequestError(f"invalid URL escape {go_quote(to_text(bad))}")
    return decode_escapes(raw)


def _clean(raw_path: bytes) -> bytes:
    kept: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    cleaned = b"/" + b"/".join(kept)
    return cleaned + b"/" if kept and raw_path.endswith(b"/") else cleaned


def _escaped(raw_path: bytes) -> bytes:
    if _PATH_VALID_RAW.issuperset(raw_path):
        return raw_path
    return escape_path(_unescape(raw_path))


def escape_path(decoded: bytes) -> bytes:
    """A path of these bytes, percent-encoded where need be."""
    return b"".join(bytes((byte,)) if byte in _PATH_SAFE else b"%%%02X" % byte for byte in decoded)
