"""The guard that security.toml and the flags ask for; replaced as a whole on reload."""

from dataclasses import dataclass, field

from fastvol.http.query import parse_query
from fastvol.http.request import Request
from fastvol.security.jwt import TokenChecker, find_token
from fastvol.security.white_list import WhiteList


@dataclass(frozen=True, slots=True)
class AccessRules:
    """White list and the two token checkers of one moment."""

    white_list: WhiteList = field(default_factory=lambda: WhiteList(()))
    write_tokens: TokenChecker = field(default_factory=lambda: TokenChecker(""))
    read_tokens: TokenChecker = field(default_factory=lambda: TokenChecker(""))


class Access:
    """Implements :class:`fastvol.http.guard.AccessGuard`; ``rules`` may be swapped at any time."""

    def __init__(self, rules: AccessRules) -> None:
        self.rules = rules

    def allows_peer(self, request: Request) -> bool:
        """White list, on the TCP peer address only."""
        return self.rules.white_list.allows(request.peer)

    def allows_read(self, request: Request, vid: str, fid: str) -> bool:
        """Read token, when a read key is set."""
        return self._permits(self.rules.read_tokens, request, vid, fid)

    def allows_write(self, request: Request, vid: str, fid: str) -> bool:
        """Write token, when a write key is set."""
        return self._permits(self.rules.write_tokens, request, vid, fid)

    def token_of(self, request: Request) -> str:
        """From query, header or cookie, whichever comes first."""
        headers = request.headers
        query_token = parse_query(request.target.raw_query).get("jwt", "")
        return find_token(query_token, headers.text(b"authorization"), headers.text(b"cookie"))

    def _permits(self, checker: TokenChecker, request: Request, vid: str, fid: str) -> bool:
        return not checker.enabled or checker.permits(self.token_of(request), vid, fid)
