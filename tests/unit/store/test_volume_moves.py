"""A volume's moves to remote storage and back: whatever fails, it is served and loses nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bucket_kit import MemoryBucket, backend_of
from volume_kit import cookie_of, named, needle

from fastvol.errors import (
    ClientGoneError,
    NeedleNotFoundError,
    RemoteStorageError,
    StorageError,
    VolumeReadOnlyError,
)
from fastvol.formats import volume_info
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.index.kinds import IndexOptions
from fastvol.store import tiering
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store
from fastvol.store.tiering import Tiering
from fastvol.volume import tiered_opening
from fastvol.volume.volume import Volume

SECONDS = 10
VOLUME = 7
CONTENT = {key: bytes([key]) * (key * 5000) for key in range(1, 8)}


@pytest.fixture(name="bucket")
def bucket_fixture() -> MemoryBucket:
    return MemoryBucket()


MakeStore = Callable[..., Store]


@pytest.fixture(name="make_store")
def make_store_fixture(tmp_path: Path, bucket: MemoryBucket) -> Iterator[MakeStore]:
    made: list[Store] = []

    def make(kind: str = "memory", *, knows_bucket: bool = True) -> Store:
        directory, index = tmp_path / "data", tmp_path / "index"
        for one in (directory, index):
            one.mkdir(exist_ok=True)
        for store in made:
            store.close()
        made.clear()
        options = StoreOptions(
            ip="127.0.0.1",
            port=8080,
            directories=(LocationOptions(directory, 8),),
            index_directory=index,
            index=IndexOptions(kind),  # type: ignore[arg-type]
        )
        store = Store(options)
        if knows_bucket:
            store.tier.backends._by_name["s3.default"] = backend_of(bucket)
        store.load()
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


def filled(store: Store, ttl: TTL = EMPTY) -> Volume:
    volume = store.add_volume(VOLUME, "", ReplicaPlacement.parse("000"), ttl)
    for key, data in CONTENT.items():
        volume.write(named(key, data))
    return volume


def up(store: Store, *, keep: bool = False, progress: Any = lambda _done, _size: True) -> Volume:
    Tiering(store).to_remote(
        VOLUME, "", "s3.default", keep_local=keep, parts_at_once=0, progress=progress
    )
    return store.get_volume(VOLUME)


def down(store: Store, *, keep: bool = False, progress: Any = lambda _done, _size: True) -> Volume:
    Tiering(store).to_local(VOLUME, "", keep_remote=keep, parts_at_once=0, progress=progress)
    return store.get_volume(VOLUME)


def check(volume: Volume, gone: tuple[int, ...] = ()) -> None:
    for key, data in CONTENT.items():
        if key in gone:
            with pytest.raises(NeedleNotFoundError):
                volume.read(key)
        else:
            assert bytes(volume.read(key).data) == data


def takes_writes(volume: Volume) -> None:
    volume.write(needle(100, b"more"))
    assert volume.read(100).data == b"more"


@pytest.mark.parametrize("kind", ["memory", "leveldb"])
def test_there_and_back_with_every_kind_of_map(
    make_store: MakeStore, bucket: MemoryBucket, tmp_path: Path, kind: str
) -> None:
    store = make_store(kind)
    local = filled(store)
    local.delete(2, cookie_of(2), 0)
    data = local.files.data(".dat").read_bytes()
    volume = up(store)
    assert list(bucket.objects.values()) == [data]
    assert not volume.files.data(".dat").exists()
    assert volume.remote_storage == ("s3.default", next(iter(bucket.objects)))
    assert volume.dat_size == len(data)
    check(volume, gone=(2,))
    with pytest.raises(VolumeReadOnlyError):
        volume.write(needle(100, b"no room"))
    assert volume.delete(3, cookie_of(3), 0) > 0
    check(volume, gone=(2, 3))
    with pytest.raises(NeedleNotFoundError):
        volume.load(3, read_deleted=True)
    store = make_store(kind)
    volume = store.get_volume(VOLUME)
    check(volume, gone=(2, 3))
    assert volume.delete(4, cookie_of(4), 0) > 0
    assert volume.delete(4, cookie_of(4), 0) == 0
    volume = down(store)
    assert not bucket.objects
    check(volume, gone=(2, 3, 4))
    takes_writes(volume)
    store = make_store(kind)
    volume = store.get_volume(VOLUME)
    check(volume, gone=(2, 3, 4))
    assert not volume.read_only
    assert volume.read(100).data == b"more"


def test_whatever_fails_on_the_way_up_changes_nothing(
    make_store: MakeStore, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    volume = filled(store)
    bucket.fail("put")
    with pytest.raises(StorageError, match=r"backend s3\.default copy file .*7\.dat: .*put failed"):
        up(store)
    bucket.fail()
    with pytest.raises(ClientGoneError):
        up(store, progress=lambda _done, _size: False)
    bucket.objects.clear()  # it left when all was through: an object that nobody knows
    with monkeypatch.context() as patch:

        def refuse(path: Path, info: object) -> None:
            raise PermissionError(1, "not permitted", str(path))

        patch.setattr(volume_info, "save", refuse)
        with pytest.raises(StorageError, match="volume 7 failed to save remote file info"):
            up(store)
    assert not bucket.objects
    check(volume)
    takes_writes(volume)


def test_a_volume_that_cannot_be_opened_up_there_stays_here(
    make_store: MakeStore, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    volume = filled(store)
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> object:
            raise OSError(24, "too many open files")

        patch.setattr(tiered_opening, "load_needle_map", refuse)
        with pytest.raises(StorageError, match="volume 7 failed to load remote file"):
            up(store)
    assert not bucket.objects
    info = volume_info.load(volume.files.data(".vif"))
    assert info is not None
    assert not info.files
    check(volume)
    assert volume.read_only  # its map was given up: it is opened anew before it takes changes
    store.mark_volume_writable(VOLUME)
    check(volume)
    takes_writes(volume)


def test_an_object_that_the_vif_names_is_never_dropped(
    make_store: MakeStore, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the volume cannot go over to it, nor its name be taken out again."""
    store = make_store()
    volume = filled(store)
    real, calls = volume_info.save, []

    def once(path: Path, info: volume_info.VolumeInfo) -> None:
        calls.append(path)
        if len(calls) > 1:
            raise OSError(28, "No space left on device", str(path))
        real(path, info)

    def refuse(*_: object, **__: object) -> object:
        raise OSError(24, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(volume_info, "save", once)
        patch.setattr(tiered_opening, "load_needle_map", refuse)
        with pytest.raises(StorageError, match="No space left"):
            up(store)
    assert len(bucket.objects) == 1
    check(volume)
    check(make_store().get_volume(VOLUME))


def test_whatever_fails_on_the_way_down_leaves_it_up_there(
    make_store: MakeStore, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    filled(store)
    volume = up(store)
    for request in ("size", "pieces", "piece"):
        bucket.fail(request)
        with pytest.raises(StorageError, match=rf"copy file .*7\.dat: {request} failed"):
            down(store)
        bucket.fail()
    with pytest.raises(ClientGoneError):
        down(store, progress=lambda _done, _size: False)
    with monkeypatch.context() as patch:

        def refuse(path: Path, info: object) -> None:
            raise PermissionError(1, "not permitted", str(path))

        patch.setattr(volume_info, "save", refuse)
        with pytest.raises(StorageError, match="volume 7 failed to save remote file info"):
            down(store)
    assert len(bucket.objects) == 1
    assert not [*volume.directory.glob("*.incoming")]
    check(volume)
    volume.delete(2, cookie_of(2), 0)
    store = make_store()
    volume = store.get_volume(VOLUME)
    assert volume.remote is not None  # a data file that came already is not looked at
    check(volume, gone=(2,))
    bucket.fail("delete")
    with pytest.raises(StorageError, match="volume 7 failed to delete remote file"):
        down(store)
    check(volume, gone=(2,))
    takes_writes(volume)


def test_a_cut_at_every_step(
    make_store: MakeStore, bucket: MemoryBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of the directories at each step of both moves are served by a new start."""
    store = make_store()
    volume = filled(store)
    states: list[dict[Path, bytes]] = []

    def snapshot() -> None:
        names = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "vol_dir.uuid"]
        states.append({path: path.read_bytes() for path in names})

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            snapshot()
            try:
                return real(*args, **kwargs)
            finally:
                snapshot()

        return wrapped

    for module, name in (
        (tiering, "upload"),
        (tiering, "download"),
        (tiering, "sync_directory"),
        (volume_info, "save"),
        (os, "replace"),
        (os, "unlink"),
    ):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    with monkeypatch.context() as patch:
        patch.setattr(bucket, "delete", lambda key: None)
        up(store)
        volume = store.get_volume(VOLUME)
        volume.delete(5, cookie_of(5), 0)
        moved = len(states)
        snapshot()
        down(store)
    monkeypatch.undo()
    assert len(states) > 8
    for number, state in enumerate(states):
        make_store().close()
        for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
            path.unlink()
        for path, content in state.items():
            path.write_bytes(content)
        check(make_store().get_volume(VOLUME), gone=(5,) if number >= moved else ())


def test_changes_are_refused_while_it_moves(make_store: MakeStore, bucket: MemoryBucket) -> None:
    """Also a vacuum and a second move; reads go on."""
    store = make_store()
    volume = filled(store)
    began, go_on = threading.Event(), threading.Event()

    def wait(request: str) -> None:
        if request == "put":
            began.set()
            assert go_on.wait(SECONDS)

    bucket.before = wait
    mover = threading.Thread(target=up, args=(store,))
    mover.start()
    try:
        assert began.wait(SECONDS)
        with pytest.raises(VolumeReadOnlyError):
            volume.write(needle(100, b"x"))
        with pytest.raises(VolumeReadOnlyError):
            volume.delete(1, cookie_of(1), 0)
        for act in (lambda: up(store), volume.cleanup_compaction):
            with pytest.raises(StorageError, match="volume 7 is compacting"):
                act()
        check(volume)
    finally:
        go_on.set()
        mover.join(SECONDS)
    check(volume)
    volume.delete(1, cookie_of(1), 0)


def test_readers_see_no_seam(make_store: MakeStore, bucket: MemoryBucket) -> None:
    """While it goes up and down again and again, every read is right."""
    store = make_store()
    volume = filled(store)
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        while not stop.is_set():
            try:
                check(volume)
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(10):
            up(store)
            down(store, keep=True)  # a read that began up there may still need the object
    finally:
        stop.set()
        for reader in readers:
            reader.join(SECONDS)
    assert not failures, failures[0]


def test_an_object_goes_with_its_volume_unless_it_is_kept(
    make_store: MakeStore, bucket: MemoryBucket
) -> None:
    store = make_store()
    filled(store)
    up(store)
    store.delete_volume(VOLUME, keep_remote_data=True)
    assert len(bucket.objects) == 1
    bucket.objects.clear()
    filled(store)
    up(store, keep=True)
    bucket.fail("delete")
    store.delete_volume(VOLUME)  # an object that cannot go does not keep the volume
    assert len(bucket.objects) == 1
    assert not [*(store.locations[0].directory).glob("7.*")]


def test_a_volume_whose_backend_is_unknown_is_left_alone(make_store: MakeStore) -> None:
    store = make_store()
    filled(store)
    up(store)
    store = make_store(knows_bucket=False)
    assert store.find_volume(VOLUME) is None
    (damaged,) = store.damaged
    assert "backend storage s3.default not found" in damaged.reason
    store = make_store()
    check(store.get_volume(VOLUME))


def test_a_store_that_does_not_answer_keeps_nothing_from_starting(
    make_store: MakeStore, bucket: MemoryBucket
) -> None:
    store = make_store()
    filled(store, TTL.parse("7d"))
    up(store)
    bucket.fail("read")
    store = make_store()
    volume = store.get_volume(VOLUME)
    assert volume.ttl == EMPTY
    with pytest.raises(RemoteStorageError, match="read failed"):
        volume.read(1)
    with pytest.raises(NeedleNotFoundError):
        volume.read(55)
    volume.delete(1, cookie_of(1), 0)
    bucket.fail()
    store.tier._pauses["s3.default"].until = 0
    check(volume, gone=(1,))
    assert volume.ttl == TTL.parse("7d")  # which its data tells, now that it can be asked


def test_marks_do_not_outlive_a_move(make_store: MakeStore) -> None:
    """As the next start would have it: only a persisted one counts, and only for local data."""
    store = make_store()
    filled(store)
    store.mark_volume_read_only(VOLUME, can_delete=False, persist=True)
    volume = up(store)
    volume.delete(1, cookie_of(1), 0)
    store.mark_volume_read_only(VOLUME, can_delete=False, persist=False)
    with pytest.raises(VolumeReadOnlyError):
        volume.delete(2, cookie_of(2), 0)
    store.mark_volume_writable(VOLUME)
    volume.delete(2, cookie_of(2), 0)
    assert volume.read_only
    store.mark_volume_read_only(VOLUME, can_delete=False, persist=True)
    volume = down(store)
    with pytest.raises(VolumeReadOnlyError):
        volume.delete(3, cookie_of(3), 0)
    store.mark_volume_writable(VOLUME)
    takes_writes(volume)
