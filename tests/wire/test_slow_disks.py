"""What asks or changes a disk that takes its time keeps nobody else waiting."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastvol.cluster.single_node import SingleNodeAssigner
from fastvol.http.assign import AssignHandler
from fastvol.http.blocking import RunBlocking
from fastvol.http.request import Request
from fastvol.http.router import Answer
from fastvol.http.status import StatusHandler
from fastvol.store.options import LocationOptions, StoreOptions
from fastvol.store.store import Store
from tests.wire.live_plane import WAIT_SECONDS, LivePlane
from tests.wire.test_throttling import Background
from tests.wire.wire_requests import status_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(StoreOptions("127.0.0.1", 8080, (LocationOptions(tmp_path, 8),)))
    made.load()
    yield made
    made.close()


@pytest.fixture
def plane(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    def paths(run: RunBlocking) -> dict[str, Callable[[Request], Answer]]:
        status = StatusHandler(store, run, offset_width=5)
        assigner = SingleNodeAssigner(store, 1 << 30)
        assign = AssignHandler(store, assigner, run, public_url="h:1", grpc_port=1)
        return {
            "/status": status.status,
            "/healthz": status.health,
            "/dir/assign": assign.assign,
        }

    with LivePlane(tmp_path_factory.mktemp("plane"), exact=paths) as made:
        yield made


def get(plane: LivePlane, target: str) -> bytes:
    return plane.exchange(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("target", "slow"), [("/status?pretty=y", "disk_statuses"), ("/dir/assign", "add_volume")]
)
def test_others_are_answered_meanwhile(
    store: Store, plane: LivePlane, monkeypatch: pytest.MonkeyPatch, target: str, slow: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    work = getattr(store, slow)

    def slowly(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)
        return work(*args)

    monkeypatch.setattr(store, slow, slowly)
    asked = Background(lambda: get(plane, target))
    assert begun.wait(WAIT_SECONDS)
    assert status_of(get(plane, "/healthz")) == 200
    assert asked.waits
    go_on.set()
    answer = asked.join()
    assert status_of(answer) == 200 and json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_volume_with_room_is_assigned_at_once(store: Store, plane: LivePlane) -> None:
    fids = [json.loads(get(plane, "/dir/assign").partition(b"\r\n\r\n")[2])["fid"] for _ in "ab"]
    assert len(set(fids)) == 2 and [volume.id for volume in store.volumes()] == [1]
