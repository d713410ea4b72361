"""Manifests that list manifests, themselves among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from volume_kit import needle

from fastvol.formats.needle import Needle
from fastvol.limits import CHUNK_DEPTH_MAX
from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane
from tests.wire.wire_requests import get, status_of, store

COOKIE = 0x1234
DATA = b"the bytes at the bottom"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LivePlane]:
    with LivePlane(tmp_path) as made:
        made.cluster.put(1, made.port)
        yield made


def store_manifest(volume: Volume, key: int, *listed: int) -> None:
    """Under ``key``, of the objects with these keys."""
    store_listing(volume, key, [f"1,{one:x}0000{COOKIE:04x}" for one in listed], len(DATA))


def store_listing(volume: Volume, key: int, fids: list[str], size: int = 9) -> None:
    chunks = [{"fid": fid, "offset": at, "size": size} for at, fid in enumerate(fids)]
    data = json.dumps({"chunks": chunks}).encode()
    flags = Needle.IS_CHUNK_MANIFEST | Needle.HAS_LAST_MODIFIED
    volume.write(needle(key, data, cookie=COOKIE, flags=flags, last_modified=1_700_000_000))


def asked(plane: LivePlane) -> int:
    return sum(plane.traffic.stats.answers().values()) + sum(plane.counts().gets.buckets)


def test_a_manifest_that_lists_itself_is_refused_after_some_requests(plane: LivePlane) -> None:
    volume = plane.add_volume(1)
    store_manifest(volume, 5, 5, 5, 5)
    answer = plane.exchange(get(5))
    assert status_of(answer) == 500 and b"Read chunk needle error: [500]" in answer
    assert asked(plane) <= CHUNK_DEPTH_MAX + 1


def test_the_last_of_a_circle_says_why(plane: LivePlane) -> None:
    store_manifest(plane.add_volume(1), 5, 5)
    for depth in (str(CHUNK_DEPTH_MAX), "999", "-1", "x"):
        answer = plane.exchange(get(5, f"X-Fastvol-Chunk-Depth: {depth}"))
        assert status_of(answer) == 500
        assert b"more than 8 chunk manifests lead to 1,500001234" in answer


def test_manifests_may_list_manifests_a_few_times(plane: LivePlane) -> None:
    volume = plane.add_volume(1)
    store(volume, 10, DATA)
    for key in range(11, 10 + CHUNK_DEPTH_MAX + 1):
        store_manifest(volume, key, key - 1)
    answer = plane.exchange(get(10 + CHUNK_DEPTH_MAX))
    assert status_of(answer) == 200 and answer.endswith(b"\r\n\r\n" + DATA)


def test_the_fast_read_answers_for_a_chunk(plane: LivePlane) -> None:
    volume = plane.add_volume(1)
    store(volume, 10, DATA)
    store_manifest(volume, 11, 10)
    before = sum(plane.counts().gets.buckets)
    assert plane.exchange(get(11)).endswith(DATA)
    assert sum(plane.counts().gets.buckets) == before + 1
