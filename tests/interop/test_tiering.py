"""Volumes in an object store: moved there and back by both servers, and read through either."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cluster import (
    FASTVOL,
    Cluster,
    Server,
    allocate,
    joined,
    master_server,
    started,
    volume_rpc,
    volume_server,
    volume_status,
    weed,
)
from daemons import WAIT_SECONDS_MAX, run, wait_until
from http_calls import CALL_SECONDS_MAX, HOST, get, put, request
from object_store import ObjectStore, object_store

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

KIB, MIB = 1 << 10, 1 << 20
SIZES = (5, 1, 100, 10 * KIB, 700 * KIB, MIB - 100, 3 * MIB + 5)


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(size + seed).randbytes(size)


def fid_of(volume_id: int, number: int) -> str:
    return f"{volume_id},{number + 1:x}00000abc"


@dataclass
class Place:
    """A master that knows the object store, and a directory that servers take by turns."""

    base: Path
    master: Server
    store: ObjectStore
    directory: Path

    def server(self, program: Sequence[str], *extra: str) -> Server:
        return volume_server(program, self.base, self.directory, [self.master.port], *extra)

    def joined(self, server: Server) -> Server:
        server.ready()
        wait_until(lambda: joined(self.master, server), f"{server.name} is known")
        return server


@pytest.fixture(name="store", scope="module")
def store_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("objects")) as found:
        yield found


@pytest.fixture(autouse=True)
def _empty_bucket(store: ObjectStore) -> Iterator[None]:
    yield
    store.empty()


@pytest.fixture(name="place")
def place_fixture(tmp_path: Path, store: ObjectStore) -> Iterator[Place]:
    (tmp_path / "master.toml").write_text(
        store.master_toml() + store.master_toml(backend="s3.cold")
    )
    master = master_server(tmp_path)
    with started(master):
        master.ready("/cluster/status")
        yield Place(tmp_path, master, store, tmp_path / "data")


def to_remote(server: Server, volume_id: int, **fields: Any) -> list[Any]:
    wanted = {"destination_backend_name": "s3.default", **fields}
    message = pb.VolumeTierMoveDatToRemoteRequest(volume_id=volume_id, **wanted)
    with volume_rpc(server.port) as rpc:
        return list(rpc.VolumeTierMoveDatToRemote(message, timeout=CALL_SECONDS_MAX))


def from_remote(server: Server, volume_id: int, **fields: Any) -> list[Any]:
    message = pb.VolumeTierMoveDatFromRemoteRequest(volume_id=volume_id, **fields)
    with volume_rpc(server.port) as rpc:
        return list(rpc.VolumeTierMoveDatFromRemote(message, timeout=CALL_SECONDS_MAX))


def file_status(server: Server, volume_id: int) -> Any:
    with volume_rpc(server.port) as rpc:
        return rpc.ReadVolumeFileStatus(
            pb.ReadVolumeFileStatusRequest(volume_id=volume_id), timeout=CALL_SECONDS_MAX
        )


def fill(server: Server, volume_id: int) -> None:
    """An object of each size."""
    with volume_rpc(server.port) as rpc:
        allocate(rpc, volume_id)
    for number, size in enumerate(SIZES):
        assert put(server.port, fid_of(volume_id, number), content(size)).status == 201


def check_all(server: Server, volume_id: int, gone: Sequence[int] = ()) -> None:
    """Every object as it was put, whole and in part."""
    is_tiered = bool(volume_status(server)[volume_id]["RemoteStorageName"])
    for number, size in enumerate(SIZES):
        fid = fid_of(volume_id, number)
        whole = get(server.port, f"/{fid}")
        if number in gone:
            assert whole.status == 404, number
            if is_tiered:
                assert get(server.port, f"/{fid}?readDeleted=true").status == 404
            continue
        assert whole.status == 200, (number, whole.body)
        assert whole.body == content(size), number
        if size > 10:
            part = get(server.port, f"/{fid}", Range=f"bytes=5-{size - 3}")
            assert (part.status, part.body) == (206, content(size)[5 : size - 2])
            last = get(server.port, f"/{fid}", Range="bytes=-7")
            assert last.body == content(size)[-7:]
            several = get(server.port, f"/{fid}", Range="bytes=0-3,7-9")
            assert several.status == 206
            assert content(size)[7:10] in several.body
        head = request(server.port, "HEAD", f"/{fid}")
        assert (head.status, head.headers["content-length"]) == (200, str(size))


def delete(server: Server, volume_id: int, number: int) -> int:
    return request(server.port, "DELETE", f"/{fid_of(volume_id, number)}").status


def vif(place: Place, volume_id: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.directory / f"{volume_id}.vif").read_text())
    return found


def rows(place: Place, volume_id: int) -> list[bytes]:
    index = (place.directory / f"{volume_id}.idx").read_bytes()
    return [index[at : at + 17] for at in range(0, len(index), 17)]


def test_there_read_deleted_restarted_and_back(place: Place) -> None:
    """The whole life of a tiered volume on fastvol; only one object is ever in the bucket."""
    store = place.store
    server = place.server(FASTVOL)
    with started(server):
        place.joined(server)
        fill(server, 5)
        local = (place.directory / "5.dat").read_bytes()
        before = file_status(server, 5)
        to_remote(server, 5)
        (key,) = store.keys()
        assert store.get(key) == local
        assert not (place.directory / "5.dat").exists()
        (file,) = vif(place, 5)["files"]
        assert file["key"] == key
        assert (file["backendType"], file["backendId"]) == ("s3", "default")
        assert (file["fileSize"], file["extension"]) == (str(len(local)), ".dat")
        check_all(server, 5)
        after = file_status(server, 5)
        assert after.dat_file_size == before.dat_file_size == len(local)
        assert after.idx_file_size == before.idx_file_size
        assert after.dat_file_timestamp_seconds == int(file["modifiedTime"])
        assert [one.key for one in after.volume_info.files] == [key]
        told = volume_status(server)[5]
        assert told["RemoteStorageName"] == "s3.default"
        assert told["ReadOnly"]
        assert told["ReadOnlyCanDelete"]
        refused = put(server.port, fid_of(5, 77), b"no room")
        assert refused.status == 500
        assert "volume 5 is read only" in refused.json()["error"]
        assert delete(server, 5, 3) == 202
        assert rows(place, 5)[-1] == b"\0\0\0\0\0\0\0\4" + bytes(5) + b"\xff" * 4
        check_all(server, 5, gone=[3])
        assert server.stop() == 0
        server.start()
        place.joined(server)
        check_all(server, 5, gone=[3])
        assert delete(server, 5, 6) == 202
        check_all(server, 5, gone=[3, 6])
        # Downwards.
        from_remote(server, 5)
        assert store.keys() == set()
        assert (place.directory / "5.dat").read_bytes() == local
        assert int((place.directory / "5.dat").stat().st_mtime) == int(file["modifiedTime"])
        assert vif(place, 5)["files"] == []
        assert put(server.port, fid_of(5, 77), b"room again").status == 201
        assert delete(server, 5, 2) == 202
        check_all(server, 5, gone=[2, 3, 6])
        server.stop()
        server.start()
        place.joined(server)
        check_all(server, 5, gone=[2, 3, 6])
        assert get(server.port, f"/{fid_of(5, 77)}").body == b"room again"
        assert not volume_status(server)[5]["ReadOnly"]


def test_either_server_serves_what_the_other_one_moved(place: Place) -> None:
    """fastvol moves one up and weed another; each reads, deletes in and moves down the other's."""
    ours, theirs = place.server(FASTVOL), place.server(weed(place.base))
    with started(ours):
        place.joined(ours)
        fill(ours, 6)
        to_remote(ours, 6)
        assert ours.stop() == 0
    with started(theirs):
        place.joined(theirs)
        check_all(theirs, 6)
        assert delete(theirs, 6, 2) == 202
        check_all(theirs, 6, gone=[2])
        fill(theirs, 7)
        to_remote(theirs, 7)
        check_all(theirs, 7)
        assert delete(theirs, 7, 1) == 202
        theirs.stop()
    ours = place.server(FASTVOL)
    with started(ours):
        place.joined(ours)
        check_all(ours, 6, gone=[2])
        check_all(ours, 7, gone=[1])
        assert delete(ours, 6, 4) == 202
        from_remote(ours, 7)
        assert delete(ours, 7, 5) == 202
        check_all(ours, 7, gone=[1, 5])
        ours.stop()
    theirs = place.server(weed(place.base))
    with started(theirs):
        place.joined(theirs)
        check_all(theirs, 6, gone=[2, 4])
        for number in (1, 5):
            assert get(theirs.port, f"/{fid_of(7, number)}").status == 404
        from_remote(theirs, 6)
        for number in (2, 4):
            assert get(theirs.port, f"/{fid_of(6, number)}").status == 404
        theirs.stop()
    ours = place.server(FASTVOL)
    with started(ours):
        place.joined(ours)
        check_all(ours, 6, gone=[2, 4])
        check_all(ours, 7, gone=[1, 5])


def test_what_is_kept_and_what_goes(place: Place) -> None:
    """The data file or the object may be kept; a deleted volume takes its object with it or not."""
    store = place.store
    server = place.server(FASTVOL)
    with started(server):
        place.joined(server)
        fill(server, 8)
        to_remote(server, 8, keep_local_dat_file=True, destination_backend_name="s3.cold")
        assert (place.directory / "8.dat").exists()
        assert volume_status(server)[8]["RemoteStorageName"] == "s3.cold"
        check_all(server, 8)
        from_remote(server, 8, keep_remote_dat_file=True)
        assert len(store.keys()) == 1
        check_all(server, 8)
        to_remote(server, 8, destination_backend_name="s3")
        assert volume_status(server)[8]["RemoteStorageName"] == "s3.default"
        assert len(store.keys()) == 2
        to_remote(server, 8)  # nothing to do
        assert len(store.keys()) == 2
        with volume_rpc(server.port) as rpc:
            unmount = pb.VolumeUnmountRequest(volume_id=8)
            rpc.VolumeUnmount(unmount, timeout=CALL_SECONDS_MAX)
            rpc.VolumeMount(pb.VolumeMountRequest(volume_id=8), timeout=CALL_SECONDS_MAX)
            check_all(server, 8)
            rpc.VolumeDelete(
                pb.VolumeDeleteRequest(volume_id=8, keep_remote_data=True), timeout=CALL_SECONDS_MAX
            )
            assert len(store.keys()) == 2
            assert not list(place.directory.glob("8.*"))
        fill(server, 9)
        to_remote(server, 9)
        assert len(store.keys()) == 3
        with volume_rpc(server.port) as rpc:
            rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=9), timeout=CALL_SECONDS_MAX)
        assert len(store.keys()) == 2
        assert not list(place.directory.glob("9.*"))


def test_a_store_that_fails_costs_the_reads_and_nothing_else(place: Place) -> None:
    """500 for what has to be fetched; local volumes, deletes in others and the server go on."""
    server = place.server(FASTVOL)
    with started(server):
        place.joined(server)
        fill(server, 10)
        fill(server, 11)
        to_remote(server, 10)
        (key,) = place.store.keys()
        data = place.store.get(key)
        place.store.empty()
        failed = get(server.port, f"/{fid_of(10, 6)}")
        assert failed.status == 500
        assert "NoSuchKey" in server.running.errors
        check_all(server, 11)
        assert delete(server, 10, 6) == 404  # it could not be looked at
        with pytest.raises(grpc.RpcError, match="copy file") as error:
            from_remote(server, 10)
        assert error.value.code() is grpc.StatusCode.UNKNOWN
        assert not list(place.directory.glob("10.dat*"))
        place.store.put(key, data[: len(data) // 2])  # and an object that was cut short
        assert get(server.port, f"/{fid_of(10, 6)}").status == 500
        damaged = bytearray(data)
        damaged[-1000] ^= 1
        place.store.put(key, bytes(damaged))
        with pytest.raises(Exception, match=r"IncompleteRead|Connection"):
            get(server.port, f"/{fid_of(10, 6)}")  # its last piece is not sent
        assert get(server.port, f"/{fid_of(10, 2)}").body == content(100)
        place.store.put(key, data)
        server.stop()
        server.start()
        place.joined(server)
        check_all(server, 10)


def test_a_caller_who_leaves_ends_the_move(place: Place) -> None:
    """Nothing has changed then: no object, no entry in the .vif, and writes are taken again."""
    server = place.server(FASTVOL)
    with started(server):
        place.joined(server)
        with volume_rpc(server.port) as rpc:
            allocate(rpc, 12)
            for number in range(30):
                big = content(4 * MIB, seed=number)
                assert put(server.port, fid_of(12, number), big).status == 201
            message = pb.VolumeTierMoveDatToRemoteRequest(
                volume_id=12, destination_backend_name="s3.default", concurrency=1
            )
            call = rpc.VolumeTierMoveDatToRemote(message, timeout=CALL_SECONDS_MAX)
            time.sleep(0.3)
            call.cancel()

        def takes_writes() -> bool:
            return put(server.port, fid_of(12, 100), b"here").status in (201, 204)

        wait_until(takes_writes, "writes again")
        if vif(place, 12)["files"]:
            pytest.skip("it was through before the caller left")
        wait_until(lambda: not place.store.keys(), "nothing of it in the bucket")
        assert get(server.port, f"/{fid_of(12, 7)}").body == content(4 * MIB, seed=7)
        assert (place.directory / "12.dat").exists()


def test_writes_wait_for_nothing_while_a_volume_moves(place: Place) -> None:
    """They are refused, and what was acknowledged before is in the object."""
    server = place.server(FASTVOL)
    acknowledged: list[int] = []
    with started(server):
        place.joined(server)
        fill(server, 13)
        stop = threading.Event()

        def write() -> None:
            number = 1000
            while not stop.is_set():
                if put(server.port, fid_of(13, number), content(2000, number)).status == 201:
                    acknowledged.append(number)
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.3)
        to_remote(server, 13)
        stop.set()
        writer.join(WAIT_SECONDS_MAX)
        assert acknowledged
        for number in acknowledged:
            assert get(server.port, f"/{fid_of(13, number)}").body == content(2000, number)
        from_remote(server, 13)
        check_all(server, 13)


def test_a_copy_of_a_tiered_volume_shares_its_object(place: Place) -> None:
    """VolumeCopy moves index and .vif only, from weed too; the mover keeps the object."""
    ours = place.server(FASTVOL, "-volume.allowUntrustedRemoteEndpoints")
    other = volume_server(
        FASTVOL,
        place.base,
        place.base / "other",
        [place.master.port],
        "-volume.allowUntrustedRemoteEndpoints",
    )
    theirs = volume_server(
        weed(place.base),
        place.base,
        place.base / "theirs",
        [place.master.port],
        "-volume.allowUntrustedRemoteEndpoints",
    )
    with started(ours, other, theirs):
        for server in (ours, other, theirs):
            place.joined(server)
        fill(ours, 14)
        to_remote(ours, 14)
        objects = place.store.keys()
        source = ours
        for target in (other, theirs, ours):
            with volume_rpc(target.port) as rpc:
                message = pb.VolumeCopyRequest(
                    volume_id=14, source_data_node=f"{HOST}:{source.port}"
                )
                list(rpc.VolumeCopy(message, timeout=CALL_SECONDS_MAX))
            check_all(target, 14)
            with volume_rpc(source.port) as rpc:
                request_ = pb.VolumeDeleteRequest(volume_id=14, keep_remote_data=True)
                rpc.VolumeDelete(request_, timeout=CALL_SECONDS_MAX)
            check_all(target, 14)
            source = target
        assert place.store.keys() == objects
        from_remote(ours, 14)
        check_all(ours, 14)


def test_everything_else_answers_for_a_tiered_volume(place: Place) -> None:
    """Scrubs and streams fetch what they need; a vacuum says that it cannot be."""
    server = place.server(FASTVOL)
    with started(server), volume_rpc(server.port) as rpc:
        place.joined(server)
        fill(server, 15)
        limit = {"timeout": CALL_SECONDS_MAX}
        local = [
            (one.needle_id, one.needle_blob)
            for one in rpc.ReadAllNeedles(pb.ReadAllNeedlesRequest(volume_ids=[15]), **limit)
        ]
        data = (place.directory / "15.dat").read_bytes()
        tail = list(
            rpc.VolumeTailSender(
                pb.VolumeTailSenderRequest(volume_id=15, idle_timeout_seconds=1), **limit
            )
        )
        to_remote(server, 15)
        assert [
            (one.needle_id, one.needle_blob)
            for one in rpc.ReadAllNeedles(pb.ReadAllNeedlesRequest(volume_ids=[15]), **limit)
        ] == local
        raw = b"".join(
            one.file_content
            for one in rpc.VolumeIncrementalCopy(
                pb.VolumeIncrementalCopyRequest(volume_id=15), **limit
            )
        )
        assert raw == data[8:]
        again = list(
            rpc.VolumeTailSender(
                pb.VolumeTailSenderRequest(volume_id=15, idle_timeout_seconds=1), **limit
            )
        )
        assert [one.needle_body for one in again][: len(SIZES)] == [
            one.needle_body for one in tail
        ][: len(SIZES)]
        for mode in (1, 2, 3):
            found = rpc.ScrubVolume(pb.ScrubVolumeRequest(volume_ids=[15], mode=mode), **limit)
            assert not found.broken_volume_ids, found
            assert found.total_files == len(SIZES)
        status = rpc.VolumeNeedleStatus(
            pb.VolumeNeedleStatusRequest(volume_id=15, needle_id=3), **limit
        )
        assert status.size > 100
        blob = rpc.ReadNeedleBlob(
            pb.ReadNeedleBlobRequest(volume_id=15, offset=8, size=0), **limit
        ).needle_blob
        assert blob == data[8:40]
        deleted = rpc.BatchDelete(
            pb.BatchDeleteRequest(file_ids=[fid_of(15, 1), fid_of(15, 2)]), **limit
        )
        assert [one.status for one in deleted.results] == [202, 202]
        unread = rpc.BatchDelete(
            pb.BatchDeleteRequest(file_ids=[fid_of(15, 3)], skip_cookie_check=True), **limit
        )
        assert [one.status for one in unread.results] == [202]
        check_all(server, 15, gone=[1, 2, 3])
        checked = rpc.VacuumVolumeCheck(pb.VacuumVolumeCheckRequest(volume_id=15), **limit)
        assert checked.garbage_ratio > 0
        with pytest.raises(grpc.RpcError, match="remote storage"):
            list(rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=15), **limit))
        rpc.VolumeMarkReadonly(pb.VolumeMarkReadonlyRequest(volume_id=15), **limit)
        assert delete(server, 15, 4) == 500
        rpc.VolumeMarkWritable(pb.VolumeMarkWritableRequest(volume_id=15), **limit)
        assert put(server.port, fid_of(15, 50), b"x").status == 500
        assert delete(server, 15, 4) == 202
        from_remote(server, 15)
        check_all(server, 15, gone=[1, 2, 3, 4])
        list(rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=15), **limit))
        rpc.VacuumVolumeCommit(pb.VacuumVolumeCommitRequest(volume_id=15), **limit)
        check_all(server, 15, gone=[1, 2, 3, 4])


def test_an_unknown_backend_leaves_the_volume_alone(place: Place) -> None:
    """A volume of a backend that no master announced is not served, and its files stay."""
    server = place.server(FASTVOL)
    with started(server):
        place.joined(server)
        fill(server, 16)
        fill(server, 17)
        to_remote(server, 16)
        server.stop()
        bare = master_server(place.base / "bare")
        with started(bare):
            bare.ready("/cluster/status")
            alone = volume_server(FASTVOL, place.base, place.directory, [bare.port])
            with started(alone):
                alone.ready()
                assert set(volume_status(alone)) == {17}
                assert "backend storage s3.default not found" in alone.running.errors
                with volume_rpc(alone.port) as rpc, pytest.raises(grpc.RpcError):
                    rpc.VolumeMount(pb.VolumeMountRequest(volume_id=16), timeout=CALL_SECONDS_MAX)
                alone.stop()
        server.start()
        place.joined(server)
        check_all(server, 16)
        with volume_rpc(server.port) as rpc:
            rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=16), timeout=CALL_SECONDS_MAX)


def test_the_shell_moves_a_volume_up_and_down(tmp_path: Path, store: ObjectStore) -> None:
    """volume.tier.upload and volume.tier.download of the real shell."""
    cluster = Cluster.make(tmp_path)
    (tmp_path / "master.toml").write_text(store.master_toml())
    with cluster.running():
        fid = cluster.assign("?collection=pictures")
        volume_id = int(fid.partition(",")[0])
        assert put(cluster.volume.port, fid, content(5000)).status == 201
        said = cluster.shell(
            f"volume.tier.upload -dest=s3.default -collection=pictures -volumeId={volume_id}"
        )
        assert "100" in said or "remote" in said or volume_status(cluster.volume), said
        assert len(store.keys()) == 1, said
        assert not (cluster.directory / f"pictures_{volume_id}.dat").exists()
        assert get(cluster.volume.port, f"/{fid}").body == content(5000)

        def listed() -> bool:
            return "s3.default" in cluster.shell("volume.list")

        wait_until(listed, "the master knows where the volume is")
        said = cluster.shell(f"volume.tier.download -collection=pictures -volumeId={volume_id}")
        assert store.keys() == set(), said
        assert (cluster.directory / f"pictures_{volume_id}.dat").exists()
        assert get(cluster.volume.port, f"/{fid}").body == content(5000)


@pytest.mark.parametrize("theirs", ["none", "source", "target"])
def test_the_shell_moves_a_tiered_volume_to_another_server(place: Place, theirs: str) -> None:
    """volume.move: index and .vif go over, the object stays where it is."""
    trusting = "-volume.allowUntrustedRemoteEndpoints"
    source, target = (
        volume_server(
            weed(place.base) if theirs == name else FASTVOL,
            place.base,
            place.base / name,
            [place.master.port],
            trusting,
        )
        for name in ("source", "target")
    )
    with started(source, target):
        for server in (source, target):
            place.joined(server)
        fill(source, 21)
        to_remote(source, 21)
        objects = place.store.keys()
        line = f"volume.move -source {HOST}:{source.port} -target {HOST}:{target.port} -volumeId 21"
        text = "\n".join(("lock", line, "unlock", ""))
        said = run(
            weed(place.base, "shell", f"-master={HOST}:{place.master.port}"), place.base, text
        )
        print(said.stdout, said.stderr)
        wait_until(lambda: 21 not in volume_status(source), "it has left")
        check_all(target, 21)
        assert place.store.keys() == objects
