"""The request headers that handlers see: the first value of each name, whatever its case."""

from collections.abc import Iterator

from fastvol.http.go_text import to_text

RawHeaders = list[tuple[bytes, bytes]]
"""Name and value as received, in order, duplicates included."""


class Headers:
    """First values by lower-case name.

    Upstream reads every header with Go's ``Header.Get``, which knows only the first value; the raw
    list stays available for what is copied to other servers.
    """

    __slots__ = ("_first", "raw")

    def __init__(self, raw: RawHeaders) -> None:
        self.raw = raw
        # Later assignments win, so going backwards leaves the first value of each name.
        self._first = {name.lower(): value for name, value in reversed(raw)}

    def get(self, name: bytes, default: bytes = b"") -> bytes:
        """First value of the lower-case ``name``, without surrounding blanks."""
        value = self._first.get(name)
        return default if value is None else value.strip(b" \t")

    def text(self, name: bytes) -> str:
        """First value as text (see :mod:`fastvol.http.go_text`); empty when absent."""
        value = self._first.get(name)
        return "" if value is None else to_text(value.strip(b" \t"))

    def all(self, name: bytes) -> list[bytes]:
        """Every value of the lower-case ``name``, without surrounding blanks."""
        if name not in self._first:
            return []
        return [value.strip(b" \t") for other, value in self.raw if other.lower() == name]

    def __contains__(self, name: bytes) -> bool:
        return name in self._first

    def with_prefix(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Lower-case names that start with ``prefix``, and their first values."""
        for name, value in self._first.items():
            if name.startswith(prefix):
                yield name, value.strip(b" \t")


def canonical_name(name: bytes) -> bytes:
    """Go's canonical form: ``content-MD5`` -> ``Content-Md5``.

    A name with bytes outside the token set is returned as it is
    (``net/textproto: CanonicalMIMEHeaderKey``).
    """
    if not is_token(name):
        return name
    return b"-".join(piece[:1].upper() + piece[1:].lower() for piece in name.split(b"-"))


_TOKEN_BYTES = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def is_token(name: bytes) -> bool:
    """Whether ``name`` may be a header name (RFC 9110 token)."""
    return bool(name) and _TOKEN_BYTES.issuperset(name)
