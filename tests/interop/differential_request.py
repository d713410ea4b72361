"""What the requests of the differential test are made of.

Volume 1 is an ordinary one, 2 belongs to a collection, 3 has a TTL, 4 is read-only, 9 does not
exist.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SEED: Final = 448
COOKIE: Final = "11223344"
ORDINARY, IN_COLLECTION, WITH_TTL, READ_ONLY, MISSING = 1, 2, 3, 4, 9
FILE_LIMIT_MIB: Final = 4
LARGE_BYTES: Final = (1 << 20) + 5000
"""Above the size up to which objects are read whole."""
TS: Final = "ts=1700000000"

BINARY: Final = b"\x00\x01binary"
TEXT: Final = b"a line of text\n"
LONG_TEXT: Final = TEXT * 100
OWN_GZIP: Final = gzip.compress(LONG_TEXT, mtime=0)

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes to send, and what is special about comparing what comes back.

    ``deviation`` names an entry of the test's list of deliberate differences; ``methods``: of each
    request in it, when there are several; ``alone``: on a connection of its own; ``public``: to the
    port for reads only.
    """

    group: str
    raw: bytes
    deviation: str = ""
    methods: tuple[bytes, ...] = ()
    alone: bool = False
    public: bool = False

    @property
    def title(self) -> str:
        shown = self.raw if len(self.raw) < 400 else self.raw[:400] + b"..."
        return f"[{self.group}] {shown!r}"


def message(
    method: str,
    target: str,
    headers: Sequence[Header] = (),
    body: bytes | None = None,
    *,
    version: str = "HTTP/1.1",
) -> bytes:
    """A well-formed request."""
    given = [("Host", "volume"), *headers]
    if body is not None and not any(name == "Transfer-Encoding" for name, _ in headers):
        given.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in given)
    return f"{method} {target} {version}\r\n{head}\r\n".encode("latin-1") + (body or b"")
