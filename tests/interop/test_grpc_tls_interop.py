"""gRPC under mutual TLS in a real cluster, whose certificates name nobody's address."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import pytest
from certificate_kit import Authority, Pair
from cluster import FASTVOL, Cluster, Server, started, volume_server, weed
from daemons import GRPC_OFFSET, START_SECONDS_MAX, Daemon, free_ports, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, Reply, get, request

from fastvol.cluster.stub import Stub
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

SERVICE: Final = pb.DESCRIPTOR.services_by_name["VolumeServer"]
ALLOW: Final = "-volume.allowUntrustedRemoteEndpoints"
REFUSAL: Final = "Authenticate: invalid subject client common name: mallory"


def security_toml(authority: Authority, **pairs: Pair) -> str:
    lines = ["[grpc]", f'ca = "{authority.path}"']
    for name, pair in pairs.items():
        lines += [f"[grpc.{name}]", f'cert = "{pair.certificate}"', f'key = "{pair.key}"']
        if name == "volume":
            lines.append('allowed_commonNames = "the master,the volumes,the shell"')
    return "\n".join(lines)


@dataclass
class Secure:
    """A master, fastvol and a real volume server, all under mutual TLS."""

    cluster: Cluster
    fastvol: Server
    weed: Server
    authority: Authority

    @contextmanager
    def rpc(self, server: Server, name: str) -> Iterator[Stub]:
        """The service as a client with this common name sees it."""
        with secure_channel(server.port, self.authority, self.authority.issue(name)) as channel:
            yield Stub(channel, SERVICE)

    def put(self, server: Server, volume_id: int, data: bytes) -> str:
        with self.rpc(server, "the shell") as rpc:
            rpc.AllocateVolume(
                pb.AllocateVolumeRequest(volume_id=volume_id, replication="000", version=3),
                timeout=CALL_SECONDS_MAX,
            )
        fid = f"{volume_id},0100001234"
        assert post(server.port, fid, data).status == 201
        return fid


def post(port: int, fid: str, data: bytes) -> Reply:
    kind = {"Content-Type": "application/octet-stream"}
    return request(port, "POST", f"/{fid}", data, kind)


@contextmanager
def secure_channel(port: int, authority: Authority, pair: Pair) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(
        Path(authority.path).read_bytes(),
        Path(pair.key).read_bytes(),
        Path(pair.certificate).read_bytes(),
    )
    options = (
        ("grpc.ssl_target_name_override", "the volumes"),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    with grpc.secure_channel(f"{HOST}:{port + GRPC_OFFSET}", credentials, options) as channel:
        yield channel


@pytest.fixture(name="secure", scope="module")
def secure_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    base = tmp_path_factory.mktemp("grpc-tls")
    authority = Authority(base)
    pairs = {
        part: authority.issue(part, common_name=f"the {name}", names=())
        for part, name in (("master", "master"), ("volume", "volumes"), ("client", "shell"))
    }
    (base / "security.toml").write_text(security_toml(authority, **pairs))
    cluster = Cluster.make(base, ALLOW)
    other = volume_server(weed(base), base, base / "weed-data", [cluster.master.port], ALLOW)
    with cluster.running(), started(other):
        other.ready()
        wait_until(lambda: cluster.node(other.port), "joined", START_SECONDS_MAX)
        yield Secure(cluster, cluster.volume, other, authority)


def test_it_joins_and_the_shell_finds_and_calls_it(secure: Secure) -> None:
    secure.put(secure.fastvol, 5, b"x")
    wait_until(lambda: 5 in secure.cluster.volume_ids(), "the master knows the volume")
    assert "volume Id:5," in secure.cluster.shell("volume.list")
    node = f"{HOST}:{secure.fastvol.port}"
    secure.cluster.shell(f"volume.mark -node {node} -volumeId 5 -readonly")
    with secure.rpc(secure.fastvol, "the shell") as rpc:
        asked = pb.VolumeStatusRequest(volume_id=5)
        assert rpc.VolumeStatus(asked, timeout=CALL_SECONDS_MAX).is_read_only


def test_the_master_assigns_and_deletes_through_it(secure: Secure) -> None:
    grown = secure.cluster.master_json("/vol/grow?count=2&collection=grown&replication=000")
    assert grown.get("count") == 2, grown
    fid = secure.cluster.assign("?collection=grown")
    url = get(secure.cluster.master.port, f"/dir/lookup?volumeId={fid.split(',')[0]}").json()
    port = int(url["locations"][0]["url"].rsplit(":", 1)[1])
    assert post(port, fid, b"data").status == 201
    assert get(port, f"/{fid}").body == b"data"
    secure.cluster.shell("collection.delete -collection grown -force")
    wait_until(lambda: get(port, f"/{fid}").status == 404, "the collection is gone")


@pytest.mark.parametrize("from_weed", [False, True])
def test_volumes_are_copied_either_way(secure: Secure, from_weed: bool) -> None:
    volume_id = 10 + from_weed
    source, target = (secure.weed, secure.fastvol) if from_weed else (secure.fastvol, secure.weed)
    fid = secure.put(source, volume_id, b"copied" * 1000)
    with secure.rpc(target, "the shell") as rpc:
        asked = pb.VolumeCopyRequest(
            volume_id=volume_id, source_data_node=f"{HOST}:{source.port}", replication="000"
        )
        list(rpc.VolumeCopy(asked, timeout=CALL_SECONDS_MAX))
    assert get(target.port, f"/{fid}").body == b"copied" * 1000


def test_others_are_refused_as_by_the_real_server(secure: Secure) -> None:
    stranger = Authority(secure.cluster.base, "stranger")
    for server in (secure.fastvol, secure.weed):
        address = f"{HOST}:{server.port + GRPC_OFFSET}"
        pair = stranger.issue("shell-of-others", common_name="the shell")
        with (
            grpc.insecure_channel(address, (("grpc.enable_http_proxy", 0),)) as plain,
            secure_channel(server.port, secure.authority, pair) as unknown,
            secure.rpc(server, "mallory") as named,
        ):
            for stub in (Stub(plain, SERVICE), Stub(unknown, SERVICE), named):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Ping(pb.PingRequest(), timeout=CALL_SECONDS_MAX)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, server.name
    assert REFUSAL in secure.fastvol.running.output + secure.fastvol.running.errors


def test_a_new_certificate_and_authority_are_taken_up(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("volume", common_name="the volumes", names=())
    (tmp_path / "security.toml").write_text(security_toml(authority, volume=pair))
    (port,) = free_ports(1)
    environ = {"WEED_TLS_CERT_REFRESH_INTERVAL": "100ms"}
    daemon = Daemon([*FASTVOL, "serve", f"-port={port}", "data"], tmp_path, "serve", environ)

    def serial() -> object:
        context = authority.client(authority.issue("probe", common_name="the shell"))
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((HOST, port + GRPC_OFFSET), CALL_SECONDS_MAX) as raw,
            context.wrap_socket(raw, server_hostname=HOST) as sock,
        ):
            found = sock.getpeercert()
            assert found is not None
            return found["serialNumber"]

    def trusted() -> object:
        try:
            return serial()
        except ssl.SSLError:
            return None

    try:
        wait_until(lambda: get(port, "/healthz").status == 200, "it answers", START_SECONDS_MAX)
        before = serial()
        authority.issue("volume", common_name="the volumes", names=())
        wait_until(lambda: serial() != before, "the new certificate")
        authority = Authority(tmp_path)
        authority.issue("volume", common_name="the volumes", names=())
        wait_until(trusted, "the new authority")
        client = authority.issue("client", common_name="the shell")
        with secure_channel(port, authority, client) as channel:
            Stub(channel, SERVICE).Ping(pb.PingRequest(), timeout=CALL_SECONDS_MAX)
        assert daemon.stop() == 0
    finally:
        daemon.kill()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CERT": "/no/cert", "KEY": "/no/key"}, "cert, key and grpc.ca must all be set"),
        (
            {"CERT": "/no/cert", "KEY": "/no/key", "CA": "/no/ca"},
            "gRPC: failed to load TLS certificate: /no/ca: No such file or directory",
        ),
    ],
)
def test_broken_tls_ends_the_start(tmp_path: Path, environ: dict[str, str], words: str) -> None:
    (port,) = free_ports(1)
    names = {"CERT": "WEED_GRPC_VOLUME_CERT", "KEY": "WEED_GRPC_VOLUME_KEY", "CA": "WEED_GRPC_CA"}
    given = {names[key]: value for key, value in environ.items()}
    daemon = Daemon([*FASTVOL, "serve", f"-port={port}", "data"], tmp_path, "serve", given)
    try:
        assert daemon.wait(START_SECONDS_MAX) == 255
        assert words in daemon.output + daemon.errors
    finally:
        daemon.kill()
