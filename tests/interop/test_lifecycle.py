"""Starting, stopping, crashing and reloading fastvol: data stays, and what goes wrong is said."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cluster import FASTVOL, Cluster, Server, started, volume_server, weed
from daemons import GRPC_OFFSET, free_ports, log_lines, wait_until
from http_calls import HOST, get, put, request

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

COOKIE = "11223344"
FATAL_STATUS = 255
RECONNECT_SECONDS_MAX = 15


@pytest.fixture(name="lone")
def lone_fixture(tmp_path: Path, cluster: Cluster) -> Iterator[Server]:
    """A second fastvol of the cluster, in a directory of its own; not started."""
    server = volume_server(FASTVOL, tmp_path, tmp_path / "data", [cluster.master.port])
    try:
        yield server
    finally:
        server.kill()


def refusal(server: Server) -> str:
    """The one line with which a server refuses to start."""
    try:
        assert server.start().running.wait() == FATAL_STATUS
    finally:
        server.kill()
    errors = server.running.errors
    assert "Traceback" not in errors
    lines = log_lines(errors, "WEF")
    assert len(lines) == 1, errors
    return lines[0]


# --- restarts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_restart_keeps_everything(cluster: Cluster, crash: bool) -> None:
    volume_id = 11 if crash else 10
    port = cluster.volume.port
    cluster.allocate(volume_id, "kept")
    data = {f"{volume_id},{key:02x}{COOKIE}": os.urandom(key * 1000) for key in range(1, 21)}
    for fid, content in data.items():
        assert put(port, fid, content).status == 201
    gone, overwritten, *_ = data
    assert request(port, "DELETE", f"/{gone}").status == 202
    data[overwritten] = b"changed"
    assert put(port, overwritten, data[overwritten]).status == 201

    if crash:
        cluster.volume.kill()
    else:
        assert cluster.volume.stop() == 0
        assert log_lines(cluster.volume.running.errors)[-1] == "Shut down successfully!"
        cluster.wait_left()
    cluster.volume.start()
    cluster.wait_joined()

    assert get(port, f"/{gone}").status == 404
    for fid, content in data.items():
        if fid != gone:
            assert get(port, f"/{fid}").body == content
    assert put(port, f"{volume_id},ff{COOKIE}", b"new").status == 201
    wait_until(lambda: volume_id in cluster.volume_ids(), "the master lists the volume")
    assert not log_lines(cluster.volume.running.errors, "WEF")


def test_a_stop_waits_for_pre_stop_seconds(lone: Server, cluster: Cluster) -> None:
    """The master forgets the server at once; it answers a little longer, but not as healthy."""
    lone.start("-preStopSeconds=2").ready()
    cluster.allocate(20, port=lone.port)
    wait_until(lambda: cluster.node(lone.port), "the server has joined")
    began = time.monotonic()
    lone.running.signal(signal.SIGTERM)
    wait_until(lambda: get(lone.port, "/healthz").status == 503, "it is stopping", 1)
    assert cluster.node(lone.port) is None
    assert put(lone.port, f"20,01{COOKIE}", b"late").status == 201
    assert get(lone.port, f"/20,01{COOKIE}").body == b"late"
    assert lone.running.wait() == 0
    assert 2 <= time.monotonic() - began < 5


def test_a_new_master_is_joined_without_help(cluster: Cluster) -> None:
    port = cluster.volume.port
    cluster.allocate(12)
    before = cluster.volume_ids()
    cluster.master.kill()
    fid = f"12,01{COOKIE}"
    assert put(port, fid, b"meanwhile").status == 201
    assert get(port, f"/{fid}").body == b"meanwhile"
    assert get(port, "/healthz").status == 200
    cluster.master.start().ready("/dir/status")
    wait_until(
        lambda: cluster.volume_ids() == before | {12}, "it has joined again", RECONNECT_SECONDS_MAX
    )


def test_it_waits_for_a_master_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    """Until a master answers nothing is touched and nothing listens."""
    (nobody,) = free_ports(1)
    server = volume_server(FASTVOL, tmp_path, tmp_path / "data", [nobody])
    with started(server):
        wait_until(lambda: server.running.errors, "it says what it waits for")
        (line,) = log_lines(server.running.errors)[:1]
        assert line.startswith(
            f"checkWithMaster {HOST}:{nobody}: get master {HOST}:{nobody} configuration: rpc error:"
        )
        with socket.socket() as probe:
            assert probe.connect_ex((HOST, server.port)) != 0
        assert server.stop() == 0
        assert "Traceback" not in server.running.errors
        assert list((tmp_path / "data").iterdir()) == []


def test_signals_while_it_loads(lone: Server) -> None:
    """A reload is passed over, a stop ends it at once and in good order."""
    data = lone.base / "data"
    (data / "7.idx").touch()
    os.mkfifo(data / "7.vif")  # reading it never ends
    lone.start()
    wait_until((data / "vol_dir.uuid").exists, "it has begun to load")
    lone.running.signal(signal.SIGHUP)
    time.sleep(0.2)
    assert lone.running.running
    assert lone.stop() == 0
    assert not log_lines(lone.running.errors, "WEF")


def test_master_and_server_start_in_any_order(tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path)
    with started(cluster.volume):
        wait_until(lambda: cluster.volume.running.errors, "it waits")
        with started(cluster.master):
            cluster.wait_joined()


# --- refusals at the start ----------------------------------------------------------------------


def test_a_directory_that_is_served_already(lone: Server, cluster: Cluster) -> None:
    lone.command = [
        argument.replace(f"-dir={lone.base}/data", f"-dir={cluster.directory}")
        for argument in lone.command
    ]
    assert refusal(lone) == (
        f"data directory {cluster.directory} is already served by another process"
    )
    assert get(cluster.volume.port, "/status").status == 200


def test_a_directory_that_the_master_knows_from_another_server(
    lone: Server, cluster: Cluster
) -> None:
    """``weed`` takes no lock, but the master sees the directory's name twice and insists."""
    theirs = volume_server(weed(lone.base), lone.base, lone.base / "data", [cluster.master.port])
    with started(theirs):
        theirs.ready()
        wait_until(lambda: cluster.node(theirs.port), "weed has joined")
        assert lone.start().running.wait(25) == 1
        said = log_lines(lone.running.errors, "WEF")
        assert [line.partition(" (attempt ")[2][:3] for line in said] == ["1/3", "2/3", "3/3", ""]
        assert said[-1].startswith(
            "Shut down Volume Server due to persistent duplicate volume directories after 3 retries"
        )


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (0, "Volume server listener error:listen tcp {address}: bind: address already in use"),
        (
            GRPC_OFFSET,
            "failed to listen on grpc port {port}: listen tcp {address}: bind: "
            "address already in use",
        ),
    ],
    ids=["HTTP", "gRPC"],
)
def test_a_port_that_is_taken(lone: Server, offset: int, said: str) -> None:
    port = lone.port + offset
    with socket.create_server((HOST, port)):
        assert refusal(lone) == said.format(address=f"{HOST}:{port}", port=port)
    assert list((lone.base / "data").iterdir()) == []


def test_a_public_port_that_is_taken(lone: Server) -> None:
    (public,) = free_ports(1)
    with socket.create_server((HOST, public)):
        lone.command.append(f"-port.public={public}")
        assert f"{HOST}:{public}: bind: address already in use" in refusal(lone)


def test_a_directory_that_is_missing(lone: Server) -> None:
    (lone.base / "data").rmdir()
    assert refusal(lone) == (
        f"Check Data Folder(-dir) Writable {lone.base}/data : "
        f"stat {lone.base}/data: no such file or directory"
    )


def test_a_directory_that_is_not_writable(lone: Server) -> None:
    (lone.base / "data").chmod(0o555)
    assert refusal(lone) == f"Check Data Folder(-dir) Writable {lone.base}/data : Not writable!"


def test_a_state_file_that_is_no_state(lone: Server) -> None:
    path = lone.base / "data" / "state.pb"
    path.write_bytes(b"\xff")
    assert f"failed to parse store state from {path}" in refusal(lone)
    assert path.read_bytes() == b"\xff"


# --- damage -------------------------------------------------------------------------------------


def test_a_damaged_volume_is_left_alone_and_the_others_are_served(
    lone: Server, cluster: Cluster
) -> None:
    data = lone.base / "data"
    lone.start().ready()
    for volume_id in (30, 31):
        cluster.allocate(volume_id, port=lone.port)
        assert put(lone.port, f"{volume_id},01{COOKIE}", b"content").status == 201
    assert lone.stop() == 0
    damaged = b"\x09" + (data / "30.dat").read_bytes()[1:]
    (data / "30.dat").write_bytes(damaged)
    index = (data / "30.idx").read_bytes()

    lone.start().ready()
    said = [line for line in log_lines(lone.running.errors, "E") if "30" in line]
    assert len(said) == 1
    assert f"{data}/30" in said[0] and "version" in said[0]
    assert get(lone.port, f"/31,01{COOKIE}").body == b"content"
    assert get(lone.port, f"/30,01{COOKIE}").status == 404
    wait_until(lambda: cluster.node(lone.port), "the server has joined")
    node = cluster.node(lone.port)
    assert node is not None and node["VolumeIds"].split() == ["31"]
    with pytest.raises(Exception, match=r"volume 30 not found on disk: .*version"):
        cluster.rpc_of(lone.port).VolumeMount(pb.VolumeMountRequest(volume_id=30))
    assert lone.stop() == 0
    assert (data / "30.dat").read_bytes() == damaged
    assert (data / "30.idx").read_bytes() == index


# --- SIGHUP -------------------------------------------------------------------------------------


def reload(server: Server) -> None:
    """SIGHUP, and wait until it has been acted on."""
    done = server.running.errors.count("reloaded volumes")
    server.running.signal(signal.SIGHUP)
    wait_until(lambda: server.running.errors.count("reloaded volumes") > done, "the reload")


def test_reload_finds_new_volumes(lone: Server, cluster: Cluster) -> None:
    """Their files were copied into the directory while the server ran."""
    data, aside = lone.base / "data", lone.base / "aside"
    aside.mkdir()
    lone.start().ready()
    for volume_id in (40, 41):
        cluster.allocate(volume_id, port=lone.port)
        assert put(lone.port, f"{volume_id},01{COOKIE}", b"content").status == 201
    assert lone.stop() == 0
    for path in data.glob("41.*"):
        path.rename(aside / path.name)
    lone.start().ready()
    assert get(lone.port, f"/41,01{COOKIE}").status == 404
    for path in aside.iterdir():
        path.rename(data / path.name)
    reload(lone)
    assert get(lone.port, f"/40,01{COOKIE}").body == b"content"
    assert get(lone.port, f"/41,01{COOKIE}").body == b"content"
    wait_until(
        lambda: (cluster.node(lone.port) or {}).get("VolumeIds", "").strip() in ("40-41", "40 41"),
        "the master lists both",
    )


def signed(fid: str, key: str) -> dict[str, str]:
    token = jwt.encode({"fid": fid, "exp": int(time.time()) + 60}, key, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


def test_reload_reads_keys_and_white_list(lone: Server, cluster: Cluster) -> None:
    """A key that appears locks writes, for the next request; one set to nothing unlocks them."""
    settings = lone.base / "settings"
    settings.mkdir()
    toml = settings / "security.toml"
    lone.command[3:3] = [f"-config_dir={settings}"]
    lone.start().ready()
    cluster.allocate(50, port=lone.port)
    port, fid = lone.port, f"50,01{COOKIE}"
    key = "a-key-of-more-than-thirty-two-bytes-length"
    assert put(port, fid, b"open").status == 201

    toml.write_text(f'[jwt.signing]\nkey = "{key}"\n')
    reload(lone)
    assert put(port, fid, b"no token").status == 401
    assert request(port, "DELETE", f"/{fid}").status == 401
    assert get(port, f"/{fid}").body == b"open"
    assert put(port, fid, b"token", **signed(fid, key)).status == 201
    assert put(port, fid, b"wrong", **signed(fid, key + "x")).status == 401

    toml.write_text(f'[jwt.signing]\nkey = "{key}"\n[jwt.signing.read]\nkey = "{key}r"\n')
    reload(lone)
    assert get(port, f"/{fid}").status == 401
    assert get(port, f"/{fid}", **signed(fid, key + "r")).body == b"token"

    toml.write_text("this is no toml")
    lone.running.signal(signal.SIGHUP)
    wait_until(lambda: "security settings stay" in lone.running.errors, "the refusal")
    assert put(port, fid, b"no token").status == 401

    toml.write_text(
        '[jwt.signing]\nkey = ""\n[jwt.signing.read]\nkey = ""\n[guard]\nwhite_list = "10.0.0.9"\n'
    )
    reload(lone)
    assert get(port, f"/{fid}").body == b"token"
    assert put(port, fid, b"unlisted").status == 401
    with pytest.raises(Exception, match=f"not authorized: {HOST}"):
        cluster.allocate(51, port=port)

    toml.write_text(f'[guard]\nwhite_list = "10.0.0.0/8,{HOST}"\n')
    reload(lone)
    assert put(port, fid, b"listed").status == 201
