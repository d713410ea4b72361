"""Files that callers send: none takes the place of one that a volume lives on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from volume_kit import needle

from fastvol.errors import ClientGoneError, StorageError
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.receive_file import ReceiveFileHandlers
from fastvol.store.free_space import MinFreeSpace
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store

OF_A_VOLUME = (
    *(".dat", ".idx", ".vif", ".note", ".unavailable", ".cpd", ".cpx", ".cpc", ".ldb", ".sdx"),
    ".incoming",
)


@pytest.fixture(name="store")
def store_fixture(tmp_path: Path) -> Iterator[Store]:
    location = LocationOptions(tmp_path, 8, MinFreeSpace(percent=0), "", ())
    store = Store(StoreOptions("127.0.0.1", 8080, (location,)))
    store.load()
    volume = store.add_volume(7, "c", ReplicaPlacement(), EMPTY)
    volume.write(needle(1, b"one"))
    yield store
    store.close()


def info(extension: str, **fields: Any) -> pb.ReceiveFileRequest:
    given = {"volume_id": 7, "collection": "c", "ext": extension} | fields
    return pb.ReceiveFileRequest(info=pb.ReceiveFileInfo(**given))


def content(data: bytes) -> pb.ReceiveFileRequest:
    return pb.ReceiveFileRequest(file_content=data)


def received(store: Store, requests: Iterable[Any]) -> Any:
    receive: Any = ReceiveFileHandlers(store).table()["ReceiveFile"]
    return receive(requests)


def sound(store: Store) -> None:
    volume = store.get_volume(7)
    assert bytes(volume.read(1).data) == b"one"
    store.unmount_volume(7)
    store.mount_volume(7)
    assert bytes(store.get_volume(7).read(1).data) == b"one"


@pytest.mark.parametrize("extension", OF_A_VOLUME)
@pytest.mark.parametrize("is_ec", [False, True])
def test_no_file_of_a_mounted_volume_is_taken(store: Store, extension: str, is_ec: bool) -> None:
    """Neither what it has open nor what would have it removed at the next start."""
    before = {path: path.stat().st_size for path in store.locations[0].directory.iterdir()}
    answer = received(store, [info(extension, is_ec_volume=is_ec), content(b"x")])
    if is_ec and extension == ".vif":
        return  # the one file that shards and volume share
    assert answer.error
    assert {path: path.stat().st_size for path in before} == before
    sound(store)


@pytest.mark.parametrize("extension", OF_A_VOLUME)
def test_nor_of_one_that_is_not_mounted(store: Store, extension: str) -> None:
    if extension == ".vif":
        return
    store.unmount_volume(7)
    assert received(store, [info(extension, is_ec_volume=True), content(b"x")]).error
    assert received(store, [info(extension, disk_type="hdd"), content(b"x")]).bytes_written == 1
    store.mount_volume(7)
    sound(store)


@pytest.mark.parametrize("collection", ["a\0b", "..", "a/b", "a\\b"])
def test_a_collection_that_is_no_name_is_refused(store: Store, collection: str) -> None:
    answer = received(store, [info(".ec00", collection=collection, is_ec_volume=True)])
    assert answer.error.startswith("invalid collection")


def test_a_caller_who_leaves_takes_its_file_along(store: Store) -> None:
    def leaving() -> Iterator[Any]:
        yield info(".ec00", is_ec_volume=True)
        yield content(b"half")
        raise ClientGoneError("gone")

    with pytest.raises(ClientGoneError):
        received(store, leaving())
    assert not (store.locations[0].directory / "c_7.ec00").exists()


def test_a_file_is_not_written_through_a_link(store: Store, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    (tmp_path / "c_7.ec00").symlink_to(outside)
    assert received(store, [info(".ec00", is_ec_volume=True), content(b"x")]).error
    assert not outside.exists()


def test_a_volume_without_a_name_for_its_files_is_not_made(store: Store) -> None:
    with pytest.raises(StorageError, match="invalid collection name"):
        store.add_volume(8, "a\0b", ReplicaPlacement(), EMPTY)
