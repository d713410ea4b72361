"""SeaweedFS's own tests of remote storage, test/volume_server/grpc/tiering_remote_test.go and
fetch_remote_s3_test.go, with the same meaning; and copies of what was fetched on other servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cluster import FASTVOL, Cluster, allocate, joined, started, volume_rpc, volume_server, weed
from daemons import wait_until
from http_calls import CALL_SECONDS_MAX, HOST, get
from object_store import BUCKET, KEY, SECRET, ObjectStore, object_store

from fastvol.pb import remote_pb2
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

DATA = bytes(range(256)) * 4


@pytest.fixture(name="store", scope="module")
def store_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("objects")) as found:
        found.put("object.txt", DATA)
        yield found


@pytest.fixture(name="cluster", scope="module")
def cluster_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    base = tmp_path_factory.mktemp("cluster")
    with Cluster.make(base, "-volume.allowUntrustedRemoteEndpoints").running() as made:
        allocate(made.rpc, 1)
        allocate(made.rpc, 2, "c")
        yield made


def fetch(cluster: Cluster, store: ObjectStore | None, **fields: Any) -> str:
    """The e_tag."""
    request = pb.FetchAndWriteNeedleRequest(
        **{"volume_id": 1, "needle_id": 5, "cookie": 6, "size": len(DATA), **fields}
    )
    if store is not None:
        request.remote_conf.CopyFrom(
            remote_pb2.RemoteConf(
                type="s3",
                name="t",
                s3_access_key=KEY,
                s3_secret_key=SECRET,
                s3_region="us-east-1",
                s3_endpoint=store.endpoint,
                s3_force_path_style=True,
            )
        )
        if not request.HasField("remote_location"):
            request.remote_location.CopyFrom(location("/object.txt"))
    answer = cluster.rpc.FetchAndWriteNeedle(request, timeout=CALL_SECONDS_MAX)
    return str(answer.e_tag)


def location(path: str) -> remote_pb2.RemoteStorageLocation:
    return remote_pb2.RemoteStorageLocation(name="t", bucket=BUCKET, path=path)


def set_maintenance(cluster: Cluster, on: bool) -> None:
    state = cluster.rpc.GetState(pb.GetStateRequest(), timeout=CALL_SECONDS_MAX).state
    state.maintenance = on
    cluster.rpc.SetState(pb.SetStateRequest(state=state), timeout=CALL_SECONDS_MAX)


@pytest.fixture(name="maintenance")
def maintenance_fixture(cluster: Cluster) -> Iterator[None]:
    set_maintenance(cluster, True)
    yield
    set_maintenance(cluster, False)


# --- fetch_remote_s3_test.go --------------------------------------------------------------------


def test_fetch_and_write_needle_from_s3(cluster: Cluster, store: ObjectStore) -> None:
    assert fetch(cluster, store) == "2cdf6e8f"
    assert get(cluster.volume.port, "/1,0500000006").body == DATA


def test_fetch_and_write_needle_from_s3_with_partial_read(
    cluster: Cluster, store: ObjectStore
) -> None:
    assert fetch(cluster, store, needle_id=7, offset=100, size=100)
    assert get(cluster.volume.port, "/1,0700000006").body == DATA[100:200]


def test_fetch_and_write_needle_s3_not_found(cluster: Cluster, store: ObjectStore) -> None:
    with pytest.raises(grpc.RpcError, match="read from remote"):
        fetch(cluster, store, remote_location=location("/missing"))


# --- tiering_remote_test.go ---------------------------------------------------------------------


def test_fetch_and_write_needle_missing_volume(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError, match="not found volume id"):
        fetch(cluster, None, volume_id=98773)


@pytest.mark.usefixtures("maintenance")
def test_fetch_and_write_needle_maintenance(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError, match="maintenance mode"):
        fetch(cluster, None)


def test_fetch_and_write_needle_invalid_remote_config(cluster: Cluster) -> None:
    conf = remote_pb2.RemoteConf(name="t", type="does-not-exist")
    with pytest.raises(grpc.RpcError, match="get remote client"):
        fetch(cluster, None, remote_conf=conf)


def test_fetch_without_any_configuration_is_an_error(cluster: Cluster) -> None:
    """It ends the real server."""
    with pytest.raises(grpc.RpcError, match="get remote client"):
        fetch(cluster, None)
    with pytest.raises(grpc.RpcError, match="is not supported by fastvol"):
        fetch(cluster, None, remote_conf=remote_pb2.RemoteConf(name="t", type="gcs"))


def test_sizes_that_end_the_real_server_are_errors(cluster: Cluster, store: ObjectStore) -> None:
    for fields in ({"size": -5}, {"remote_location": location("")}):
        with pytest.raises(grpc.RpcError, match="read from remote"):
            fetch(cluster, store, **fields)


def up(cluster: Cluster, **fields: Any) -> None:
    request = pb.VolumeTierMoveDatToRemoteRequest(**fields)
    list(cluster.rpc.VolumeTierMoveDatToRemote(request, timeout=CALL_SECONDS_MAX))


def down(cluster: Cluster, **fields: Any) -> None:
    request = pb.VolumeTierMoveDatFromRemoteRequest(**fields)
    list(cluster.rpc.VolumeTierMoveDatFromRemote(request, timeout=CALL_SECONDS_MAX))


def test_volume_tier_move_dat_to_remote_error_paths(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError, match="not found"):
        up(cluster, volume_id=98773)
    with pytest.raises(grpc.RpcError, match="unexpected input"):
        up(cluster, volume_id=2, collection="wrong")


@pytest.mark.usefixtures("maintenance")
def test_volume_tier_move_dat_to_remote_in_maintenance(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError, match="maintenance mode"):
        up(cluster, volume_id=1)


def test_volume_tier_move_dat_to_remote_missing_backend(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError, match="destination definitely-missing-backend not found"):
        up(cluster, volume_id=1, destination_backend_name="definitely-missing-backend")


def test_volume_tier_move_dat_from_remote_error_paths(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError, match="not found"):
        down(cluster, volume_id=98773)
    with pytest.raises(grpc.RpcError, match="unexpected input"):
        down(cluster, volume_id=2, collection="wrong")
    with pytest.raises(grpc.RpcError, match="already on local disk"):
        down(cluster, volume_id=1)


# --- copies on other servers --------------------------------------------------------------------


def test_what_is_fetched_reaches_every_replica(
    cluster: Cluster, store: ObjectStore, tmp_path: Path
) -> None:
    """fastvol and the real server both take the copy; one that is not there fails the call."""
    others = [
        volume_server(program, tmp_path, tmp_path / name, [cluster.master.port])
        for program, name in ((FASTVOL, "ours"), (weed(tmp_path), "theirs"))
    ]
    with started(*others):
        replicas = []
        for other in others:
            other.ready()
            wait_until(lambda other=other: joined(cluster.master, other), "it has joined")
            with volume_rpc(other.port) as rpc:
                allocate(rpc, 1)
            replicas.append(
                pb.FetchAndWriteNeedleRequest.Replica(url=f"{HOST}:{other.port}", grpc_port=0)
            )
        assert fetch(cluster, store, needle_id=20, replicas=replicas) == "2cdf6e8f"
        for server in (cluster.volume, *others):
            found = get(server.port, "/1,1400000006")
            assert (found.status, found.body) == (200, DATA)
        gone = pb.FetchAndWriteNeedleRequest.Replica(url=f"{HOST}:1")
        with pytest.raises(grpc.RpcError, match="remote write needle 21 size 1024: upload"):
            fetch(cluster, store, needle_id=21, replicas=[gone, *replicas])
        for server in (cluster.volume, *others):
            assert get(server.port, "/1,1500000006").body == DATA


def test_a_guarded_server_connects_to_no_endpoint_of_this_machine(
    store: ObjectStore, tmp_path: Path
) -> None:
    with Cluster.make(tmp_path).running() as guarded:
        allocate(guarded.rpc, 1)
        with pytest.raises(grpc.RpcError, match=r"reject remote endpoint: .* loopback address"):
            fetch(guarded, store)
