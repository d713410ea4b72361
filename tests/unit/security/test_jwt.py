"""Tokens: which are accepted, for which file, and for how long."""

import base64
import hmac
import json

import pytest

from fastvol.limits import JWT_CACHE_ENTRIES_MAX
from fastvol.security.jwt import TokenChecker, find_token

KEY = "volume-server-write-key"
NOW = 1_795_334_400.5
FID = "3,01637037d6"


def piece(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def token(claims: object, *, alg: object = "HS256", key: str = KEY, digest: str = "sha256") -> str:
    signed = f"{piece({'alg': alg, 'typ': 'JWT'})}.{piece(claims)}"
    return f"{signed}.{piece(hmac.digest(key.encode(), signed.encode(), digest))}"


def permits(text: str, vid: str = "3", fid: str = "01637037d6", now: float = NOW) -> bool:
    checker = TokenChecker(KEY)
    first = checker.permits(text, vid, fid, now)
    assert checker.permits(text, vid, fid, now) is first  # from the cache as well
    return first


@pytest.mark.parametrize(
    "claims",
    [
        {"fid": FID},
        {"fid": FID, "exp": NOW + 1},
        {"fid": FID, "exp": int(NOW) + 1},
        {"fid": FID, "exp": str(int(NOW) + 1)},
        {"fid": FID, "exp": None},
        {"fid": FID, "nbf": int(NOW)},
        {"fid": FID, "iat": int(NOW) + 1000},
        {"fid": FID, "aud": ["a", "b"], "iss": "x", "extra": {"deep": [1]}},
        {"FID": FID},
    ],
)
def test_accepted_claims(claims: dict[str, object]) -> None:
    assert permits(token(claims))


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"fid": 3},
        {"fid": "4,01637037d6"},
        {"fid": "3,1637037d6"},
        {"fid": "3,01637037D6"},
        {"fid": FID, "exp": int(NOW)},
        {"fid": FID, "exp": NOW},
        {"fid": FID, "exp": 0},
        {"fid": FID, "exp": "soon"},
        {"fid": FID, "exp": True},
        {"fid": FID, "exp": [1]},
        {"fid": FID, "exp": 1e300},
        {"fid": FID, "nbf": int(NOW) + 1},
        {"fid": FID, "iat": "x"},
        {"fid": FID, "iss": 5},
        {"fid": FID, "aud": 5},
        [FID],
        None,
        b'{"fid":"3,01637037d6","exp":NaN}',
        b'{"fid":"3,01637037d6","exp":1e999}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_refused_claims(claims: object) -> None:
    assert not permits(token(claims))


def test_algorithms() -> None:
    assert permits(token({"fid": FID}, alg="HS384", digest="sha384"))
    assert permits(token({"fid": FID}, alg="HS512", digest="sha512"))
    for alg in ("none", "None", "RS256", "hs256", "", None, 5):
        assert not permits(token({"fid": FID}, alg=alg))
    assert not permits(token({"fid": FID}, alg="HS512"))


def test_wrong_key() -> None:
    assert not permits(token({"fid": FID}, key="volume-server-read-key"))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", " . . "])
def test_garbage(text: str) -> None:
    assert not permits(text)


def test_encoding_is_strict() -> None:
    good = token({"fid": FID})
    assert permits(good)
    assert not permits(good + "=")
    assert not permits(good.replace(".", "=."))
    assert not permits(good + "\n")
    assert not permits(good[:-2])
    assert not permits(good.rpartition(".")[0] + ".")


def test_a_token_covers_sub_files() -> None:
    assert permits(token({"fid": FID}), fid="01637037d6_1")
    assert not permits(token({"fid": FID + "_1"}), fid="01637037d6_1")
    assert permits(token({"fid": "3,_1"}), fid="_1")


def test_master_s_token() -> None:
    """A token that the real master made, with the key ``wkey``."""
    made = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
        "eyJmaWQiOiIyLDAxZWQzMGNhNWEiLCJleHAiOjE3OTUzMzQ3MzN9."
        "Y8-nsge4xufrUjVnhVpVJrgEBFPc-LUGYKK1skIqsOk"
    )
    checker = TokenChecker("wkey")
    assert checker.permits(made, "2", "01ed30ca5a", 1795334732)
    assert not checker.permits(made, "2", "01ed30ca5a", 1795334733)


def test_expiry_is_looked_at_on_every_use() -> None:
    checker = TokenChecker(KEY)
    text = token({"fid": FID, "exp": 100})
    assert checker.permits(text, "3", "01637037d6", 99.9)
    assert not checker.permits(text, "3", "01637037d6", 100)


def test_no_key_permits_everything() -> None:
    checker = TokenChecker("")
    assert not checker.enabled
    assert checker.permits("", "3", "x")
    assert TokenChecker(KEY).enabled


def test_the_cache_is_bounded() -> None:
    checker = TokenChecker(KEY)
    for number in range(JWT_CACHE_ENTRIES_MAX + 5):
        assert checker.permits(token({"fid": FID, "n": number}), "3", "01637037d6", NOW)
    assert len(checker._verified) <= JWT_CACHE_ENTRIES_MAX
    checker.permits("bad", "3", "x", NOW)
    assert "bad" not in checker._verified


@pytest.mark.parametrize(
    ("query", "authorization", "cookies", "chosen"),
    [
        ("q", "Bearer h", "AT=c", "q"),
        ("", "Bearer h", "AT=c", "h"),
        ("", "BEARER h", "", "h"),
        ("", "bearer h", "", "h"),
        ("", "Bearer:h", "", "h"),
        ("", "Bearer  h", "", " h"),
        ("", "Bearer", "AT=c", "c"),
        ("", "Bearer ", "AT=c", "c"),
        ("", "Basic xyz", "AT=c", "c"),
        ("", "h", "", ""),
        ("", "", 'x=1; AT="c"; AT=d', "c"),
        ("", "", "jwt=c; at=d", ""),
        ("", "", "AT", ""),
    ],
)
def test_which_token_counts(query: str, authorization: str, cookies: str, chosen: str) -> None:
    assert find_token(query, authorization, cookies) == chosen
