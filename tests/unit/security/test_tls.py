"""What cannot work is known when the context is made, by file or key and reason."""

from __future__ import annotations

import re
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from certificate_kit import Authority

from fastvol.errors import ConfigError
from fastvol.security.tls import ClientTls, ServerTls, client_context, server_context


@pytest.fixture(name="authority")
def authority_fixture(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(name="good")
def good_fixture(authority: Authority) -> ServerTls:
    pair = authority.issue("server")
    return ServerTls(pair.certificate, pair.key, authority.path)


def refused(settings: ServerTls, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        server_context(settings)
    assert words in str(caught.value)


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, server_hostname: str = "localhost"
) -> ssl.SSLObject:
    """The client's side after a handshake in memory, each side having had its say."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=server_hostname)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ours


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["certificate", "key", "ca"])
def test_a_missing_file_is_named(good: ServerTls, member: str) -> None:
    refused(replace(good, **{member: "/no/such/file"}), "/no/such/file: No such file or directory")


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("certificate", "no usable certificate"),
        ("key", "no usable private key"),
        ("ca", "no usable CA certificate"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"no PEM at all\n", b"-----BEGIN CERTIFICATE-----\n!\n"])
def test_a_file_with_something_else_in_it_is_named(
    good: ServerTls, tmp_path: Path, member: str, reason: str, content: bytes
) -> None:
    (tmp_path / "bad").write_bytes(content)
    refused(replace(good, **{member: str(tmp_path / "bad")}), f"{tmp_path}/bad: {reason}")


def test_a_key_of_another_certificate(good: ServerTls, authority: Authority) -> None:
    other = authority.issue("other")
    refused(replace(good, key=other.key), f"{other.key}: not the key of {good.certificate}")


def test_an_encrypted_key_asks_nobody(good: ServerTls, authority: Authority) -> None:
    locked = authority.issue("locked", password=b"secret")
    settings = ServerTls(locked.certificate, locked.key)
    refused(settings, f"{locked.key}: the key is encrypted")


def test_a_directory_is_no_certificate(good: ServerTls, tmp_path: Path) -> None:
    refused(replace(good, certificate=str(tmp_path)), f"{tmp_path}: Is a directory")


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"min_version": "TLS 9"}, "tls.min_version: invalid tls version TLS 9"),
        ({"max_version": "1.2"}, "tls.max_version: invalid tls version 1.2"),
        ({"min_version": "TLS 1.3", "max_version": "TLS 1.2"}, "tls.max_version TLS 1.2"),
        ({"max_version": "TLS 1.1"}, "tls.max_version TLS 1.1: nothing is left"),
        ({"min_version": "SSLv3", "max_version": "SSLv3"}, "tls.max_version SSLv3"),
        ({"cipher_suites": "A,B"}, "tls.cipher_suites: invalid tls cipher suite name A"),
        ({"cipher_suites": "TLS_AES_128_GCM_SHA256,"}, "invalid tls cipher suite name ''"),
        (
            {"cipher_suites": "TLS_RSA_WITH_RC4_128_SHA"},
            "TLS_RSA_WITH_RC4_128_SHA is not available",
        ),
        (
            {"cipher_suites": "TLS_AES_128_GCM_SHA256", "max_version": "TLS 1.2"},
            "tls.max_version TLS 1.2",
        ),
    ],
)
def test_limits_that_cannot_be_kept(good: ServerTls, limits: dict[str, str], words: str) -> None:
    refused(replace(good, **limits), words)


def test_limits_count_with_a_ca_only(good: ServerTls) -> None:
    server_context(replace(good, ca="", min_version="TLS 9", cipher_suites="nonsense"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_are_limited(good: ServerTls) -> None:
    plain = server_context(good)
    assert plain.minimum_version is ssl.TLSVersion.TLSv1_2
    limited = server_context(replace(good, min_version="TLS 1.0", max_version="TLS 1.2"))
    assert limited.minimum_version is ssl.TLSVersion.TLSv1
    assert limited.maximum_version is ssl.TLSVersion.TLSv1_2


def test_suites_are_limited_to_the_chosen_ones(good: ServerTls) -> None:
    names = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    context = server_context(replace(good, cipher_suites=names, max_version="TLS 1.2"))
    chosen = {c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"}
    assert chosen == {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"}


def test_suites_of_tls_13_alone_leave_nothing_older(good: ServerTls) -> None:
    context = server_context(replace(good, cipher_suites="TLS_AES_128_GCM_SHA256"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_version_that_was_asked_for_works(good: ServerTls, authority: Authority) -> None:
    server = server_context(replace(good, min_version="TLS 1.0"))
    client = authority.client(authority.issue("client"))
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    assert shake_hands(server, client).version() == "TLSv1.1"


# --- what the contexts do -----------------------------------------------------------------------


def test_only_http_1_is_offered(good: ServerTls, authority: Authority) -> None:
    client = authority.client(authority.issue("client"))
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(server_context(good), client).selected_alpn_protocol() == "http/1.1"


def test_an_issued_certificate_can_be_the_root_of_trust(
    good: ServerTls, authority: Authority
) -> None:
    """Go trusts whatever the CA file holds, self-signed or not."""
    pair = authority.issue("client")
    server = server_context(replace(good, ca=pair.certificate))
    assert shake_hands(server, authority.client(pair)).version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("skip_verify", "name", "trusted", "works"),
    [
        (False, "localhost", True, True),
        (False, "127.0.0.1", True, True),
        (False, "elsewhere", True, False),
        (False, "localhost", False, False),
        (True, "elsewhere", False, True),
    ],
)
def test_servers_are_verified_by_name_unless_skipped(
    good: ServerTls,
    authority: Authority,
    tmp_path: Path,
    skip_verify: bool,
    name: str,
    trusted: bool,
    works: bool,
) -> None:
    pair = authority.issue("peer")
    ca = authority.path if trusted else Authority(tmp_path, "stranger").path
    client = client_context(ClientTls(pair.certificate, pair.key, ca, skip_verify=skip_verify))
    if works:
        assert shake_hands(server_context(good), client, name).version() == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(server_context(good), client, name)


def test_a_client_without_a_ca_trusts_the_system() -> None:
    context = client_context(ClientTls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_clients_broken_files_are_named(authority: Authority) -> None:
    pair = authority.issue("peer")
    with pytest.raises(ConfigError, match=re.escape("/nowhere: No such file")):
        client_context(ClientTls(pair.certificate, "/nowhere"))
    with pytest.raises(ConfigError, match="no usable CA certificate"):
        client_context(ClientTls(ca=pair.key))
