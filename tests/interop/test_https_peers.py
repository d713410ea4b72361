"""Copies and proxied reads between servers that speak HTTPS and ask each other for certificates."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificate_kit import Authority
from cluster import (
    FASTVOL,
    WEED,
    Server,
    allocate,
    master_server,
    started,
    volume_rpc,
    volume_server,
)
from daemons import START_SECONDS_MAX, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, get

pytestmark = pytest.mark.interop

REPLICATED, OF_WEED, OF_FASTVOL = 1, 2, 3
FID = "0100001234"


@dataclass
class Guarded:
    """One server of each kind; clients need the context."""

    weed: Server
    fastvol: Server
    context: ssl.SSLContext

    def call(self, server: Server, method: str, target: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPSConnection(
            HOST, server.port, timeout=CALL_SECONDS_MAX, context=self.context
        )
        try:
            connection.request(method, target, body, {"Content-Type": "a/b"} if body else {})
            answer = connection.getresponse()
            found = answer.read()
            assert answer.status < 300, (answer.status, found)
            return found
        finally:
            connection.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    base = tmp_path_factory.mktemp("https-peers")
    authority = Authority(base)
    server, client = authority.issue("server"), authority.issue("client")
    (base / "security.toml").write_text(
        f'[https.volume]\ncert = "{server.certificate}"\nkey = "{server.key}"\n'
        f'ca = "{authority.path}"\n[https.client]\nenabled = true\n'
        f'cert = "{client.certificate}"\nkey = "{client.key}"\nca = "{authority.path}"\n'
    )
    master = master_server(base)
    programs = ((WEED, f"-logdir={base}", f"-config_dir={base}"), FASTVOL)
    servers = [
        volume_server(program, base, base / f"data-{number}", [master.port])
        for number, program in enumerate(programs)
    ]
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(client.certificate, client.key)
    made = Guarded(*servers, context)
    with started(master, *servers):
        for one in servers:
            wait_until(
                lambda one=one: made.call(one, "GET", "/status"), one.name, START_SECONDS_MAX
            )
        for one, own in zip(servers, (OF_WEED, OF_FASTVOL), strict=True):
            with volume_rpc(one.port) as rpc:
                allocate(rpc, REPLICATED, replication="001")
                allocate(rpc, own)
        for volume_id, copies in ((REPLICATED, 2), (OF_WEED, 1), (OF_FASTVOL, 1)):
            wait_until(
                lambda v=volume_id, n=copies: located(master, v) == n, "the master knows the copies"
            )
        yield made


def located(master: Server, volume_id: int) -> int:
    answer = get(master.port, f"/dir/lookup?volumeId={volume_id}").json()
    return len(answer.get("locations") or ())


def test_a_write_reaches_the_other_copy_by_https(guarded: Guarded, tmp_path: Path) -> None:
    pairs = ((guarded.fastvol, guarded.weed, "01"), (guarded.weed, guarded.fastvol, "02"))
    for primary, other, key in pairs:
        target = f"/{REPLICATED},{key}00001234"
        guarded.call(primary, "POST", target, f"from {primary.name}".encode())
        assert guarded.call(other, "GET", target) == f"from {primary.name}".encode()
        guarded.call(primary, "DELETE", target)
        with pytest.raises(AssertionError, match="404"):
            guarded.call(other, "GET", target)


def test_a_read_is_proxied_by_https(guarded: Guarded) -> None:
    for owner, volume_id in ((guarded.weed, OF_WEED), (guarded.fastvol, OF_FASTVOL)):
        target, data = f"/{volume_id},{FID}", bytes(3_000_000)
        guarded.call(owner, "POST", target, data)
        for server in (guarded.weed, guarded.fastvol):
            assert guarded.call(server, "GET", target) == data
