"""TLS of gRPC: what cannot be used or kept ends the start, new files are taken up."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificate_kit import Authority, Pair

from fastvol.errors import ConfigError
from fastvol.security.grpc_tls import SUITES_VARIABLE, GrpcIdentities, GrpcTls

GCM = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256"
OTHER_GCM = (
    ",TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
)


@pytest.fixture(name="authority")
def authority_fixture(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(name="pair")
def pair_fixture(authority: Authority) -> Pair:
    return authority.issue("volume")


def tls(authority: Authority, pair: Pair, client: Pair | None = None, **limits: str) -> GrpcTls:
    client = client or pair
    return GrpcTls(
        authority.path, pair.certificate, pair.key, client.certificate, client.key, **limits
    )


def test_files_that_cannot_be_used_are_named(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    other = authority.issue("other")
    for broken, words in (
        (GrpcTls("/no", pair.certificate, pair.key, pair.certificate, pair.key), "/no: No such"),
        (tls(authority, Pair(pair.certificate, other.key)), "other.key: not the key of .*volume"),
        (tls(authority, pair, Pair(other.certificate, pair.key)), "not the key of .*other"),
        (tls(authority, Pair(pair.key, pair.key)), "volume.key: no usable certificate"),
        (tls(authority, authority.issue("locked", password=b"x")), "the key is encrypted"),
    ):
        with pytest.raises(ConfigError, match=words):
            GrpcIdentities(broken)
    Path(authority.path).write_text("nothing\n")
    with pytest.raises(ConfigError, match="no usable CA"):
        GrpcIdentities(tls(authority, pair))


def test_limits_that_can_be_kept(authority: Authority, pair: Pair) -> None:
    for limits, only_tls13 in (
        ({}, False),
        ({"min_version": "TLS 1.0", "max_version": "TLS 1.3"}, False),
        ({"min_version": "TLS 1.3"}, True),
        ({"cipher_suites": "TLS_AES_128_GCM_SHA256"}, True),
        ({"cipher_suites": GCM + OTHER_GCM}, False),
    ):
        made = GrpcIdentities(tls(authority, pair, **limits), environ={})
        assert made.only_tls13 is only_tls13, limits


def test_limits_that_cannot_be_kept_are_refused(authority: Authority, pair: Pair) -> None:
    for limits, words in (
        ({"max_version": "TLS 1.2"}, "tls.max_version TLS 1.2 cannot be kept for gRPC"),
        ({"min_version": "1.2"}, "invalid tls version 1.2"),
        ({"cipher_suites": GCM}, f"{SUITES_VARIABLE}=ECDHE-ECDSA-AES128-GCM-SHA256 in its"),
    ):
        with pytest.raises(ConfigError, match=words):
            GrpcIdentities(tls(authority, pair, **limits), environ={})


def test_suites_may_be_chosen_by_grpcios_own_variable(authority: Authority, pair: Pair) -> None:
    environ = {SUITES_VARIABLE: "ECDHE-ECDSA-AES128-GCM-SHA256"}
    GrpcIdentities(tls(authority, pair, cipher_suites=GCM), environ=environ)


def test_any_new_file_makes_a_new_identity(authority: Authority, pair: Pair) -> None:
    client = authority.issue("client")
    identities = GrpcIdentities(tls(authority, pair, client))
    for name in ("volume", "client"):
        before = identities.current
        authority.issue(name)
        assert identities.refresh()
        assert identities.current is not before
    assert not identities.refresh()


def test_half_a_new_pair_leaves_the_old_one(authority: Authority, pair: Pair) -> None:
    identities = GrpcIdentities(tls(authority, pair))
    before = identities.current
    Path(pair.key).write_bytes(Path(authority.issue("other").key).read_bytes())
    assert not identities.refresh()
    assert identities.current is before
