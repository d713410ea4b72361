"""HTTPS beside the real server: the same security.toml, the same answers, the same clients."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificate_kit import Authority, Pair
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
from daemons import START_SECONDS_MAX, Daemon, free_ports, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, get

pytestmark = pytest.mark.interop

VARYING = re.compile(rb"(Date: |X-Amz-Request-Id: |Server: |Last-Modified: )[^\r]*")
REFUSAL = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
FID = "5,0100001234"


@dataclass
class Both:
    """weed and fastvol with the same certificates, and what their clients need."""

    weed: Server
    fastvol: Server
    public_ports: dict[int, int]
    authority: Authority
    client: Pair

    @property
    def servers(self) -> tuple[Server, Server]:
        return self.weed, self.fastvol


@pytest.fixture(name="both", scope="module", params=["", "ca"])
def both_fixture(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Both]:
    """Without and with client certificates."""
    base = tmp_path_factory.mktemp("https")
    authority = Authority(base)
    pair = authority.issue("server")
    lines = ["[https.volume]", f'cert = "{pair.certificate}"', f'key = "{pair.key}"']
    if request.param:
        lines.append(f'ca = "{authority.path}"')
    (base / "security.toml").write_text("\n".join(lines))
    master = master_server(base)
    servers, public_ports = [], {}
    for program in ((WEED, f"-logdir={base}", f"-config_dir={base}"), FASTVOL):
        (public,) = free_ports(1)
        name = "weed-data" if program[0] == WEED else "fastvol-data"
        server = volume_server(program, base, base / name, [master.port], f"-port.public={public}")
        servers.append(server)
        public_ports[server.port] = public
    both = Both(*servers, public_ports, authority, authority.issue("client"))
    with started(master, *servers):
        for server in servers:
            wait_until(
                lambda port=server.port: exchange(both, port, request_of("GET", "/status")),
                f"{server.name} answers",
                START_SECONDS_MAX,
            )
            with volume_rpc(server.port) as rpc:
                allocate(rpc, 5)
        yield both


def request_of(method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: t", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def exchange(both: Both, port: int, request: bytes) -> bytes:
    context = both.authority.client(both.client)
    with (
        socket.create_connection((HOST, port), CALL_SECONDS_MAX) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def same(both: Both, request: bytes) -> bytes:
    answers = [
        sorted(VARYING.sub(rb"\1", exchange(both, s.port, request)).split(b"\r\n"))
        for s in both.servers
    ]
    assert answers[0] == answers[1], request
    return b"\r\n".join(answers[1])


def test_objects_are_stored_and_read(both: Both) -> None:
    data = b"over TLS " * 1000
    form = (
        b'--bb\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/x-a\r\n\r\n" + data + b"\r\n--bb--\r\n"
    )
    same(
        both, request_of("POST", f"/{FID}", form, "Content-Type: multipart/form-data; boundary=bb")
    )
    assert data in same(both, request_of("GET", f"/{FID}"))
    same(both, request_of("HEAD", f"/{FID}"))
    same(both, request_of("GET", f"/{FID}", b"", "Range: bytes=5-9"))
    same(both, request_of("GET", "/5,9900001234"))
    same(both, request_of("DELETE", f"/{FID}"))
    same(both, request_of("GET", f"/{FID}"))


def test_plain_http_gets_the_same_words(both: Both) -> None:
    for start in (b"GET / HTTP/1.1\r\n\r\n", b"DELETE / HTTP/1.1\r\n\r\n"):
        for server in both.servers:
            with socket.create_connection((HOST, server.port), CALL_SECONDS_MAX) as raw:
                raw.sendall(start)
                answer = b"".join(iter(lambda sock=raw: sock.recv(1 << 16), b""))
            assert answer == (REFUSAL if start.startswith(b"GET") else b""), server.name


def test_public_ports_stay_plain(both: Both) -> None:
    for server in both.servers:
        assert get(both.public_ports[server.port], "/5,9900001234").status == 404, server.name


def test_who_gets_in_is_the_same(both: Both, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").issue("client")
    for pair in (None, stranger, both.client):
        outcomes = []
        for server in both.servers:
            context = both.authority.client(pair)
            try:
                with (
                    socket.create_connection((HOST, server.port), CALL_SECONDS_MAX) as raw,
                    context.wrap_socket(raw, server_hostname="localhost") as sock,
                ):
                    sock.sendall(request_of("GET", "/healthz"))
                    outcomes.append(sock.recv(15).decode())
            except ssl.SSLError as error:
                outcomes.append(str(error.reason))
        assert outcomes[0] == outcomes[1], pair


def test_curl_reads_it(both: Both) -> None:
    curl = shutil.which("curl")
    assert curl is not None
    identity = ["--cert", both.client.certificate, "--key", both.client.key]
    for server in both.servers:
        url = f"https://localhost:{server.port}/healthz"
        done = subprocess.run(
            [curl, "-sS", "--cacert", both.authority.path, *identity, "-w", "%{http_code}", url],
            capture_output=True,
            timeout=CALL_SECONDS_MAX,
            check=False,
        )
        assert (done.stdout, done.stderr) == (b"200", b""), server.name


def test_a_new_certificate_is_shown_while_it_runs(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    (port,) = free_ports(1)
    environ = {
        "WEED_HTTPS_VOLUME_CERT": pair.certificate,
        "WEED_HTTPS_VOLUME_KEY": pair.key,
        "WEED_TLS_CERT_REFRESH_INTERVAL": "100ms",
    }
    daemon = Daemon([*FASTVOL, "serve", f"-port={port}", "data"], tmp_path, "serve", environ)

    def serial() -> object:
        with (
            socket.create_connection((HOST, port), CALL_SECONDS_MAX) as raw,
            authority.client().wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            found = sock.getpeercert()
            assert found is not None
            return found["serialNumber"]

    try:
        before = wait_until(serial, "it answers", START_SECONDS_MAX)
        assert f"https://{HOST}:{port}" in daemon.output
        authority.issue("server")
        wait_until(lambda: serial() != before, "the new certificate")
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def test_broken_files_end_the_start(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environ = {"WEED_HTTPS_VOLUME_CERT": "/no/cert", "WEED_HTTPS_VOLUME_KEY": "/no/key"}
    daemon = Daemon([*FASTVOL, "serve", f"-port={port}", "data"], tmp_path, "serve", environ)
    try:
        assert daemon.wait(START_SECONDS_MAX) == 255
        words = "Volume server failed to load TLS certificate: /no/cert: No such file or directory"
        assert words in daemon.output + daemon.errors
    finally:
        daemon.kill()
