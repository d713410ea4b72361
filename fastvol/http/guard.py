"""Who may do what over HTTP: white list for changes, JWT for reads and changes."""

from typing import Protocol

from fastvol.http.request import Request


class AccessGuard(Protocol):
    """What the object handlers ask before they do anything."""

    def allows_peer(self, request: Request) -> bool:
        """Whether the TCP peer may change data (weed/security/guard.go: WhiteList)."""

    def allows_read(self, request: Request, vid: str, fid: str) -> bool:
        """Whether the request's token, if one is needed, covers this read."""

    def allows_write(self, request: Request, vid: str, fid: str) -> bool:
        """Whether the request's token, if one is needed, covers this change."""

    def token_of(self, request: Request) -> str:
        """The token that the request carries, empty for none; it goes along to other copies."""


class OpenGuard:
    """No white list and no keys: everything is allowed."""

    def allows_peer(self, _request: Request) -> bool:
        """Always."""
        return True

    def allows_read(self, _request: Request, _vid: str, _fid: str) -> bool:
        """Always."""
        return True

    def allows_write(self, _request: Request, _vid: str, _fid: str) -> bool:
        """Always."""
        return True

    def token_of(self, _request: Request) -> str:
        """None."""
        return ""
