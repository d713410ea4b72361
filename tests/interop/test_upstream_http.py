"""The meaning of each of SeaweedFS's own HTTP tests of a volume server (test/volume_server/http).

A test here has the name of theirs in our spelling: ``TestMultiRangeRead…`` is ``test_multi_range_read…``.
Images, static files and the status page are with their own tests; PARITY.md names all the pairs.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import pytest
from cluster import FASTVOL, Cluster, Server, started, volume_server
from daemons import START_SECONDS_MAX, free_ports, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, Reply, get, request

from fastvol.pb import volume_server_pb2 as pb

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

WRITE_KEY: Final = "volume-server-write-key"
READ_KEY: Final = "volume-server-read-key"
KEYS = count(0x1000)
VOLUMES = count(1)
COOKIE: Final = "11223344"
MIB: Final = 1 << 20
LARGE: Final = 12 * MIB


@dataclass
class Profile:
    """A cluster of one or two fastvols, as one of upstream's profiles asks for."""

    cluster: Cluster
    servers: list[Server]
    public_port: int

    @property
    def port(self) -> int:
        return self.servers[0].port

    def volume(self, replication: str = "000", on: list[Server] | None = None) -> int:
        """A new volume, on the first server or on those given, once the master knows it."""
        volume_id = next(VOLUMES)
        servers = on or self.servers[:1]
        for server in servers:
            self.cluster.rpc_of(server.port).AllocateVolume(
                pb.AllocateVolumeRequest(volume_id=volume_id, replication=replication, version=3)
            )
        lookup = f"/dir/lookup?volumeId={volume_id}"
        wait_until(
            lambda: (
                len(get(self.cluster.master.port, lookup).json().get("locations") or ())
                == len(servers)
            ),
            "the master lists every copy",
        )
        return volume_id

    def fid(self, volume_id: int | None = None) -> str:
        return f"{volume_id or self.volume()},{next(KEYS):x}{COOKIE}"


@contextmanager
def profile(base: Path, *extra: str, servers: int = 1) -> Iterator[Profile]:
    public_port = free_ports(1)[0]
    cluster = Cluster.make(base, *extra, f"-port.public={public_port}")
    more = [
        volume_server(FASTVOL, base, base / f"more-{number}", [cluster.master.port], *extra)
        for number in range(1, servers)
    ]
    with cluster.running(), started(*more):
        for server in more:
            server.ready()
            wait_until(lambda port=server.port: cluster.node(port), "joined", START_SECONDS_MAX)
        yield Profile(cluster, [cluster.volume, *more], public_port)


@pytest.fixture(scope="module")
def p1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """Proxy mode, with a public port (upstream's P1 and P2)."""
    with profile(tmp_path_factory.mktemp("p1"), "-readMode=proxy") as made:
        yield made


@pytest.fixture(scope="module")
def p3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """With keys for writes and reads."""
    base = tmp_path_factory.mktemp("p3")
    (base / "security.toml").write_text(
        f'[jwt.signing]\nkey = "{WRITE_KEY}"\n[jwt.signing.read]\nkey = "{READ_KEY}"\n'
    )
    with profile(base, f"-securityFile={base / 'security.toml'}") as made:
        yield made


LIMITS: Final = (
    "-concurrentUploadLimitMB=1",
    "-concurrentDownloadLimitMB=1",
    "-inflightUploadDataTimeout=2s",
    "-inflightDownloadDataTimeout=2s",
)


@pytest.fixture(scope="module")
def p8(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """With limits of 1 MiB in both directions, on two servers."""
    with profile(tmp_path_factory.mktemp("p8"), *LIMITS, servers=2) as made:
        yield made


@pytest.fixture(scope="module", params=["proxy", "redirect", "local"])
def pair(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[str, Profile]]:
    """Two servers in one read mode."""
    mode = str(request.param)
    with profile(tmp_path_factory.mktemp(mode), f"-readMode={mode}", servers=2) as made:
        yield mode, made


def upload(port: int, target: str, data: bytes = b"payload", **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Content-Type", "application/octet-stream")
    return request(port, "POST", f"/{target}", data, given)


def delete(port: int, target: str) -> Reply:
    return request(port, "DELETE", f"/{target}")


def head(port: int, target: str, **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(port, "HEAD", f"/{target}", None, given)


# --- admin_test.go ------------------------------------------------------------------------------


def test_admin_status_and_healthz(p1: Profile) -> None:
    status = get(p1.port, "/status")
    assert status.status == 200
    assert "SeaweedFS Volume" in status.headers["server"]
    assert status.headers["x-amz-request-id"]
    shown = status.json()
    assert {"Version", "DiskStatuses", "Volumes"} <= shown.keys()
    assert {"dir", "all", "used", "free"} <= shown["DiskStatuses"][0].keys()
    health = get(p1.port, "/healthz")
    assert health.status == 200
    assert "SeaweedFS Volume" in health.headers["server"] and health.headers["x-amz-request-id"]


def test_options_methods_by_port(p1: Profile) -> None:
    admin, public = (request(port, "OPTIONS", "/") for port in (p1.port, p1.public_port))
    assert admin.status == public.status == 200
    allowed = set(admin.headers["access-control-allow-methods"].split(", "))
    assert allowed == {"PUT", "POST", "GET", "DELETE", "OPTIONS"}
    allowed = set(public.headers["access-control-allow-methods"].split(", "))
    assert allowed == {"GET", "OPTIONS"}
    for reply in (admin, public):
        assert reply.headers["access-control-allow-headers"] == "*"


def test_options_with_origin_includes_cors_headers(p1: Profile) -> None:
    for port in (p1.port, p1.public_port):
        reply = request(port, "OPTIONS", "/", None, {"Origin": "https://there"})
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-credentials"] == "true"


def test_ui_index_not_exposed_when_jwt_signing_enabled(p3: Profile) -> None:
    assert get(p3.port, "/ui/index.html").status == 401


# --- auth_test.go -------------------------------------------------------------------------------


def token(key: str, fid: str, seconds: float = 60) -> str:
    return jwt.encode({"fid": fid, "exp": int(time.time() + seconds)}, key, "HS256")


def bearer(key: str, fid: str, seconds: float = 60) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(key, fid, seconds)}"}


@pytest.fixture
def guarded(p3: Profile) -> str:
    """A stored object."""
    fid = p3.fid()
    assert upload(p3.port, fid, **bearer(WRITE_KEY, fid)).status == 201
    return fid


def test_jwt_auth_for_write_and_read(p3: Profile) -> None:
    fid = p3.fid()
    assert upload(p3.port, fid).status == 401
    assert upload(p3.port, fid, Authorization="Bearer invalid").status == 401
    assert upload(p3.port, fid, **bearer(WRITE_KEY, fid)).status == 201
    assert get(p3.port, f"/{fid}").status == 401
    reply = get(p3.port, f"/{fid}", **bearer(READ_KEY, fid))
    assert (reply.status, reply.body) == (200, b"payload")


def test_jwt_auth_rejects_fid_mismatch(p3: Profile, guarded: str) -> None:
    other = p3.fid()
    wrong_cookie = guarded[:-1] + "5"
    for wrong in (other, wrong_cookie):
        assert upload(p3.port, guarded, **bearer(WRITE_KEY, wrong)).status == 401
        assert get(p3.port, f"/{guarded}", **bearer(READ_KEY, wrong)).status == 401
    assert upload(p3.port, guarded, b"new", **bearer(WRITE_KEY, guarded)).status == 201


def test_jwt_auth_rejects_expired_tokens(p3: Profile, guarded: str) -> None:
    assert upload(p3.port, guarded, **bearer(WRITE_KEY, guarded, -60)).status == 401
    assert get(p3.port, f"/{guarded}", **bearer(READ_KEY, guarded, -60)).status == 401


def test_jwt_auth_via_query_param_and_cookie(p3: Profile) -> None:
    fid = p3.fid()
    assert upload(p3.port, f"{fid}?jwt={token(WRITE_KEY, fid)}").status == 201
    reply = get(p3.port, f"/{fid}", Cookie=f"AT={token(READ_KEY, fid)}")
    assert (reply.status, reply.body) == (200, b"payload")


def test_jwt_token_source_precedence_query_over_header(p3: Profile, guarded: str) -> None:
    wrong = token(WRITE_KEY, "9,9911223344")
    reply = upload(p3.port, f"{guarded}?jwt={wrong}", **bearer(WRITE_KEY, guarded))
    assert reply.status == 401
    assert get(p3.port, f"/{guarded}?jwt={wrong}", **bearer(READ_KEY, guarded)).status == 401


def test_jwt_token_source_precedence_header_over_cookie(p3: Profile, guarded: str) -> None:
    written = upload(p3.port, guarded, b"new", **bearer(WRITE_KEY, guarded), Cookie="AT=wrong")
    assert written.status == 201
    read = get(p3.port, f"/{guarded}", **bearer(READ_KEY, guarded), Cookie="AT=wrong")
    assert (read.status, read.body) == (200, b"new")


def test_jwt_token_source_precedence_query_over_cookie(p3: Profile, guarded: str) -> None:
    right = f"AT={token(WRITE_KEY, guarded)}"
    assert upload(p3.port, f"{guarded}?jwt=wrong", Cookie=right).status == 401
    right = f"AT={token(READ_KEY, guarded)}"
    assert get(p3.port, f"/{guarded}?jwt=wrong", Cookie=right).status == 401
    reply = get(p3.port, f"/{guarded}?jwt={token(READ_KEY, guarded)}", Cookie="AT=wrong")
    assert (reply.status, reply.body) == (200, b"payload")


# --- chunk_manifest_test.go ---------------------------------------------------------------------


def manifest_of(*chunks: tuple[str, int]) -> bytes:
    entries = [{"fid": fid, "offset": 0, "size": size} for fid, size in chunks]
    size = sum(size for _, size in chunks)
    return json.dumps({"name": "m", "size": size, "chunks": entries}).encode()


def store_manifest(p1: Profile, *chunks: tuple[str, int]) -> str:
    fid = p1.fid()
    body = manifest_of(*chunks)
    assert upload(p1.port, f"{fid}?cm=true", body, Content_Type="application/json").status == 201
    return fid


def test_chunk_manifest_expansion_and_bypass(p1: Profile) -> None:
    chunk = p1.fid()
    assert upload(p1.port, chunk, b"the content of a chunk").status == 201
    fid = store_manifest(p1, (chunk, 22))
    whole = get(p1.port, f"/{fid}")
    assert (whole.status, whole.body) == (200, b"the content of a chunk")
    assert whole.headers["x-file-store"] == "chunked"
    plain = get(p1.port, f"/{fid}?cm=false")
    assert plain.status == 200 and "x-file-store" not in plain.headers
    assert [entry["fid"] for entry in plain.json()["chunks"]] == [chunk]


def test_chunk_manifest_delete_removes_child_chunks(p1: Profile) -> None:
    chunk = p1.fid()
    assert upload(p1.port, chunk, b"child").status == 201
    fid = store_manifest(p1, (chunk, 5))
    reply = delete(p1.port, fid)
    assert (reply.status, reply.json()) == (202, {"size": 5})
    assert get(p1.port, f"/{fid}").status == get(p1.port, f"/{chunk}").status == 404


def test_chunk_manifest_delete_fails_when_child_deletion_fails(p1: Profile) -> None:
    fid = store_manifest(p1, ("not-a-valid-fid", 5))
    assert delete(p1.port, fid).status == 500
    kept = get(p1.port, f"/{fid}?cm=false")
    assert kept.status == 200 and kept.json()["chunks"][0]["fid"] == "not-a-valid-fid"


# --- compressed_read_test.go, headers_static_test.go --------------------------------------------


def test_compressed_read_accept_encoding_matrix(p1: Profile) -> None:
    fid, text = p1.fid(), b"compress me " * 50
    given = {"Content_Type": "text/plain", "Content_Encoding": "gzip"}
    assert upload(p1.port, fid, gzip.compress(text), **given).status == 201
    packed = get(p1.port, f"/{fid}", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == text
    plain = get(p1.port, f"/{fid}", Accept_Encoding="identity")
    assert plain.body == text and "content-encoding" not in plain.headers


def test_read_passthrough_headers_and_download_disposition(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    path = "/" + fid.replace(",", "/")
    query = "?response-content-type=text/plain&response-cache-control=no-store&dl=true"
    reply = get(p1.port, f"{path}/report.txt{query}")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["cache-control"] == "no-store"
    assert "attachment" in reply.headers["content-disposition"]
    assert "report.txt" in reply.headers["content-disposition"]


def test_download_disposition_uses_go_bool_parsing(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    reply = get(p1.port, "/" + fid.replace(",", "/") + "/report.txt?dl=t")
    assert "attachment" in reply.headers["content-disposition"]


# --- production_features_test.go ----------------------------------------------------------------


def test_stats_endpoints(p1: Profile) -> None:
    """Upstream's binary has none either: they are paths of objects."""
    for path in ("/stats/counter", "/stats/memory", "/stats/disk"):
        assert get(p1.port, path).status == 400


def test_status_pretty_json_and_callback_ignored(p1: Profile) -> None:
    pretty = get(p1.port, "/status?pretty=y")
    assert len(pretty.body.splitlines()) >= 3 and pretty.json()
    plain = get(p1.port, "/status?callback=myFunc")
    assert plain.headers["content-type"] == "application/json"
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.body.startswith(b"{") and plain.json()


def test_upload_with_custom_timestamp(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, f"{fid}?ts=1700000000").status == 201
    assert get(p1.port, f"/{fid}").headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def test_request_id_generation(p1: Profile) -> None:
    found = get(p1.port, "/status").headers["x-amz-request-id"]
    assert len(found) >= 16 and set(found) <= set("0123456789ABCDEF")


def test_s3_response_passthrough_headers(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    expires = "Thu,+01+Jan+2099+00:00:00+GMT"
    reply = get(p1.port, f"/{fid}?response-content-language=fr&response-expires={expires}")
    assert reply.headers["content-language"] == "fr"
    assert reply.headers["expires"] == "Thu, 01 Jan 2099 00:00:00 GMT"


def test_large_file_write_and_read(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, b"A" * MIB).status == 201
    assert get(p1.port, f"/{fid}").body == b"A" * MIB


def test_upload_with_content_type_preservation(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, Content_Type="image/png").status == 201
    assert get(p1.port, f"/{fid}").headers["content-type"] == "image/png"


# --- public_cors_methods_test.go ----------------------------------------------------------------


def test_public_port_read_only_method_behavior(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, b"original").status == 201
    assert get(p1.public_port, f"/{fid}").body == b"original"
    assert upload(p1.public_port, fid, b"changed").status == 200
    assert delete(p1.public_port, fid).status == 200
    assert get(p1.port, f"/{fid}").body == b"original"


def test_cors_and_unsupported_method_behavior(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    for port, refused in ((p1.port, 400), (p1.public_port, 200)):
        reply = get(port, f"/{fid}", Origin="https://there")
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert request(port, "PATCH", f"/{fid}").status == refused


def test_unsupported_method_trace_parity(p1: Profile) -> None:
    fid = p1.fid()
    assert request(p1.port, "TRACE", f"/{fid}").status == 400
    assert request(p1.public_port, "TRACE", f"/{fid}").status == 200


def test_unsupported_method_propfind_parity(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    assert request(p1.port, "PROPFIND", f"/{fid}").status == 400
    assert request(p1.public_port, "PROPFIND", f"/{fid}").status == 200
    assert get(p1.port, f"/{fid}").body == b"payload"


def test_public_port_head_read_parity(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    reply = head(p1.public_port, fid)
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "7", b"")


# --- range_variants_test.go, read_deleted_test.go -----------------------------------------------


def test_multi_range_read_returns_multipart_payload(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, b"0123456789abcdef").status == 201
    reply = get(p1.port, f"/{fid}", Range="bytes=0-1,4-5")
    assert reply.status == 206
    assert "multipart/byteranges" in reply.headers["content-type"]
    assert b"01" in reply.body and b"45" in reply.body


def test_oversized_combined_ranges_are_ignored(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, b"0123456789abcdef").status == 201
    reply = get(p1.port, f"/{fid}", Range="bytes=0-10,5-15")
    assert (reply.status, reply.body) == (200, b"")


def test_read_deleted_query_returns_deleted_needle_data(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    assert delete(p1.port, fid).status == 202
    assert get(p1.port, f"/{fid}").status == 404
    reply = get(p1.port, f"/{fid}?readDeleted=true")
    assert (reply.status, reply.body) == (200, b"payload")


# --- read_mode_proxy_redirect_test.go -----------------------------------------------------------


def follow(reply: Reply) -> Reply:
    target = urlsplit(reply.headers["location"])
    return get(int(target.port or 0), f"{target.path}?{target.query}")


def test_read_mode_missing_local_volume(pair: tuple[str, Profile]) -> None:
    """TestReadModeProxyMissingLocalVolume, …RedirectMissingLocalVolume,
    …LocalMissingLocalVolumeReturnsNotFound."""
    mode, two = pair
    fid = two.fid()
    assert upload(two.port, fid).status == 201
    reply = get(two.servers[1].port, f"/{fid}")
    if mode == "local":
        assert reply.status == 404
        return
    if mode == "redirect":
        assert reply.status == 301 and "proxied=true" in reply.headers["location"]
        reply = follow(reply)
    assert (reply.status, reply.body) == (200, b"payload")


def test_read_deleted_on_missing_local_volume(pair: tuple[str, Profile]) -> None:
    """TestReadDeletedProxyModeOnMissingLocalVolume,
    TestReadDeletedRedirectModeDropsQueryParameterParity."""
    mode, two = pair
    fid = two.fid()
    assert upload(two.port, fid).status == 201
    assert delete(two.port, fid).status == 202
    reply = get(two.servers[1].port, f"/{fid}?readDeleted=true")
    if mode == "proxy":
        assert (reply.status, reply.body) == (200, b"payload")
    elif mode == "redirect":
        assert "proxied=true" in reply.headers["location"]
        assert "readDeleted=true" not in reply.headers["location"]
        assert follow(reply).status == 404
    else:
        assert reply.status == 404


def test_read_mode_redirect_preserves_collection_query(pair: tuple[str, Profile]) -> None:
    mode, two = pair
    if mode != "redirect":
        return
    fid = two.fid()
    assert upload(two.port, fid).status == 201
    reply = get(two.servers[1].port, f"/{fid}?collection=redirect-collection")
    assert "collection=redirect-collection" in reply.headers["location"]
    assert follow(reply).body == b"payload"


# --- read_path_variants_test.go, read_write_delete_test.go --------------------------------------


def test_read_path_shapes_and_if_modified_since(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    path = "/" + fid.replace(",", "/")
    for shape in (path, f"{path}/named.bin"):
        reply = get(p1.port, shape)
        assert (reply.status, reply.body) == (200, b"payload")
    since = reply.headers["last-modified"]
    assert get(p1.port, f"/{fid}", If_Modified_Since=since).status == 304
    unchanged = head(p1.port, fid, If_Modified_Since=since)
    assert (unchanged.status, unchanged.body) == (304, b"")


def test_malformed_vid_fid_path_returns_bad_request(p1: Profile) -> None:
    assert get(p1.port, "/not-a-vid/not-a-fid").status == 400


def test_read_wrong_cookie_returns_not_found(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    wrong = fid[:-1] + "5"
    assert get(p1.port, f"/{wrong}").status == 404
    reply = head(p1.port, wrong)
    assert (reply.status, reply.body) == (404, b"")


def test_conditional_header_precedence_and_invalid_if_modified_since(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    since = get(p1.port, f"/{fid}").headers["last-modified"]
    reply = get(p1.port, f"/{fid}", If_Modified_Since=since, If_None_Match='"different"')
    assert (reply.status, reply.body) == (304, b"")
    reply = get(p1.port, f"/{fid}", If_Modified_Since="invalid", If_None_Match='"different"')
    assert (reply.status, reply.body) == (200, b"payload")


def test_upload_read_range_head_delete_round_trip(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, b"hello world").status == 201
    reply = get(p1.port, f"/{fid}")
    tag = reply.headers["etag"]
    assert (reply.status, reply.body) == (200, b"hello world") and tag
    assert get(p1.port, f"/{fid}", If_None_Match=tag).status == 304
    part = get(p1.port, f"/{fid}", Range="bytes=0-4")
    assert (part.status, part.body) == (206, b"hello")
    assert get(p1.port, f"/{fid}", Range="bytes=9999-10000").status == 416
    shown = head(p1.port, fid)
    assert (shown.status, shown.headers["content-length"]) == (200, "11")
    unchanged = head(p1.port, fid, If_None_Match=tag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert delete(p1.port, fid).status == 202
    assert get(p1.port, f"/{fid}").status == 404


def test_invalid_read_path_returns_bad_request(p1: Profile) -> None:
    assert get(p1.port, "/invalid,needle").status == 400


# --- replication_lifecycle_test.go --------------------------------------------------------------


def test_replicated_upload_succeeds_immediately_after_allocate(p8: Profile) -> None:
    fid = p8.fid(p8.volume("001", on=p8.servers))
    assert upload(p8.port, fid).status == 201
    reply = get(p8.servers[1].port, f"/{fid}")
    assert (reply.status, reply.body) == (200, b"payload")


# --- throttling_test.go -------------------------------------------------------------------------


@contextmanager
def stalled_upload(port: int, target: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(HOST, port, timeout=CALL_SECONDS_MAX)
    connection.putrequest("POST", f"/{target}")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", str(2 * MIB))
    connection.endheaders(b"x")
    time.sleep(0.2)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def unread_download(port: int, target: str) -> Iterator[Callable[[], None]]:
    connection = http.client.HTTPConnection(HOST, port, timeout=CALL_SECONDS_MAX)
    connection.request("GET", f"/{target}")
    reply = connection.getresponse()
    assert reply.status == 200

    def close() -> None:
        reply.close()
        connection.close()

    try:
        yield close
    finally:
        close()


@dataclass
class Later:
    """A call in a thread."""

    call: Callable[[], Any]
    result: Any = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.result = self.call()

    def join(self) -> Any:
        self._thread.join(CALL_SECONDS_MAX)
        assert not self._thread.is_alive()
        return self.result


def test_upload_limit_timeout_and_replicate_bypass(p8: Profile) -> None:
    volume_id = p8.volume()
    with stalled_upload(p8.port, p8.fid(volume_id)):
        assert upload(p8.port, f"{p8.fid(volume_id)}?type=replicate").status == 201
        assert upload(p8.port, p8.fid(volume_id)).status == 429


def test_upload_limit_wait_then_proceed(p8: Profile) -> None:
    volume_id = p8.volume()
    with stalled_upload(p8.port, p8.fid(volume_id)) as first:
        second = Later(lambda: upload(p8.port, p8.fid(volume_id)))
        time.sleep(0.3)
        assert second.result is None
        first.close()
        assert second.join().status == 201


def test_upload_limit_timeout_then_recovery(p8: Profile) -> None:
    volume_id = p8.volume()
    with stalled_upload(p8.port, p8.fid(volume_id)):
        assert upload(p8.port, p8.fid(volume_id)).status == 429
    time.sleep(0.2)
    assert upload(p8.port, p8.fid(volume_id)).status == 201


@pytest.fixture(scope="module")
def large(p8: Profile) -> str:
    fid = p8.fid()
    assert upload(p8.port, f"{fid}?type=replicate", bytes(LARGE)).status == 201
    return fid


def test_download_limit_timeout_returns_too_many_requests(p8: Profile, large: str) -> None:
    with unread_download(p8.port, large):
        assert get(p8.port, f"/{large}").status == 429


def test_download_limit_wait_then_proceed_without_replica(p8: Profile, large: str) -> None:
    with unread_download(p8.port, large) as close:
        second = Later(lambda: get(p8.port, f"/{large}"))
        time.sleep(0.3)
        assert second.result is None
        close()
        assert len(second.join().body) == LARGE


def test_download_limit_timeout_then_recovery(p8: Profile, large: str) -> None:
    with unread_download(p8.port, large) as close:
        assert get(p8.port, f"/{large}").status == 429
        close()
        time.sleep(0.2)
        assert len(get(p8.port, f"/{large}").body) == LARGE


@pytest.fixture(scope="module")
def large_copies(p8: Profile) -> str:
    fid = p8.fid(p8.volume("001", on=p8.servers))
    assert upload(p8.port, fid, bytes(LARGE)).status == 201
    return fid


def test_download_limit_overage_proxies_to_replica(p8: Profile, large_copies: str) -> None:
    with unread_download(p8.port, large_copies):
        reply = get(p8.port, f"/{large_copies}")
        assert (reply.status, len(reply.body)) == (200, LARGE)


def test_download_limit_proxied_request_skips_replica_fallback_and_times_out(
    p8: Profile, large_copies: str
) -> None:
    with unread_download(p8.port, large_copies):
        assert get(p8.port, f"/{large_copies}?proxied=true").status == 429


def test_upload_limit_disabled_allows_concurrent_uploads(p1: Profile) -> None:
    volume_id = p1.volume()
    with stalled_upload(p1.port, p1.fid(volume_id)):
        assert upload(p1.port, p1.fid(volume_id)).status == 201


def test_download_limit_disabled_allows_concurrent_downloads(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid, bytes(LARGE)).status == 201
    with unread_download(p1.port, fid):
        assert len(get(p1.port, f"/{fid}").body) == LARGE


def test_download_limit_invalid_vid_while_over_limit_returns_bad_request(
    p8: Profile, large: str
) -> None:
    with unread_download(p8.port, large):
        assert get(p8.port, "/not-a-vid,1234567890ab").status == 400


# --- write_delete_variants_test.go, write_error_variants_test.go --------------------------------


def test_write_unchanged_and_delete_edge_variants(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, fid).status == 201
    again = upload(p1.port, fid)
    assert again.status == 204 and again.headers["etag"]
    assert delete(p1.port, fid[:-1] + "5").status == 400
    missing = delete(p1.port, p1.fid())
    assert (missing.status, missing.json()) == (404, {"size": 0})


def test_delete_timestamp_override_keeps_read_deleted_last_modified_parity(p1: Profile) -> None:
    fid = p1.fid()
    assert upload(p1.port, f"{fid}?ts=1600000000").status == 201
    before = get(p1.port, f"/{fid}").headers["last-modified"]
    assert delete(p1.port, f"{fid}?ts=1700000000").status == 202
    reply = get(p1.port, f"/{fid}?readDeleted=true")
    assert (reply.status, reply.headers["last-modified"]) == (200, before)


def test_write_invalid_vid_and_fid_return_bad_request(p1: Profile) -> None:
    assert upload(p1.port, "invalid,12345678").status == 400
    assert upload(p1.port, f"{p1.volume()},bad").status == 400


def test_write_malformed_multipart_and_md5_mismatch(p1: Profile) -> None:
    reply = upload(p1.port, p1.fid(), Content_Type="multipart/form-data")
    assert reply.status == 400 and b"boundary" in reply.body
    wrong = base64.b64encode(bytes(16)).decode()
    reply = upload(p1.port, p1.fid(), Content_MD5=wrong)
    assert reply.status == 400 and b"Content-MD5" in reply.body
