"""Tokens that permit one file id (``weed/security/jwt.go``, ``maybeCheckJwtAuthorization``).

A token is three base64url pieces, signed by HMAC over the first two with the configured key. Its
``fid`` claim must equal ``volume,file`` of the request byte for byte. Master and servers share the
key; nothing here makes tokens.

Signatures are remembered, because clients send one token for many sub-files; the times in a token
are looked at on every use.
"""

import binascii
import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import Final, NoReturn

from fastvol.limits import JWT_CACHE_ENTRIES_MAX

_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_PIECE: Final = re.compile(r"[A-Za-z0-9_-]*")
_BEARER: Final = "BEARER"
_COOKIE: Final = "AT"
_INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Claims:
    """What counts of a token with a good signature; times in whole Unix seconds."""

    fid: str
    not_after: int | None
    not_before: int | None

    def valid_at(self, now: float) -> bool:
        """Whether the token may be used at this time; expiry is exclusive, no leeway."""
        return (self.not_after is None or now < self.not_after) and (
            self.not_before is None or now >= self.not_before
        )


class TokenChecker:
    """Checks tokens against one key; an empty key permits everything."""

    def __init__(self, key: str) -> None:
        self._key = key.encode("utf-8", "surrogateescape")
        self._verified: dict[str, Claims] = {}

    @property
    def enabled(self) -> bool:
        """Whether tokens are needed at all."""
        return bool(self._key)

    def permits(self, token: str, vid: str, fid: str, now: float | None = None) -> bool:
        """Whether ``token`` permits the file of these URL pieces.

        ``fid`` is cut at its last underscore: a token for a file covers its sub-files.
        """
        if not self._key:
            return True
        claims = self._verified.get(token) or self._verify(token)
        if claims is None or not claims.valid_at(time.time() if now is None else now):
            return False
        underscore = fid.rfind("_")
        if underscore > 0:
            fid = fid[:underscore]
        return claims.fid == f"{vid},{fid}"

    def _verify(self, token: str) -> Claims | None:
        claims = _verified_claims(token, self._key) if token else None
        if claims is not None:
            if len(self._verified) >= JWT_CACHE_ENTRIES_MAX:
                self._verified.clear()
            self._verified[token] = claims
        return claims


def find_token(query_jwt: str, authorization: str, cookies: str) -> str:
    """The one token that counts: ``?jwt=``, else the bearer token, else the cookie ``AT``.

    There is no falling back from a bad one to the next. Empty when there is none.
    """
    if query_jwt:
        return query_jwt
    # The byte behind the word is not looked at, which makes "Bearer:token" work too.
    if len(authorization) > len(_BEARER) + 1 and authorization[: len(_BEARER)].upper() == _BEARER:
        return authorization[len(_BEARER) + 1 :]
    for cookie in cookies.split(";"):
        name, equals, value = cookie.strip().partition("=")
        if equals and name == _COOKIE:
            quoted = len(value) > 1 and value[0] == value[-1] == '"'
            return value[1:-1] if quoted else value
    return ""


def _verified_claims(token: str, key: bytes) -> Claims | None:
    """The claims of a token whose signature and types are right, else None."""
    pieces = token.split(".")
    if len(pieces) != 3:
        return None
    try:
        header = _members(pieces[0])
        digest = _DIGESTS.get(_text(header.get("alg")))
        if digest is None:
            return None
        signed = f"{pieces[0]}.{pieces[1]}".encode()
        if not hmac.compare_digest(hmac.digest(key, signed, digest), _decoded(pieces[2])):
            return None
        # Go matches member names in any case.
        claims = {name.lower(): value for name, value in _members(pieces[1]).items()}
        for name in ("iss", "sub", "jti"):
            _text(claims.get(name))
        _check_audience(claims.get("aud"))
        _seconds(claims.get("iat"))
        return Claims(
            _text(claims.get("fid")), _seconds(claims.get("exp")), _seconds(claims.get("nbf"))
        )
    except (ValueError, RecursionError):
        return None


def _decoded(piece: str) -> bytes:
    if not _PIECE.fullmatch(piece):
        raise ValueError("not base64url")
    padded = piece.replace("-", "+").replace("_", "/") + "=" * (-len(piece) % 4)
    return binascii.a2b_base64(padded)


def _members(piece: str) -> dict[str, object]:
    value = json.loads(_decoded(piece), parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of failure
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004
    return value


def _check_audience(value: object) -> None:
    for item in value if isinstance(value, list) else [value]:
        _text(item)


def _seconds(value: object) -> int | None:
    """A NumericDate: a number, or a text that is one; fractions are cut off."""
    if value is None:
        return None
    if isinstance(value, str):
        value = json.loads(value, parse_constant=_refuse_constant)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _INT64_MAX:
        return int(value)
    raise ValueError("not a time")
