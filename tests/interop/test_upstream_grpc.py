"""The meaning of each of SeaweedFS's own gRPC tests of a volume server (test/volume_server/grpc).

A test here has the name of theirs in our spelling; erasure coding and tiers are with their own tests;
PARITY.md names all the pairs.  Four of theirs contradict 4.48 itself; ours follow 4.48.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster import FASTVOL, Cluster, Server, started, volume_server, weed
from daemons import GRPC_OFFSET, START_SECONDS_MAX, wait_until
from http_calls import HOST, Reply, get, request

from fastvol.cluster.stub import Stub
from fastvol.formats.index_entry import decode_row
from fastvol.formats.needle import append_time_at
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

Code = grpc.StatusCode
VOLUMES = count(100)
COOKIE: Final = 0x11223344
ALLOW: Final = "-volume.allowUntrustedRemoteEndpoints"
ANY_REVISION: Final = 0xFFFFFFFF
ROW_BYTES: Final = 17


@dataclass
class Servers:
    """One server or several, each the subject or a peer."""

    cluster: Cluster
    servers: list[Server]

    @property
    def port(self) -> int:
        return self.servers[0].port

    @property
    def rpc(self) -> Stub:
        return self.rpc_of(0)

    def rpc_of(self, number: int) -> Stub:
        return self.cluster.rpc_of(self.servers[number].port)

    def address(self, number: int) -> str:
        port = self.servers[number].port
        return f"{HOST}:{port}.{port + GRPC_OFFSET}"

    def volume(self, *on: int, collection: str = "") -> int:
        """A new volume on the servers with these numbers."""
        volume_id = next(VOLUMES)
        for number in on or (0,):
            self.rpc_of(number).AllocateVolume(
                pb.AllocateVolumeRequest(
                    volume_id=volume_id, collection=collection, replication="000", version=3
                )
            )
        return volume_id

    def put(self, volume_id: int, key: int, data: bytes, query: str = "", on: int = 0) -> str:
        fid = f"{volume_id},{key:02x}{COOKIE:08x}"
        kind = {"Content-Type": "application/octet-stream"}
        reply = request(self.servers[on].port, "POST", f"/{fid}{query}", data, kind)
        assert reply.status == 201, reply.body
        return fid

    def get(self, fid: str, on: int = 0) -> Reply:
        return get(self.servers[on].port, f"/{fid}")

    def status(self, volume_id: int, on: int = 0) -> pb.VolumeStatusResponse:
        return self.rpc_of(on).VolumeStatus(pb.VolumeStatusRequest(volume_id=volume_id))

    def files(self, volume_id: int, on: int = 0) -> pb.ReadVolumeFileStatusResponse:
        return self.rpc_of(on).ReadVolumeFileStatus(
            pb.ReadVolumeFileStatusRequest(volume_id=volume_id)
        )

    def copied(self, volume_id: int, extension: str, on: int = 0, **fields: Any) -> bytes:
        return b"".join(m.file_content for m in self.copy_file(volume_id, extension, on, **fields))

    def copy_file(
        self, volume_id: int, extension: str, on: int = 0, **fields: Any
    ) -> list[pb.CopyFileResponse]:
        given = {"stop_offset": 1 << 30, "compaction_revision": ANY_REVISION} | fields
        asked = pb.CopyFileRequest(volume_id=volume_id, ext=extension, **given)
        return list(self.rpc_of(on).CopyFile(asked))

    def last_row(self, volume_id: int, on: int = 0) -> Any:
        return decode_row(self.copied(volume_id, ".idx", on)[-ROW_BYTES:], 5)

    @contextmanager
    def maintenance(self) -> Iterator[None]:
        self.set_maintenance(True)
        try:
            yield
        finally:
            self.set_maintenance(False)

    def set_maintenance(self, on: bool) -> None:
        state = self.rpc.GetState(pb.GetStateRequest()).state
        state.maintenance = on
        self.rpc.SetState(pb.SetStateRequest(state=state))


@contextmanager
def running(base: Path, *programs: Any) -> Iterator[Servers]:
    """The first server is fastvol; ``programs`` are those of the others."""
    cluster = Cluster.make(base, ALLOW)
    more = [
        volume_server(program, base, base / f"more-{number}", [cluster.master.port], ALLOW)
        for number, program in enumerate(programs, 1)
    ]
    with cluster.running(), started(*more):
        for server in more:
            server.ready()
            wait_until(lambda port=server.port: cluster.node(port), "joined", START_SECONDS_MAX)
        yield Servers(cluster, [cluster.volume, *more])


@pytest.fixture(name="one", scope="module")
def one_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("one")) as made:
        yield made


@pytest.fixture(name="two", scope="module", params=["fastvol", "weed"])
def two_fixture(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """fastvol and a peer of either kind."""
    base = tmp_path_factory.mktemp("two")
    with running(base, FASTVOL if request.param == "fastvol" else weed(base)) as made:
        yield made


@contextmanager
def refused(*words: str, code: Code | None = None) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    for word in words:
        assert word in str(caught.value.details())
    assert code is None or caught.value.code() == code


def needle_status(servers: Servers, volume_id: int, key: int) -> pb.VolumeNeedleStatusResponse:
    asked = pb.VolumeNeedleStatusRequest(volume_id=volume_id, needle_id=key)
    return servers.rpc.VolumeNeedleStatus(asked)


# --- admin_extra_test.go --------------------------------------------------------------------------


def test_volume_needle_status_for_uploaded_file(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    status = needle_status(one, volume_id, 1)
    assert (status.needle_id, status.cookie) == (1, COOKIE)
    assert status.size > 0


def test_volume_needle_status_includes_ttl_and_last_modified(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content", "?ttl=7d&ts=1700000000")
    status = needle_status(one, volume_id, 1)
    assert (status.ttl, status.last_modified) == ("1w", 1700000000)


def test_volume_needle_status_missing_volume_and_needle(one: Servers) -> None:
    with refused("volume not found"):
        needle_status(one, 9999, 1)
    with refused("not found", code=Code.NOT_FOUND):
        needle_status(one, one.volume(), 1)


def test_volume_configure_invalid_replication(one: Servers) -> None:
    asked = pb.VolumeConfigureRequest(volume_id=one.volume(), replication="bad-replication")
    assert "replication" in one.rpc.VolumeConfigure(asked).error


def test_volume_configure_success_and_missing_rollback_path(one: Servers) -> None:
    volume_id = one.volume()
    asked = pb.VolumeConfigureRequest(volume_id=volume_id, replication="000")
    assert one.rpc.VolumeConfigure(asked).error == ""
    one.put(volume_id, 1, b"still writable")
    missing = pb.VolumeConfigureRequest(volume_id=9999, replication="000")
    error = one.rpc.VolumeConfigure(missing).error
    assert "not found on disk" in error
    assert "failed to restore mount" in error


@pytest.mark.parametrize("times", [1, 2])
def test_volume_server_leave_affects_healthz_and_is_idempotent(tmp_path: Path, times: int) -> None:
    with running(tmp_path) as own:
        answer = own.rpc.Ping(
            pb.PingRequest(target=f"{HOST}:{own.cluster.master.port}", target_type="master")
        )
        assert answer.remote_time_ns != 0
        assert get(own.port, "/healthz").status == 200
        for _ in range(times):
            own.rpc.VolumeServerLeave(pb.VolumeServerLeaveRequest())
        wait_until(lambda: get(own.port, "/healthz").status == 503, "it is unhealthy", 5)


def test_ping_unknown_and_unreachable_target_paths(one: Servers) -> None:
    for target, kind in (
        ("127.0.0.1:12345", "unknown-type"),
        ("127.0.0.1:1", "master"),
        ("127.0.0.1:1", "filer"),
    ):
        with refused(code=Code.INVALID_ARGUMENT):
            one.rpc.Ping(pb.PingRequest(target=target, target_type=kind))
    empty = one.rpc.Ping(pb.PingRequest())
    assert empty.remote_time_ns == 0
    assert empty.stop_time_ns >= empty.start_time_ns


def test_ping_master_target_success(one: Servers) -> None:
    target = f"{HOST}:{one.cluster.master.port}"
    answer = one.rpc.Ping(pb.PingRequest(target=target, target_type="master"))
    assert answer.remote_time_ns != 0
    assert answer.stop_time_ns >= answer.start_time_ns


# --- admin_lifecycle_test.go, admin_readonly_collection_test.go -----------------------------------


def test_volume_admin_lifecycle_rpcs(one: Servers) -> None:
    volume_id = one.volume()
    assert one.status(volume_id).file_count == 0
    one.rpc.VolumeUnmount(pb.VolumeUnmountRequest(volume_id=volume_id))
    one.rpc.VolumeMount(pb.VolumeMountRequest(volume_id=volume_id))
    one.rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=volume_id, only_empty=True))
    with refused("not found volume"):
        one.status(volume_id)


def test_volume_delete_only_empty_variants(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    with refused("volume not empty", code=Code.FAILED_PRECONDITION):
        one.rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=volume_id, only_empty=True))
    one.rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=volume_id))
    with refused():
        one.status(volume_id)


def test_maintenance_mode_rejects_allocate_volume_and_allows_volume_delete(one: Servers) -> None:
    """The second is 4.48's way; the test upstream still expects a refusal."""
    volume_id = one.volume()
    with one.maintenance():
        with refused("maintenance mode"):
            one.rpc.AllocateVolume(pb.AllocateVolumeRequest(volume_id=next(VOLUMES)))
        one.rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=volume_id, only_empty=True))


def test_allocate_duplicate_and_mount_unmount_missing_variants(one: Servers) -> None:
    one.rpc.VolumeUnmount(pb.VolumeUnmountRequest(volume_id=9999))
    with refused("not found on disk"):
        one.rpc.VolumeMount(pb.VolumeMountRequest(volume_id=9999))
    volume_id = one.volume()
    with refused("already exists"):
        one.rpc.AllocateVolume(pb.AllocateVolumeRequest(volume_id=volume_id))
    for _ in range(2):
        one.rpc.VolumeUnmount(pb.VolumeUnmountRequest(volume_id=volume_id))
    one.rpc.VolumeMount(pb.VolumeMountRequest(volume_id=volume_id))


@pytest.mark.parametrize("persist", [False, True])
def test_volume_mark_readonly_and_writable_lifecycle(one: Servers, persist: bool) -> None:
    volume_id = one.volume()
    one.rpc.VolumeMarkReadonly(pb.VolumeMarkReadonlyRequest(volume_id=volume_id, persist=persist))
    assert one.status(volume_id).is_read_only
    one.rpc.VolumeMarkWritable(pb.VolumeMarkWritableRequest(volume_id=volume_id))
    assert not one.status(volume_id).is_read_only


def test_volume_mark_readonly_writable_error_paths(one: Servers) -> None:
    """In maintenance mode 4.48 marks read-only; the test upstream still expects a refusal."""
    read_only = one.rpc.VolumeMarkReadonly
    writable = one.rpc.VolumeMarkWritable
    with refused("not found"):
        read_only(pb.VolumeMarkReadonlyRequest(volume_id=9999))
    with refused("not found"):
        writable(pb.VolumeMarkWritableRequest(volume_id=9999))
    volume_id = one.volume()
    with one.maintenance():
        read_only(pb.VolumeMarkReadonlyRequest(volume_id=volume_id))
        with refused("maintenance mode"):
            writable(pb.VolumeMarkWritableRequest(volume_id=volume_id))
        with refused("not found"):
            writable(pb.VolumeMarkWritableRequest(volume_id=9999))


def test_delete_collection_removes_volume_and_is_idempotent(one: Servers) -> None:
    volume_id = one.volume(collection="going")
    for _ in range(2):
        one.rpc.DeleteCollection(pb.DeleteCollectionRequest(collection="going"))
    with refused("not found volume"):
        one.status(volume_id)


# --- batch_delete_test.go -------------------------------------------------------------------------


def statuses(servers: Servers, *fids: str, skip: bool = False) -> list[int]:
    asked = pb.BatchDeleteRequest(file_ids=fids, skip_cookie_check=skip)
    return [result.status for result in servers.rpc.BatchDelete(asked).results]


def test_batch_delete_invalid_fid_and_maintenance_mode(one: Servers) -> None:
    assert statuses(one, "bad-fid") == [400]
    with one.maintenance(), refused("maintenance mode"):
        statuses(one, "1,0111223344")


def test_batch_delete_cookie_mismatch_and_skip_check(one: Servers) -> None:
    volume_id = one.volume()
    fid = one.put(volume_id, 1, b"content")
    wrong = f"{volume_id},0155667788"
    assert statuses(one, wrong) == [400]
    assert statuses(one, wrong, skip=True) == [202]
    assert one.get(fid).status == 404


def test_batch_delete_mixed_statuses_and_mismatch_continues_processing(one: Servers) -> None:
    volume_id = one.volume()
    first, second, third = (one.put(volume_id, key, b"content") for key in (1, 2, 3))
    assert statuses(one, "bad", first, f"{volume_id},0911223344") == [400, 202, 404]
    assert one.get(first).status == 404
    assert statuses(one, f"{volume_id},0255667788", third) == [400, 202]
    assert one.get(second).status == 200
    assert one.get(third).status == 404


def test_batch_delete_rejects_chunk_manifest_needles(one: Servers) -> None:
    fid = one.put(one.volume(), 1, b'{"name":"x","chunks":[]}', "?cm=true")
    (result,) = one.rpc.BatchDelete(pb.BatchDeleteRequest(file_ids=[fid])).results
    assert result.status == 406
    assert "ChunkManifest" in result.error
    assert one.get(fid + "?cm=false").status == 200


# --- copy_receive_variants_test.go, copy_sync_test.go ---------------------------------------------


def test_volume_incremental_copy_data_and_no_data_paths(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    copy = one.rpc.VolumeIncrementalCopy
    got = list(copy(pb.VolumeIncrementalCopyRequest(volume_id=volume_id)))
    assert sum(len(message.file_content) for message in got) > 0
    late = pb.VolumeIncrementalCopyRequest(volume_id=volume_id, since_ns=2**64 - 1)
    assert list(copy(late)) == []


def test_copy_file_ignore_not_found_and_stop_offset_zero_paths(one: Servers) -> None:
    volume_id = one.volume()
    with refused():
        one.copy_file(volume_id, ".missing", stop_offset=1)
    ignored = one.copy_file(volume_id, ".missing", stop_offset=1, ignore_source_file_not_found=True)
    assert ignored == []
    assert one.copy_file(volume_id, ".missing", stop_offset=0) == []


def test_copy_file_stop_offset_zero_existing_file_sends_metadata(one: Servers) -> None:
    (message,) = one.copy_file(one.volume(), ".dat", stop_offset=0)
    assert message.file_content == b""
    assert message.modified_ts_ns != 0


def test_copy_file_compaction_revision_mismatch(one: Servers) -> None:
    with refused("is compacted"):
        one.copy_file(one.volume(), ".dat", compaction_revision=1)


def test_receive_file_protocol_violation_responses(one: Servers) -> None:
    content_first = iter([pb.ReceiveFileRequest(file_content=b"x")])
    assert "file info must be sent first" in one.rpc.ReceiveFile(content_first).error
    assert "unknown message type" in one.rpc.ReceiveFile(iter([pb.ReceiveFileRequest()])).error


@pytest.mark.parametrize("is_ec", [False, True])
def test_receive_file_success(one: Servers, is_ec: bool) -> None:
    volume_id = next(VOLUMES) if is_ec else one.volume()
    extension, collection = (".ec00", "ec-test") if is_ec else (".tmprecv", "")
    info = pb.ReceiveFileInfo(
        volume_id=volume_id, ext=extension, collection=collection, is_ec_volume=is_ec
    )
    pieces = [b"first piece", b" and the second"]
    answer = one.rpc.ReceiveFile(
        iter(
            [
                pb.ReceiveFileRequest(info=info),
                *(pb.ReceiveFileRequest(file_content=piece) for piece in pieces),
            ]
        )
    )
    assert answer.error == ""
    assert answer.bytes_written == sum(map(len, pieces))
    read = one.copied(volume_id, extension, is_ec_volume=is_ec, collection=collection)
    assert read == b"".join(pieces)


def test_copy_file_ec_volume_ignore_missing_source_paths(one: Servers) -> None:
    with refused("not found ec volume id"):
        one.copy_file(9999, ".ec00", is_ec_volume=True)
    ignored = one.copy_file(9999, ".ec00", is_ec_volume=True, ignore_source_file_not_found=True)
    assert ignored == []


def test_volume_sync_status_and_read_volume_file_status(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    sync = one.rpc.VolumeSyncStatus(pb.VolumeSyncStatusRequest(volume_id=volume_id))
    files = one.files(volume_id)
    assert sync.volume_id == files.volume_id == volume_id
    assert sync.version != 0 != files.version
    assert sync.tail_offset == files.dat_file_size != 0


def test_copy_and_stream_methods_missing_volume_paths(one: Servers) -> None:
    with refused():
        one.rpc.VolumeSyncStatus(pb.VolumeSyncStatusRequest(volume_id=9999))
    with refused("not found volume"):
        list(one.rpc.VolumeIncrementalCopy(pb.VolumeIncrementalCopyRequest(volume_id=9999)))
    with refused("not found volume"):
        list(one.rpc.ReadAllNeedles(pb.ReadAllNeedlesRequest(volume_ids=[9999])))
    with refused("not found volume"):
        one.copy_file(9999, ".dat")
    with refused("not found volume"):
        one.files(9999)


def test_volume_copy_and_receive_file_maintenance_rejection(one: Servers) -> None:
    with one.maintenance():
        with refused("maintenance mode"):
            asked = pb.VolumeCopyRequest(volume_id=1, source_data_node="127.0.0.1:1234")
            list(one.rpc.VolumeCopy(asked))
        with refused("maintenance mode"):
            one.rpc.ReceiveFile(iter([pb.ReceiveFileRequest(info=pb.ReceiveFileInfo())]))


def copy_volume(servers: Servers, volume_id: int, source: int, target: int) -> int:
    """Append time of the last record, as the copy tells it."""
    asked = pb.VolumeCopyRequest(volume_id=volume_id, source_data_node=servers.address(source))
    return list(servers.rpc_of(target).VolumeCopy(asked))[-1].last_append_at_ns


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
def test_volume_copy_success_from_peer_and_mounts_destination(
    two: Servers, source: int, target: int
) -> None:
    volume_id = two.volume(source)
    fid = two.put(volume_id, 1, b"content", on=source)
    assert copy_volume(two, volume_id, source, target) > 0
    assert two.get(fid, target).body == b"content"


def test_volume_copy_overwrites_existing_destination_volume(two: Servers) -> None:
    volume_id = two.volume(0, 1)
    fid = two.put(volume_id, 1, b"old, and longer", on=0)
    two.put(volume_id, 1, b"new", on=1)
    copy_volume(two, volume_id, 1, 0)
    assert two.get(fid, 0).body == b"new"


# --- data_rw_test.go, data_stream_success_test.go -------------------------------------------------


def read_blob(servers: Servers, volume_id: int, offset: int, size: int) -> bytes:
    asked = pb.ReadNeedleBlobRequest(volume_id=volume_id, offset=offset, size=size)
    return servers.rpc.ReadNeedleBlob(asked).needle_blob


def read_meta(
    servers: Servers, volume_id: int, offset: int, size: int
) -> pb.ReadNeedleMetaResponse:
    asked = pb.ReadNeedleMetaRequest(volume_id=volume_id, needle_id=1, offset=offset, size=size)
    return servers.rpc.ReadNeedleMeta(asked)


def test_read_needle_blob_and_meta_missing_volume(one: Servers) -> None:
    with refused("not found volume"):
        read_blob(one, 9999, 8, 1)
    with refused("not found volume"):
        read_meta(one, 9999, 8, 1)


def test_write_needle_blob_maintenance_and_missing_volume(one: Servers) -> None:
    with refused("not found volume"):
        one.rpc.WriteNeedleBlob(pb.WriteNeedleBlobRequest(volume_id=9999))
    with one.maintenance(), refused("maintenance mode"):
        one.rpc.WriteNeedleBlob(pb.WriteNeedleBlobRequest(volume_id=9999))


def test_read_needle_blob_and_meta_invalid_offsets(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    with refused("read needle blob"):
        read_blob(one, volume_id, 1 << 40, 7)
    with refused():
        read_meta(one, volume_id, 1 << 40, 7)


def test_read_write_needle_blob_and_meta_round_trip(one: Servers) -> None:
    """Upstream leaves the source's id in a record that is stored under another one, and tells it;
    here it gets the id under which it is stored, which is what scrubs and reads check."""
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    row = one.last_row(volume_id)
    blob = read_blob(one, volume_id, row.offset * 8, row.size)
    meta = read_meta(one, volume_id, row.offset * 8, row.size)
    assert blob
    assert meta.cookie == COOKIE
    assert meta.crc != 0
    one.rpc.WriteNeedleBlob(
        pb.WriteNeedleBlobRequest(volume_id=volume_id, needle_id=2, size=row.size, needle_blob=blob)
    )
    clone = needle_status(one, volume_id, 2)
    assert (clone.needle_id, clone.cookie) == (2, COOKIE)
    assert one.get(f"{volume_id},02{COOKIE:08x}").body == b"content"


def read_all(servers: Servers, *volume_ids: int) -> list[pb.ReadAllNeedlesResponse]:
    return list(servers.rpc.ReadAllNeedles(pb.ReadAllNeedlesRequest(volume_ids=volume_ids)))


def test_read_all_needles_streams_uploaded_records(one: Servers) -> None:
    volume_id = one.volume()
    for key in (1, 2):
        one.put(volume_id, key, b"content %d" % key)
    got = {message.needle_id: message.needle_blob for message in read_all(one, volume_id)}
    assert got == {1: b"content 1", 2: b"content 2"}


def test_read_all_needles_existing_then_missing_volume_aborts_stream(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, b"content")
    stream = one.rpc.ReadAllNeedles(pb.ReadAllNeedlesRequest(volume_ids=[volume_id, 9999]))
    assert next(stream).needle_blob == b"content"
    with refused("not found volume id"):
        next(stream)


def test_read_all_needles_preserves_dat_order_across_overwrite(one: Servers) -> None:
    volume_id = one.volume()
    for key, data in ((1, b"A"), (2, b"B"), (1, b"A again")):
        one.put(volume_id, key, data)
    assert [m.needle_blob for m in read_all(one, volume_id)] == [b"B", b"A again"]


def test_read_needle_meta_deleted_entry_uses_tombstone_metadata(one: Servers) -> None:
    volume_id = one.volume()
    fid = one.put(volume_id, 1, b"content")
    assert request(one.port, "DELETE", f"/{fid}").status == 202
    row = one.last_row(volume_id)
    assert row.size < 0
    meta = read_meta(one, volume_id, row.offset * 8, row.size)
    assert meta.cookie == COOKIE
    assert meta.append_at_ns != 0


# --- health_state_test.go -------------------------------------------------------------------------


def test_state_and_status_rpcs(one: Servers) -> None:
    assert one.rpc.GetState(pb.GetStateRequest()).HasField("state")
    with one.maintenance():
        assert one.rpc.GetState(pb.GetStateRequest()).state.maintenance
    assert not one.rpc.GetState(pb.GetStateRequest()).state.maintenance
    status = one.rpc.VolumeServerStatus(pb.VolumeServerStatusRequest())
    assert status.version
    assert status.disk_statuses
    assert status.HasField("state")
    assert status.memory_status.goroutines > 0
    pong = one.rpc.Ping(pb.PingRequest())
    assert pong.stop_time_ns >= pong.start_time_ns > 0


def test_set_state_version_mismatch_and_nil_state_noop(one: Servers) -> None:
    state = one.rpc.GetState(pb.GetStateRequest()).state
    wrong = pb.VolumeServerState(maintenance=True, version=state.version + 1)
    with refused("version mismatch"):
        one.rpc.SetState(pb.SetStateRequest(state=wrong))
    assert one.rpc.SetState(pb.SetStateRequest()).state == state
    assert one.rpc.GetState(pb.GetStateRequest()).state == state


# --- mixed_balance_test.go, move_tail_timestamp_test.go -------------------------------------------


def same_files(servers: Servers, volume_id: int, one: int, other: int) -> bool:
    first, second = servers.files(volume_id, one), servers.files(volume_id, other)
    return (first.dat_file_size, first.idx_file_size) == (
        second.dat_file_size,
        second.idx_file_size,
    )


def tail(
    servers: Servers, volume_id: int, since_ns: int, source: int, target: int, idle: int
) -> None:
    servers.rpc_of(target).VolumeTailReceiver(
        pb.VolumeTailReceiverRequest(
            volume_id=volume_id,
            since_ns=since_ns,
            idle_timeout_seconds=idle,
            source_volume_server=servers.address(source),
        )
    )


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
def test_mixed_balance_copy(two: Servers, source: int, target: int) -> None:
    volume_id = two.volume(source)
    fids = {two.put(volume_id, key, os.urandom(900), on=source): key for key in range(1, 6)}
    copy_volume(two, volume_id, source, target)
    assert same_files(two, volume_id, source, target)
    assert two.files(volume_id, source).file_count == two.files(volume_id, target).file_count
    for fid in fids:
        assert two.get(fid, target).body == two.get(fid, source).body


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
def test_mixed_balance_copy_with_deletes(two: Servers, source: int, target: int) -> None:
    volume_id = two.volume(source)
    fids = [two.put(volume_id, key, b"content %d" % key, on=source) for key in range(1, 6)]
    for fid in fids[1:3]:
        assert request(two.servers[source].port, "DELETE", f"/{fid}").status == 202
    since = copy_volume(two, volume_id, source, target)
    assert since != 0
    assert same_files(two, volume_id, source, target)
    tail(two, volume_id, since, source, target, 1)
    assert same_files(two, volume_id, source, target)
    found = [two.get(fid, target).status for fid in fids]
    assert found == [200, 404, 404, 200, 200]


def test_mixed_balance_full_move(two: Servers) -> None:
    """From a peer of either kind to fastvol: a needle that goes meanwhile is gone there, too."""
    volume_id = two.volume(1)
    fids = [two.put(volume_id, key, b"content %d" % key, on=1) for key in range(1, 6)]
    since = copy_volume(two, volume_id, 1, 0)
    assert request(two.servers[1].port, "DELETE", f"/{fids[2]}").status == 202
    two.rpc_of(1).VolumeMarkReadonly(pb.VolumeMarkReadonlyRequest(volume_id=volume_id))
    tail(two, volume_id, since, 1, 0, 1)
    assert same_files(two, volume_id, 1, 0)
    two.rpc_of(1).VolumeDelete(pb.VolumeDeleteRequest(volume_id=volume_id))
    assert [two.get(fid).status for fid in fids] == [200, 200, 404, 200, 200]


@pytest.mark.parametrize("source", [0, 1])
def test_volume_copy_returns_precise_last_append_timestamp(two: Servers, source: int) -> None:
    volume_id = two.volume(source)
    two.put(volume_id, 1, b"content", on=source)
    directory = two.cluster.directory if source == 0 else two.cluster.base / "more-1"
    ahead = time.time() + 7200
    os.utime(directory / f"{volume_id}.dat", (ahead, ahead))
    row = two.last_row(volume_id, source)
    at = row.offset * 8 + append_time_at(row.size)
    stored = two.copied(volume_id, ".dat", source)[at : at + 8]
    assert copy_volume(two, volume_id, source, 1 - source) == int.from_bytes(stored)


def test_volume_move_handles_in_flight_writes(two: Servers) -> None:
    volume_id = two.volume(1)
    two.put(volume_id, 1, b"first", on=1)
    since = copy_volume(two, volume_id, 1, 0)
    fids: list[str] = []

    def write() -> None:
        for key in range(2, 10):
            fids.append(two.put(volume_id, key, b"content %d" % key, on=1))
            time.sleep(0.25)

    writer = threading.Thread(target=write)
    writer.start()
    tail(two, volume_id, since, 1, 0, 2)
    writer.join()
    assert [two.get(fid).body for fid in fids[-3:]] == [b"content 7", b"content 8", b"content 9"]


# --- production_features_test.go, scrub_integration_test.go, scrub_query_test.go -------------------


def scrub(servers: Servers, *volume_ids: int, **fields: Any) -> pb.ScrubVolumeResponse:
    given = {"mode": pb.FULL} | fields
    return servers.rpc.ScrubVolume(pb.ScrubVolumeRequest(volume_ids=volume_ids, **given))


def scrubbed_volume(servers: Servers) -> int:
    volume_id = servers.volume()
    for key in (1, 2, 3):
        servers.put(volume_id, key, b"content %d" % key)
    return volume_id


def spoil_index(servers: Servers, volume_id: int) -> None:
    with (servers.cluster.directory / f"{volume_id}.idx").open("ab") as file:
        file.write(b"\xde\xad")


def test_scrub_volume_full_healthy(one: Servers) -> None:
    found = scrub(one, scrubbed_volume(one))
    assert (found.total_volumes, found.total_files) == (1, 3)
    assert not found.broken_volume_ids


def test_volume_server_status_returns_real_disk_stats(one: Servers) -> None:
    status = one.rpc.VolumeServerStatus(pb.VolumeServerStatusRequest())
    assert any(disk.dir and disk.all > 0 and disk.free > 0 for disk in status.disk_statuses)


def test_batch_delete_multiple_needles(one: Servers) -> None:
    volume_id = one.volume()
    fids = [one.put(volume_id, key, b"content") for key in (1, 2, 3)]
    results = one.rpc.BatchDelete(pb.BatchDeleteRequest(file_ids=fids)).results
    assert [result.status for result in results] == [202] * 3
    assert all(result.size > 0 for result in results)
    assert [one.get(fid).status for fid in fids] == [404] * 3


def test_scrub_volume_full_corrupt_data(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        volume_id = scrubbed_volume(own)
        os.truncate(own.cluster.directory / f"{volume_id}.dat", 8)
        found = scrub(own, volume_id)
        assert list(found.broken_volume_ids) == [volume_id]
        assert found.details


def test_scrub_volume_mixed_healthy_and_auto_selected(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        good, bad = scrubbed_volume(own), scrubbed_volume(own)
        for mode in (pb.INDEX, pb.LOCAL, pb.FULL):
            found = scrub(own, mode=mode)
            assert found.total_volumes == 2
            assert not found.broken_volume_ids
        spoil_index(own, bad)
        found = scrub(own, good, bad, mode=pb.INDEX)
        assert found.total_volumes == 2
        assert list(found.broken_volume_ids) == [bad]


def test_scrub_volume_missing_volume_returns_error(one: Servers) -> None:
    with refused("not found"):
        scrub(one, 9999)


def test_scrub_volume_index_and_unsupported_mode(one: Servers) -> None:
    assert scrub(one, one.volume(), mode=pb.INDEX).total_volumes == 1
    with refused("unsupported volume scrub mode"):
        scrub(one, one.volume(), mode=99)


def test_scrub_volume_mark_broken_readonly(tmp_path: Path) -> None:
    """Healthy volumes stay writable; broken ones are marked when that is asked for, in maintenance
    mode too (4.48's way)."""
    with running(tmp_path) as own:
        good, bad, last = (scrubbed_volume(own) for _ in range(3))
        assert not scrub(own, good, mark_broken_volumes_readonly=True).broken_volume_ids
        assert not own.status(good).is_read_only
        spoil_index(own, bad)
        assert list(scrub(own, bad).broken_volume_ids) == [bad]
        assert not own.status(bad).is_read_only
        found = scrub(own, bad, mark_broken_volumes_readonly=True)
        assert any("is now read-only" in detail for detail in found.details)
        assert own.status(bad).is_read_only
        spoil_index(own, last)
        with own.maintenance():
            scrub(own, last, mark_broken_volumes_readonly=True)
        assert own.status(last).is_read_only


# --- tail_test.go ---------------------------------------------------------------------------------


def sent(servers: Servers, volume_id: int, **fields: Any) -> list[pb.VolumeTailSenderResponse]:
    given = {"idle_timeout_seconds": 1} | fields
    asked = pb.VolumeTailSenderRequest(volume_id=volume_id, **given)
    return list(servers.rpc.VolumeTailSender(asked))


def test_volume_tail_sender_missing_volume(one: Servers) -> None:
    with refused("not found volume"):
        sent(one, 9999)


def test_volume_tail_sender_heartbeat_then_eof(one: Servers) -> None:
    began = time.monotonic()
    got = sent(one, one.volume())
    assert got[0].is_last_chunk
    assert time.monotonic() - began < 10


def test_volume_tail_receiver_missing_volume(one: Servers) -> None:
    with refused("receiver not found volume"):
        tail(one, 9999, 0, 0, 0, 1)


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
def test_volume_tail_receiver_replicates_source_updates(
    two: Servers, source: int, target: int
) -> None:
    volume_id = two.volume(0, 1)
    fid = two.put(volume_id, 1, b"content", on=source)
    tail(two, volume_id, 0, source, target, 1)
    assert two.get(fid, target).body == b"content"


def test_volume_tail_sender_large_needle_chunking(one: Servers) -> None:
    volume_id = one.volume()
    one.put(volume_id, 1, os.urandom((2 << 20) + (128 << 10)))
    chunks = [message for message in sent(one, volume_id) if message.needle_header]
    assert len(chunks) >= 2
    assert not chunks[0].is_last_chunk
    assert chunks[-1].is_last_chunk


# --- vacuum_test.go -------------------------------------------------------------------------------


def test_vacuum_volume_check_success_and_missing_volume(one: Servers) -> None:
    check = one.rpc.VacuumVolumeCheck
    found = check(pb.VacuumVolumeCheckRequest(volume_id=one.volume()))
    assert 0 <= found.garbage_ratio <= 1
    with refused():
        check(pb.VacuumVolumeCheckRequest(volume_id=9999))


def test_vacuum_maintenance_mode_rejections(one: Servers) -> None:
    with one.maintenance():
        with refused("maintenance mode"):
            list(one.rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=9999)))
        with refused("maintenance mode"):
            one.rpc.VacuumVolumeCommit(pb.VacuumVolumeCommitRequest(volume_id=9999))
        with refused("maintenance mode"):
            one.rpc.VacuumVolumeCleanup(pb.VacuumVolumeCleanupRequest(volume_id=9999))


# --- queries ------------------------------------------------------------------------------------

JSON_INPUT: Final = pb.QueryRequest.InputSerialization(
    json_input=pb.QueryRequest.InputSerialization.JSONInput()
)


def query(servers: Servers, fid: str, given: Any = JSON_INPUT, above: str = "10") -> list[bytes]:
    """The stripes of records whose score is above a number."""
    asked = pb.QueryRequest(
        selections=["score"],
        from_file_ids=[fid],
        filter=pb.QueryRequest.Filter(field="score", operand=">", value=above),
        input_serialization=given,
    )
    return [stripe.records for stripe in servers.rpc.Query(asked)]


def scores(servers: Servers) -> str:
    lines = b'{"score":3}\n{"score":12}\n{"score":18}\n'
    return servers.put(servers.volume(), 1, lines)


def test_query_invalid_and_missing_file_id_paths(one: Servers) -> None:
    for fid in ("bad-fid", "98765,01637037d6"):
        with refused():
            query(one, fid)


def test_query_json_success_and_csv_no_output(one: Servers) -> None:
    fid = scores(one)
    assert query(one, fid) == [b"{score:12}{score:18}"]
    csv = pb.QueryRequest.InputSerialization.CSVInput()
    assert query(one, fid, pb.QueryRequest.InputSerialization(csv_input=csv)) == []


def test_query_json_no_match_returns_empty_stripe(one: Servers) -> None:
    assert query(one, scores(one), above="100") == [b""]


def test_query_cookie_mismatch_returns_eof_no_results(one: Servers) -> None:
    fid = scores(one)
    assert query(one, fid[:-8] + f"{COOKIE ^ 1:08x}") == []
