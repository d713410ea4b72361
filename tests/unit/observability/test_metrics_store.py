"""Series of volumes and disks: their sums, and when they go."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastvol._cffi.fault import IO_ERROR, NativeFaultError, io_error_count
from fastvol.observability.metrics import Metrics


@dataclass
class FakeVolume:
    collection: str
    size: int = 8
    deleted: int = 0
    no_write_or_delete: bool = False
    no_write_can_delete: bool = False
    disk_space_low: bool = False
    quarantined: bool = False
    unavailable: bool = False

    @property
    def read_only(self) -> bool:
        return self.no_write_or_delete or self.no_write_can_delete or self.disk_space_low

    def stat(self) -> Any:
        return SimpleNamespace(dat_size=self.size, deleted_size=self.deleted)


def location(directory: str, total: int = 1000, *, unavailable: bool = False) -> Any:
    status = SimpleNamespace(all=total, used=600, free=400)
    space = SimpleNamespace(status=status, available_bytes=390, unavailable=unavailable)
    return SimpleNamespace(directory=Path(directory), space=space, max_volume_count=7)


@dataclass
class FakeStore:
    held: list[FakeVolume] = field(default_factory=list)
    locations: tuple[Any, ...] = ()
    on_collection_deleted: Any = None

    def volumes(self) -> list[FakeVolume]:
        return list(self.held)


def lines(metrics: Metrics) -> list[str]:
    found = metrics.text().decode().splitlines()
    prefix = "SeaweedFS_volumeServer_"
    return [line.removeprefix(prefix) for line in found if line.startswith(prefix)]


def test_a_collection_is_summed_up() -> None:
    store: Any = FakeStore(
        [
            FakeVolume("a", 100, 10),
            FakeVolume("a", 50, no_write_or_delete=True, disk_space_low=True),
            FakeVolume("", 8),
        ]
    )
    found = lines(Metrics(store))
    assert 'volumes{collection="a",type="volume"} 2' in found
    assert 'volumes{collection="",type="volume"} 1' in found
    assert 'total_disk_size{collection="a",type="normal"} 150' in found
    assert 'total_disk_size{collection="a",type="deleted_bytes"} 10' in found
    for kind, count in (
        ("IsReadOnly", 1),
        ("noWriteOrDelete", 1),
        ("noWriteCanDelete", 0),
        ("isDiskSpaceLow", 1),
    ):
        assert f'read_only_volumes{{collection="a",type="{kind}"}} {count}' in found
        assert f'read_only_volumes{{collection="",type="{kind}"}} 0' in found


def test_the_last_volume_leaves_a_zero_and_a_deleted_collection_nothing() -> None:
    store: Any = FakeStore([FakeVolume("a")])
    metrics = Metrics(store)
    lines(metrics)
    store.held.clear()
    assert [line for line in lines(metrics) if '"a"' in line] == [
        'volumes{collection="a",type="volume"} 0'
    ]
    store.on_collection_deleted("a")
    assert not [line for line in lines(metrics) if '"a"' in line]


def test_sick_volumes_are_counted_apart() -> None:
    store: Any = FakeStore([FakeVolume("a", quarantined=True), FakeVolume("a", unavailable=True)])
    found = lines(Metrics(store))
    assert 'io_quarantine{kind="volume"} 2' in found
    assert 'volumes{collection="a",type="volume"} 2' in found
    assert not [line for line in found if line.startswith(("total_disk_size", "read_only"))]


def test_disks_show_their_last_figures() -> None:
    store: Any = FakeStore(locations=(location("/d"), location("/e", unavailable=True)))
    found = lines(Metrics(store))
    figures = (("all", "1000"), ("used", "600"), ("free", "400"), ("avail", "390"))
    for kind, value in figures:
        assert f'resource{{name="/d",type="{kind}"}} {value}' in found
    assert 'disk_error_status{name="/d",type="error"} 0' in found
    assert 'disk_error_status{name="/e",type="error"} 1' in found
    assert "max_volumes 14" in found


def test_a_store_that_is_not_loaded_shows_no_disks() -> None:
    store: Any = FakeStore(locations=(location("/d", 0),))
    found = lines(Metrics(store))
    assert not [line for line in found if line.startswith(("resource", "disk_error"))]


def test_every_eio_is_counted_and_nothing_else() -> None:
    before = io_error_count()
    NativeFaultError(IO_ERROR, sys_errno=5)
    NativeFaultError(IO_ERROR, sys_errno=28)
    assert io_error_count() == before + 1


def test_operations_have_series_once_they_happen() -> None:
    store: Any = FakeStore()
    metrics = Metrics(store)
    idle = lines(metrics)
    assert not [line for line in idle if line.startswith(("vacuum", "scrub", "repl", "master"))]
    operations = metrics.operations
    with operations.vacuum.compacting():
        pass
    operations.scrub.ended("FULL", bad_volumes=2)
    operations.disconnections.add("m:9333")
    operations.replication.done("write", 0.5, "")
    found = lines(metrics)
    assert 'vacuuming_compact_count{success="true"} 1' in found
    assert 'vacuuming_seconds_count{type="compact"} 1' in found
    assert 'scrub_volume_failures{mode="FULL"} 2' in found
    assert not [line for line in found if line.startswith("scrub_shard_failures")]
    assert 'master_disconnections{address="m:9333"} 1' in found
    assert 'replication_operations_total{operation="write",result="success"} 1' in found
    assert 'replication_seconds_bucket{le="0.4096",operation="write"} 0' in found
