"""Both servers' metrics, scraped after the same requests: the same families, types, series, numbers."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    joined,
    master_server,
    started,
    volume_rpc,
    volume_server,
    weed,
)
from daemons import START_SECONDS_MAX, free_ports, wait_until
from http_calls import HOST, Reply, get
from http_calls import request as call
from prometheus_client.parser import text_string_to_metric_families

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

PREFIX: Final = "SeaweedFS_volumeServer_"

ONLY_GO: Final = {
    r"go_.*": "Go's own memory and scheduler",
    r"SeaweedFS_(master|filer|s3|admin|wdclient|upload|.*Filer).*": (
        "components that a volume server does not run; zero series of Go's package variables"
    ),
}
"""Families that weed has and fastvol does not, with the reason."""

VARYING: Final = re.compile(
    PREFIX + r"(start_time_seconds|resource)|process_.*|.*_(sum|bucket)|SeaweedFS_build_info"
)
"""Series whose numbers differ between any two processes."""

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass
class Measured:
    """A volume server with a metrics port."""

    server: Server
    metrics_port: int
    directory: Path
    volume_id: int
    """A volume of its own; that of the other one has another id."""

    def scrape(self) -> Reply:
        return get(self.metrics_port, "/metrics")

    def text(self) -> str:
        reply = self.scrape()
        assert reply.status == 200
        return reply.body.decode()

    def series(self) -> Series:
        """Everything that both servers could agree on, with what names this server taken out."""
        found: Series = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                if is_only_go(sample.name):
                    continue
                labels = {
                    name: value.replace(str(self.directory), "DIR")
                    for name, value in sample.labels.items()
                }
                if sample.name == "SeaweedFS_build_info":
                    labels.pop("commit")
                value = 0.0 if VARYING.fullmatch(sample.name) else sample.value
                found[sample.name, tuple(sorted(labels.items()))] = value
        return found

    def types(self) -> dict[str, str]:
        """Type by name of the family, as the TYPE lines say."""
        lines = re.findall(r"^# TYPE (\S+) (\S+)$", self.text(), re.MULTILINE)
        return {name: kind for name, kind in lines if not is_only_go(name)}


def is_only_go(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in ONLY_GO)


@dataclass
class Pair:
    """The same master's two servers; whatever is asked of one is asked of the other."""

    weed: Measured
    fastvol: Measured

    def both(self) -> tuple[Measured, Measured]:
        return self.weed, self.fastvol

    def request(self, method: str, path: str, **more: Any) -> None:
        """``VID`` in the path is the server's own volume; both answer with the same status."""
        statuses = set()
        for one in self.both():
            own = path.replace("VID", str(one.volume_id))
            statuses.add(call(one.server.port, method, own, **more).status)
        assert len(statuses) == 1, (method, path, statuses)

    def rpc(self, name: str, request: Any, *, by_volume: bool = True) -> None:
        """A call of the volume service; an error is an outcome like any other."""
        for one in self.both():
            if by_volume and not request.volume_id:
                request.volume_id = one.volume_id
                self._call(one, name, request)
                request.volume_id = 0
            else:
                self._call(one, name, request)

    @staticmethod
    def _call(one: Measured, name: str, request: Any) -> None:
        with volume_rpc(one.server.port) as stub:
            try:
                answer = getattr(stub, name)(request, timeout=20)
                if name == "VacuumVolumeCompact":
                    list(answer)
            except grpc.RpcError:
                pass

    def agree(self) -> Series:
        """Waits until both show the same: weed sets some figures with its heartbeat only."""
        differences: list[str] = []

        def same() -> bool:
            theirs, ours = self.weed.series(), self.fastvol.series()
            differences[:] = [
                f"{key}: weed {theirs.get(key)}, fastvol {ours.get(key)}"
                for key in sorted(theirs.keys() | ours.keys())
                if theirs.get(key) != ours.get(key)
            ]
            return not differences

        try:
            wait_until(same, "the same series")
        except AssertionError:
            pytest.fail("\n".join(differences))
        return self.fastvol.series()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    base = tmp_path_factory.mktemp("metrics")
    master = master_server(base)
    measured = []
    for name, program, volume_id in (("weed", weed(base), 11), ("fastvol", FASTVOL, 12)):
        port = free_ports(1)[0]
        directory = base / name
        server = volume_server(
            program, base, directory, [master.port], f"-metricsPort={port}", "-max=60"
        )
        measured.append(Measured(server, port, directory, volume_id))
    with started(master):
        # A master that has just begun refuses the first beats, each of them a disconnection.
        wait_until(
            lambda: b'"IsLeader":true' in get(master.port, "/cluster/status").body,
            "the master leads",
        )
        with started(*(one.server for one in measured)):
            for one in measured:
                one.server.ready()
                wait_until(lambda one=one: joined(master, one.server), "joined", START_SECONDS_MAX)
            yield Pair(*measured)


def test_an_idle_server_shows_the_same_families_types_and_series(pair: Pair) -> None:
    pair.agree()
    assert pair.fastvol.types() == pair.weed.types()


def test_what_only_go_has_is_only_what_is_listed(pair: Pair) -> None:
    """The patterns of the exceptions cover nothing that fastvol could know."""
    names = re.findall(r"^# TYPE (\S+)", pair.weed.text(), re.MULTILINE)
    left_out = [name for name in names if is_only_go(name)]
    assert left_out and not any(name.startswith(PREFIX) for name in left_out)


def test_the_answer_is_framed_alike(pair: Pair) -> None:
    theirs, ours = pair.weed.scrape(), pair.fastvol.scrape()
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    for path in ("/", "/metrics/", "/metric"):
        replies = [get(one.metrics_port, path) for one in pair.both()]
        assert [(r.status, r.body) for r in replies] == [(404, b"404 page not found\n")] * 2


def test_the_same_requests_leave_the_same_numbers(pair: Pair) -> None:
    for one in pair.both():
        with volume_rpc(one.server.port) as stub:
            allocate(stub, one.volume_id, "shots")
    form = {
        "Content-Type": "multipart/form-data; boundary=xxx",
    }
    body = (
        b'--xxx\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: image/x\r\n\r\n" + bytes(range(256)) * 4 + b"\r\n--xxx--\r\n"
    )
    fid = "/VID,0163abcdef01"
    for _ in range(3):
        pair.request("POST", fid, body=body, headers=form)
    pair.request("PUT", "/VID,0263abcdef01", body=b"put", headers={"Content-Type": "text/plain"})
    pair.request("POST", "/bad", body=body, headers=form)
    pair.request("POST", "/9999,0163abcdef01", body=body, headers=form)
    for _ in range(4):
        pair.request("GET", fid)
    pair.request("HEAD", fid)
    pair.request("GET", fid, headers={"Range": "bytes=0-9"})
    pair.request("GET", fid, headers={"Range": "bytes=9999-"})
    pair.request("GET", fid, headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
    pair.request("GET", "/VID,0163abcdef02")  # wrong cookie
    pair.request("GET", "/VID,0963abcdef01")  # no such needle
    pair.request("GET", "/9999,0163abcdef01")  # no such volume
    pair.request("GET", "/xx")
    pair.request("GET", "//a//b")  # the multiplexer's own answer, which nobody counts
    pair.request("OPTIONS", fid)
    pair.request("PATCH", fid)
    pair.request("FOO", fid)
    pair.request("GET", "/status")
    pair.request("GET", "/healthz")
    pair.request("GET", fid + "?readDeleted=true")  # it is not
    pair.request("DELETE", fid)
    pair.request("DELETE", fid)
    pair.request("DELETE", "/VID,0263abcdef02")  # wrong cookie
    pair.request("GET", fid)
    pair.request("GET", fid + "?readDeleted=true")
    found = pair.agree()
    assert found[PREFIX + "request_total", (("code", "201"), ("type", "POST"))] == 1
    assert found[PREFIX + "request_total", (("code", "200"), ("type", "GET"))] >= 4
    assert pair.fastvol.types() == pair.weed.types()


def test_vacuums_and_marks_leave_the_same_numbers(pair: Pair) -> None:
    pair.rpc("VacuumVolumeCompact", pb.VacuumVolumeCompactRequest())
    pair.rpc("VacuumVolumeCommit", pb.VacuumVolumeCommitRequest())
    pair.rpc("VacuumVolumeCompact", pb.VacuumVolumeCompactRequest(volume_id=77))
    pair.rpc("VacuumVolumeCommit", pb.VacuumVolumeCommitRequest(volume_id=77))
    pair.rpc("VolumeMarkReadonly", pb.VolumeMarkReadonlyRequest())
    pair.request("PUT", "/VID,0363abcdef01", body=b"late")
    pair.request("DELETE", "/VID,0263abcdef01")
    found = pair.agree()
    # The parser that reads both has its own opinion on the names of counters.
    assert found[PREFIX + "vacuuming_compact_count_total", (("success", "false"),)] == 1
    marks = (("collection", "shots"), ("type", "IsReadOnly"))
    assert found[PREFIX + "read_only_volumes", marks] == 1


def test_replication_leaves_the_same_numbers(pair: Pair) -> None:
    """Each is the primary once, and once the copy."""
    for one in pair.both():
        with volume_rpc(one.server.port) as stub:
            allocate(stub, 31, "twice", replication="001")
    time.sleep(0.5)  # the master has heard of both
    for one in pair.both():
        path = f"/31,{one.volume_id:02x}63abcdef01"
        assert call(one.server.port, "PUT", path, body=b"copied").status == 201
        assert call(one.server.port, "DELETE", path).status == 202
    found = pair.agree()
    done = (("operation", "write"), ("result", "success"))
    assert found[PREFIX + "replication_operations_total", done] == 1


def test_series_of_a_collection_go_with_it(pair: Pair) -> None:
    """One by one its volumes leave a zero; deleted as a whole it leaves nothing."""
    for one in pair.both():
        with volume_rpc(one.server.port) as stub:
            allocate(stub, 40 + one.volume_id, "brief")
    pair.agree()
    for one in pair.both():
        with volume_rpc(one.server.port) as stub:
            stub.VolumeDelete(pb.VolumeDeleteRequest(volume_id=one.volume_id))
    found = pair.agree()
    assert found[PREFIX + "volumes", (("collection", "shots"), ("type", "volume"))] == 0
    assert not any(
        ("collection", "shots") in labels for name, labels in found if "total_disk_size" in name
    )
    pair.rpc("DeleteCollection", pb.DeleteCollectionRequest(collection="brief"), by_volume=False)
    found = pair.agree()
    assert not any(("collection", "brief") in labels for _, labels in found)


def test_the_port_is_open_before_any_master_is(tmp_path: Path) -> None:
    metrics_port, nobody = free_ports(2)
    server = volume_server(
        FASTVOL, tmp_path, tmp_path / "data", [nobody], f"-metricsPort={metrics_port}"
    )
    with started(server):
        reply = wait_until(lambda: get(metrics_port, "/metrics"), "scraped", START_SECONDS_MAX)
        assert b"start_time_seconds" in reply.body and b"request_total" not in reply.body


def test_a_taken_metrics_port_ends_the_start(tmp_path: Path, pair: Pair) -> None:
    port = pair.fastvol.metrics_port
    server = volume_server(FASTVOL, tmp_path, tmp_path / "data", [1], f"-metricsPort={port}")
    with started(server):
        assert server.running.wait() == 255
        assert "address already in use" in server.running.errors


def test_a_single_node_has_them_too(tmp_path: Path) -> None:
    port, metrics_port = free_ports(2)
    command = [*FASTVOL, "serve", f"-port={port}", f"-metricsPort={metrics_port}", "data"]
    with started(Server(tmp_path, "serve", port, command)):
        wait_until(
            lambda: b"concurrent_upload_limit 0" in get(metrics_port, "/metrics").body,
            "scraped",
            START_SECONDS_MAX,
        )


def test_a_master_that_names_a_gateway_gets_both_servers_metrics_there(tmp_path: Path) -> None:
    """The same requests in the same places; only the format of the body is another."""
    paths: set[tuple[str, str]] = set()
    bodies: list[bytes] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            paths.add((self.command, self.path))
            if "text/plain" in self.headers["Content-Type"]:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    gateway = ThreadingHTTPServer((HOST, 0), Gateway)
    thread = threading.Thread(target=gateway.serve_forever, args=(0.05,))
    thread.start()
    address = f"-metrics.address={HOST}:{gateway.server_port}"
    master = master_server(tmp_path, address, "-metrics.intervalSeconds=1")
    servers = [
        volume_server(program, tmp_path, tmp_path / name, [master.port])
        for name, program in (("weed", weed(tmp_path)), ("fastvol", FASTVOL))
    ]
    wanted = {
        ("PUT", f"/metrics/job/volumeServer/instance/{HOST}%3A{server.port}") for server in servers
    }
    try:
        with started(master, *servers):
            wait_until(lambda: wanted <= paths and len(bodies) >= 3, "pushed", START_SECONDS_MAX)
    finally:
        gateway.shutdown()
        thread.join()
        gateway.server_close()
    assert b"SeaweedFS_volumeServer_start_time_seconds" in bodies[0]
