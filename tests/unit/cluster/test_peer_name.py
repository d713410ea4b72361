"""grpcio is told to expect a name that the server's certificate has, whatever address it is at."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from certificate_kit import Authority
from cryptography import x509
from fake_master import SEAWEED, WAIT_SECONDS, FakeMaster

from fastvol.cluster import peer_name
from fastvol.cluster.channel import ChannelPool
from fastvol.cluster.server_address import ServerAddress
from fastvol.pb import master_pb2
from fastvol.security.grpc_tls import GrpcIdentities, GrpcTls

PING = SEAWEED.methods_by_name["Ping"]
MANY = [x509.DNSName("*.a.b"), x509.DNSName("c")]


async def pong(request: Any, context: Any) -> Any:
    return master_pb2.PingResponse(start_time_ns=7)


def identities(authority: Authority, name: str = "node", **issued: Any) -> GrpcIdentities:
    pair = authority.issue(name, **issued)
    return GrpcIdentities(
        GrpcTls(authority.path, pair.certificate, pair.key, pair.certificate, pair.key)
    )


def ping(server: GrpcIdentities, client: GrpcIdentities) -> int:
    async def body() -> int:
        async with FakeMaster(credentials=server.server_credentials()) as master:
            master.unary["Ping"] = pong
            pool = ChannelPool(client)
            try:
                answer = await pool.call(
                    master.address, PING, master_pb2.PingRequest(), timeout_seconds=WAIT_SECONDS
                )
            finally:
                await pool.close()
            return int(answer.start_time_ns)

    return asyncio.run(body())


@pytest.mark.parametrize(
    ("common_name", "names"),
    [
        ("volume", []),
        ("SeaweedFS volume (Berlin) ü", []),
        ("*.volumes.local", []),
        ("fe80::1", []),
        ("other", [x509.DNSName("elsewhere.example")]),
        ("other", [x509.DNSName("*.example.com")]),
        ("other", [x509.DNSName("*"), x509.DNSName("usable")]),
        ("other", [x509.IPAddress(ipaddress.ip_address("10.1.2.3"))]),
        ("other", [x509.IPAddress(ipaddress.ip_address("fe80::1"))]),
        ("other", [x509.UniformResourceIdentifier("spiffe://a/b")]),
        ("other", [x509.RFC822Name("a@b.c")]),
    ],
)
def test_a_server_is_called_whatever_its_certificate_says(
    tmp_path: Path, common_name: str, names: Sequence[x509.GeneralName]
) -> None:
    authority = Authority(tmp_path)
    server = identities(authority, common_name=common_name, names=names)
    assert ping(server, identities(authority, "client")) == 7


@pytest.mark.parametrize(
    ("subject", "alternatives", "name"),
    [
        ("a:1", (), None),
        ("a%20b", (), None),
        ("[a]", (), None),
        ("", (), None),
        ("cn", (("DNS", "*"),), None),
        ("cn", (("URI", "x://y"),), "cn"),
        ("cn", (("IP Address", "0:0:0:0:0:0:0:1\n"),), "::1"),
        ("cn", (("DNS", "*.a"), ("DNS", "b")), "any.a"),
    ],
)
def test_what_name_is_expected(subject: str, alternatives: Any, name: str | None) -> None:
    certificate = {
        "subject": ((("organizationName", "o"),), (("commonName", subject),)),
        "subjectAltName": alternatives,
    }
    assert peer_name.usable_name(certificate) == name


def test_new_files_of_the_client_are_used_by_new_channels(tmp_path: Path) -> None:
    client = identities(Authority(tmp_path), "client")
    authority = Authority(tmp_path)  # in the files of the old one
    server = identities(authority, "server")
    authority.issue("client")
    with pytest.raises(Exception, match="UNAVAILABLE"):
        ping(server, client)
    assert client.refresh()
    assert ping(server, client) == 7


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    mine, other = identities(authority, "client"), identities(stranger)
    for server, client in ((other, mine), (mine, other)):
        with pytest.raises(Exception, match="UNAVAILABLE"):
            ping(server, client)


def test_a_server_that_takes_another_name_is_found_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    client = identities(authority, "client")

    async def body() -> None:
        pool = ChannelPool(client)
        http_port = grpc_port = 0
        for name in ("before", "after"):
            credentials = identities(authority, name, names=()).server_credentials()
            async with FakeMaster(http_port, credentials, grpc_port) as master:
                http_port, grpc_port = master.http_port, master.grpc_port
                master.unary["Ping"] = pong
                async with asyncio.timeout(WAIT_SECONDS):
                    await call_until_it_answers(pool, master.address)
        await pool.close()

    asyncio.run(body())


async def call_until_it_answers(pool: ChannelPool, address: ServerAddress) -> None:
    while True:
        try:
            await pool.call(address, PING, master_pb2.PingRequest(), timeout_seconds=WAIT_SECONDS)
        except Exception as error:
            assert "UNAVAILABLE" in str(error)
        else:
            return


def test_a_server_that_is_away_costs_no_more_than_the_call(tmp_path: Path) -> None:
    probe = identities(Authority(tmp_path)).current.probe
    assert asyncio.run(peer_name.name_of("127.0.0.1:1", probe)) is None
    assert asyncio.run(peer_name.name_of("nowhere", probe)) is None


def test_a_server_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_name, "PEER_NAME_SECONDS_MAX", 0.05)
    probe = identities(Authority(tmp_path)).current.probe

    async def body() -> None:
        server = await asyncio.start_server(lambda *_: asyncio.sleep(WAIT_SECONDS), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(WAIT_SECONDS / 2):
                assert await peer_name.name_of(f"127.0.0.1:{port}", probe) is None

    asyncio.run(body())
