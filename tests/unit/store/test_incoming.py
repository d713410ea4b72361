"""A volume that another server sent comes in the place of the old one, wholly or not at all.

Crashes are made of calls to the operating system that fail from the n-th on: whatever would be done
afterwards, cleaning up above all, is not done either.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from volume_kit import create, needle

from fastvol.errors import NeedleNotFoundError, StorageError
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.store import store as store_module
from fastvol.store.free_space import MinFreeSpace
from fastvol.store.incoming import IncomingVolume
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

LEVELDB: Final = IndexOptions("leveldb")
OLD: Final = {1: b"old one", 2: b"old two", 3: b"of both"}
NEW: Final = {2: b"new two", 3: b"of both", 4: b"new four"}
CALLS: Final = ("open", "replace", "unlink", "rmdir", "fsync", "mkdir", "utime")
RUNS_MAX: Final = 300


class CrashError(BaseException):
    """The process is no more."""


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "REPLACED_LINGER_SECONDS", 0)


@pytest.fixture(name="sent", scope="module")
def sent_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the new volume."""
    directory = tmp_path_factory.mktemp("sent")
    volume = create(directory)
    for key, data in NEW.items():
        volume.write(needle(key, data))
    volume.close()
    return {ext: (directory / f"7{ext}").read_bytes() for ext in (".dat", ".idx", ".vif")}


def make_store(base: Path, index: IndexOptions = IN_MEMORY) -> Store:
    """Two disks and a directory for the indexes of both."""
    locations = []
    for number in range(2):
        directory = base / f"disk{number}"
        directory.mkdir(parents=True, exist_ok=True)
        locations.append(LocationOptions(directory, 8, MinFreeSpace(percent=0), "", ()))
    store = Store(
        StoreOptions(
            "127.0.0.1", 8080, tuple(locations), index=index, index_directory=base / "indexes"
        )
    )
    store.load()
    return store


def with_old(store: Store) -> Volume:
    volume = store.add_volume(7, "c", ReplicaPlacement(), EMPTY)
    for key, data in OLD.items():
        volume.write(needle(key, data))
    return volume


def receive(store: Store, sent: dict[str, bytes], disk: int = 0) -> IncomingVolume:
    incoming = IncomingVolume(store.locations[disk], "c", 7)
    incoming.begin()
    for extension, content in sent.items():
        fd = incoming.create(extension)
        os.write(fd, content)
        os.close(fd)
        incoming.received(extension, 1_600_000_000_000_000_000)
    incoming.settle()
    return incoming


def adopt(store: Store, sent: dict[str, bytes], disk: int = 0) -> None:
    with store.receiving(7):
        store.adopt_volume(receive(store, sent, disk), "copying", lambda volume: None)


def contents(store: Store) -> dict[int, bytes]:
    volume = store.get_volume(7)
    found = {}
    for key in (1, 2, 3, 4):
        try:
            found[key] = bytes(volume.read(key).data)
        except NeedleNotFoundError:
            continue
    return found


def leftovers(base: Path) -> set[str]:
    names = {path.name for path in base.rglob("*") if path.name.startswith(("c_7", "7"))}
    return names - {"c_7.dat", "c_7.idx", "c_7.vif", "c_7.ldb"}


@contextmanager
def dying_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> Iterator[Callable[[], int]]:
    """The n-th call and all later ones fail; yields how many there were."""
    calls = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] >= nth:
                raise CrashError
            return real(*arguments, **more)

        return call

    with monkeypatch.context() as patched:
        for name in CALLS:
            patched.setattr(os, name, dying(getattr(os, name)))
        yield lambda: calls[0]


def crashed(store: Store) -> None:
    """What ends with a process: locks; its files stay as they are."""
    for location in store.locations:
        location.close()


@pytest.mark.parametrize("index", [IN_MEMORY, LEVELDB], ids=["memory", "leveldb"])
@pytest.mark.parametrize("disk", [0, 1])
def test_after_a_crash_at_any_moment_one_of_the_two_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: dict[str, bytes],
    disk: int,
    index: IndexOptions,
) -> None:
    """On the old one's disk and on another one; the next start may crash as well."""
    outcomes = []
    for nth in count(1):
        assert nth < RUNS_MAX
        base = tmp_path / str(nth)
        store = make_store(base, index)
        with_old(store)
        with dying_at(monkeypatch, nth) as made, suppress(CrashError):
            adopt(store, sent, disk)
        done = made() < nth
        crashed(store)
        if not done and nth % 3 == 0:
            with dying_at(monkeypatch, 1 + nth % 7):
                try:
                    second = make_store(base, index)
                except CrashError:
                    pass
                else:
                    crashed(second)
        again = make_store(base, index)
        found = contents(again)
        assert found in (OLD, NEW), (nth, found)
        assert not leftovers(base), nth
        assert len(again.table.copies(7)) == 1
        assert not again.get_volume(7).read_only
        again.get_volume(7).write(needle(9, b"more"))
        outcomes.append(found == NEW)
        again.close()
        if done:
            break
        shutil.rmtree(base)
    assert outcomes[-1]
    assert outcomes == sorted(outcomes), "old ones come first, then new ones"
    assert not outcomes[0]


@pytest.mark.parametrize("index", [IN_MEMORY, LEVELDB], ids=["memory", "leveldb"])
def test_an_error_at_any_moment_leaves_one_to_be_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: dict[str, bytes], index: IndexOptions
) -> None:
    """The disk refuses one call; what cannot be ended at once is ended by the next mount."""
    for nth in count(1):
        assert nth < RUNS_MAX
        base = tmp_path / str(nth)
        store = make_store(base, index)
        with_old(store)
        calls = [0]

        def refusing(real: Callable[..., Any], calls: list[int] = calls, nth: int = nth) -> Any:
            def call(*arguments: Any, **more: Any) -> Any:
                calls[0] += 1
                if calls[0] == nth:
                    raise OSError(5, "Input/output error")
                return real(*arguments, **more)

            return call

        with monkeypatch.context() as patched:
            for name in ("replace", "unlink", "fsync"):
                patched.setattr(os, name, refusing(getattr(os, name)))
            with suppress(StorageError):
                adopt(store, sent)
        if store.find_volume(7) is not None:
            assert contents(store) in (OLD, NEW), nth
        store.unmount_volume(7)
        store.mount_volume(7)
        assert contents(store) in (OLD, NEW), nth
        store.close()
        again = make_store(base, index)
        assert contents(again) in (OLD, NEW), nth
        assert not leftovers(base), nth
        again.close()
        shutil.rmtree(base)
        if calls[0] < nth:
            break


def test_what_another_server_did_in_between_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: dict[str, bytes]
) -> None:
    """The replacement was declared and not begun; then somebody wrote into the old volume."""
    store = make_store(tmp_path)
    with_old(store)
    incoming = receive(store, sent)
    incoming.declare_complete("copying", [])
    crashed(store)
    directory = store.locations[0].directory
    marked = directory / "c_7.incoming"
    marked.rename(tmp_path / "aside")
    between = make_store(tmp_path)
    between.get_volume(7).write(needle(5, b"in between"))
    between.close()
    (tmp_path / "aside").rename(marked)
    again = make_store(tmp_path)
    assert bytes(again.get_volume(7).read(5).data) == b"in between"
    assert not leftovers(tmp_path)
    again.close()


def test_a_marker_that_says_nothing_is_given_up(tmp_path: Path, sent: dict[str, bytes]) -> None:
    for content in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"note":1,"received":[],"old_data":3,"copies":1}',
    ):
        store = make_store(tmp_path)
        if store.find_volume(7) is None:
            with_old(store)
        receive(store, sent)
        (store.locations[0].directory / "c_7.incoming" / "complete").write_bytes(content)
        store.close()
    again = make_store(tmp_path)
    assert contents(again) == OLD
    assert not leftovers(tmp_path)
    again.close()


def test_a_vacuum_at_work_ends_the_copy_and_not_the_volume(
    tmp_path: Path, sent: dict[str, bytes]
) -> None:
    store = make_store(tmp_path)
    volume = with_old(store)
    refused = []

    def meanwhile(_offset: int) -> bool:
        if not refused:
            with pytest.raises(StorageError, match="volume 7 is compacting"):
                adopt(store, sent)
            refused.append(True)
        return True

    volume.compact(VacuumPlan(progress=meanwhile))
    assert refused
    volume.commit_compaction()
    assert contents(store) == OLD
    volume.write(needle(1, OLD[1] + b"!"))
    adopt(store, sent)
    assert contents(store) == NEW
    assert not leftovers(tmp_path)
    store.close()


def test_the_events_tell_of_both(tmp_path: Path, sent: dict[str, bytes]) -> None:
    store = make_store(tmp_path)
    with_old(store)
    events: list[Any] = []
    store.on_volume_event = events.append
    adopt(store, sent, disk=1)
    assert [(e.kind, e.volume.id, e.volume.disk_id) for e in events] == [
        ("deleted", 7, 0),
        ("new", 7, 1),
    ]
    assert [v.disk_id for v in store.table.copies(7)] == [1]
    store.close()


def test_shards_keep_their_description(tmp_path: Path, sent: dict[str, bytes]) -> None:
    """Of an erasure-coded volume of the same id, where the copy has none of its own."""
    store = make_store(tmp_path)
    directory = store.locations[0].directory
    (directory / "c_7.ecx").write_bytes(b"x")
    (directory / "c_7.vif").write_bytes(b'{"version":3}')
    adopt(store, {k: v for k, v in sent.items() if k != ".vif"})
    assert contents(store) == NEW
    assert (directory / "c_7.vif").exists()
    store.close()
