"""Reads that are sent from server to server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastvol.limits import PROXY_HOPS_MAX
from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane
from tests.wire.wire_requests import SMALL, get, status_of, store


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[LivePlane, LivePlane]]:
    """Each knows that volume 1 is with the other; neither has it."""
    (tmp_path / "b").mkdir()
    with LivePlane(tmp_path) as one, LivePlane(tmp_path / "b") as other:
        volume = one.add_volume(1)
        store(volume, 1, SMALL)
        learn(other, one)
        move(volume, one, other)
        learn(one, other)
        other.give_up_volume(volume)
        yield one, other
        volume.close()


def learn(asking: LivePlane, having: LivePlane) -> None:
    asking.cluster.put(1, having.port)
    assert asking.exchange(get(1)).endswith(SMALL)


def move(volume: Volume, source: LivePlane, target: LivePlane) -> None:
    source.give_up_volume(volume)
    target.lend_volume(volume)


def test_two_servers_that_remember_wrongly_do_not_send_a_read_to_and_fro(
    pair: tuple[LivePlane, LivePlane],
) -> None:
    one, other = pair
    for plane in pair:
        plane.cluster.where.clear()
        plane.cluster.asked.clear()
    assert status_of(one.exchange(get(1))) == 404
    assert (one.cluster.asked, other.cluster.asked) == ([], [1])


def test_a_wrong_master_sends_no_read_to_and_fro_for_ever(
    pair: tuple[LivePlane, LivePlane],
) -> None:
    one, other = pair
    for plane in pair:
        plane.cluster.asked.clear()
    assert status_of(one.exchange(get(1))) == 404
    assert len(one.cluster.asked + other.cluster.asked) <= PROXY_HOPS_MAX


@pytest.mark.parametrize("hops", [str(PROXY_HOPS_MAX), "99", "100", "-1", "x"])
def test_a_read_that_came_far_goes_no_further(pair: tuple[LivePlane, LivePlane], hops: str) -> None:
    one, _ = pair
    one.cluster.asked.clear()
    assert status_of(one.exchange(get(1, f"X-Fastvol-Hops: {hops}"))) == 404
    assert one.cluster.asked == []
