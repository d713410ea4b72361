"""How one object store is spoken to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What a client of an S3-compatible store needs.

    Without an ``endpoint`` it is AWS.  Without keys, requests are signed with what the environment
    offers, or, if ``anonymous``, not at all.  ``path_style`` puts the bucket into the path of a URL
    instead of its host.
    """

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    path_style: bool = True
    anonymous: bool = False
    user_agent: str = ""
