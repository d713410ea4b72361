"""The scrub finds in damaged files what the real server finds, in the same words and order."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest
from cluster import (
    Server,
    joined,
    master_server,
    started,
    volume_rpc,
    volume_server,
    volume_status,
    weed,
)
from daemons import START_SECONDS_MAX, wait_until
from http_calls import CALL_SECONDS_MAX
from scrub_damage import build, cases, damaged

from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.files import VolumeFiles
from fastvol.volume.scrub import ScrubControl, ScrubMode, scrub_raw
from fastvol.volume.unrepaired import unrepaired

pytestmark = pytest.mark.interop

Report = tuple[int, list[int], list[str]]
CASES: Final = list(cases())
MODES: Final = (ScrubMode.INDEX, ScrubMode.FULL, ScrubMode.LOCAL, ScrubMode.READS)
TIED: Final = ("all_rows_twice", "row_number_behind_rows_without_position")
"""Rows that are equal but for their place: which of two is said to overlap the other is left to the
sorting, which is not a stable one there."""


def theirs(server: Server, volume_id: int, mode: ScrubMode) -> Report:
    with volume_rpc(server.port) as rpc:
        answer = rpc.ScrubVolume(
            pb.ScrubVolumeRequest(mode=int(mode), volume_ids=[volume_id]),
            timeout=CALL_SECONDS_MAX,
            wait_for_ready=True,
        )
    assert answer.total_volumes == 1
    return answer.total_files, list(answer.broken_volume_ids), list(answer.details)


def ours(directory: Path, volume_id: int, mode: ScrubMode, dat_size: int) -> Report:
    files = VolumeFiles.of(directory, directory, "", volume_id)
    with unrepaired(files) as raw:
        # A server goes by the size that it knows.
        known = dataclasses.replace(raw, dat_size=dat_size)
        result = scrub_raw(known, mode, ScrubControl())
    assert result.total_volumes == 1
    assert result.omitted == 0
    return result.total_files, result.broken_volume_ids, result.details


Reports = dict[tuple[int, ScrubMode], tuple[Report, Report]]


@pytest.fixture(name="reports", scope="module")
def reports_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Reports, Reports]]:
    """(theirs, ours) by volume and mode: of files damaged while they are served, and then of those
    of them that the real server still loads."""
    base = tmp_path_factory.mktemp("scrub")
    data = base / "data"
    data.mkdir()
    for volume_id, _, version in CASES:
        build(data, volume_id, version)
    sizes = {number: (data / f"{number}.dat").stat().st_size for number, _, _ in CASES}
    master = master_server(base)
    server = volume_server(weed(base), base, data, [master.port], f"-max={len(CASES) + 10}")
    live: Reports = {}
    loaded: Reports = {}
    with started(master, server):
        server.ready()
        wait_until(lambda: joined(master, server), "it has joined", START_SECONDS_MAX)
        for volume_id, how, _ in CASES:
            damaged(data, volume_id, how)
        for volume_id, _, _ in CASES:
            for mode in MODES:
                mine = ours(data, volume_id, mode, sizes[volume_id])
                live[volume_id, mode] = theirs(server, volume_id, mode), mine
        server.stop()
        server.start().ready()
        for volume_id in volume_status(server):
            size = (data / f"{volume_id}.dat").stat().st_size
            size += -size % 8  # it takes a file to end where the next record may begin
            mine = ours(data, volume_id, ScrubMode.FULL, size)
            loaded[volume_id, ScrubMode.FULL] = theirs(server, volume_id, ScrubMode.FULL), mine
        with volume_rpc(server.port) as rpc, pytest.raises(grpc.RpcError) as refused:
            rpc.ScrubVolume(pb.ScrubVolumeRequest(mode=4, volume_ids=[1]), timeout=CALL_SECONDS_MAX)
        assert refused.value.details() == "unsupported volume scrub mode 4"
    yield live, loaded


def steady(report: Report, how: str) -> Report:
    if how not in TIED:
        return report
    return report[0], report[1], [re.sub(r"\(#\d+\)", "(#?)", text) for text in report[2]]


@pytest.mark.parametrize(("volume_id", "how", "version"), CASES)
def test_files_damaged_behind_the_server(
    reports: tuple[Reports, Reports], volume_id: int, how: str, version: int
) -> None:
    for mode in MODES:
        real, found = reports[0][volume_id, mode]
        assert steady(found, how) == steady(real, how)
    assert reports[0][volume_id, ScrubMode.INDEX][0][1] == [] or how != "healthy"


def test_files_damaged_before_they_are_loaded(reports: tuple[Reports, Reports]) -> None:
    """Many are refused or repaired there; what is loaded is judged alike."""
    hows = {number: how for number, how, _ in CASES}
    assert len(reports[1]) > len(CASES) // 3
    for (volume_id, _), (real, found) in reports[1].items():
        assert steady(found, hows[volume_id]) == steady(real, hows[volume_id]), hows[volume_id]
    assert any(real[2] for real, _ in reports[1].values())
