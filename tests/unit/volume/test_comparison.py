"""Two replicas are the same when their needles are, however their files came about."""

import os
import random
from pathlib import Path

import pytest
from volume_kit import create, named, needle

from fastvol.errors import VolumeDamagedError
from fastvol.formats.needle import Needle
from fastvol.volume.comparison import Comparison, Kind, compare_files
from fastvol.volume.files import VolumeFiles
from fastvol.volume.vacuum import VacuumPlan


def files_of(directory: Path) -> VolumeFiles:
    return VolumeFiles.of(directory, directory, "", 7)


def compared(directory: Path, **options: int) -> Comparison:
    return compare_files(files_of(directory / "a"), files_of(directory / "b"), **options)


def write(directory: Path, needles: list[Needle], *, deleted: tuple[int, ...] = ()) -> None:
    directory.mkdir()
    volume = create(directory)
    for one in needles:
        volume.write(one)
    for key in deleted:
        volume.delete(key, 0, 0)
    volume.close()


def some(count: int) -> list[Needle]:
    return [named(key, os.urandom(key % 200)) for key in range(1, count + 1)]


def test_order_overwrites_deletions_and_vacuum_do_not_matter(tmp_path: Path) -> None:
    needles = some(2000)
    write(tmp_path / "a", needles, deleted=(5, 6))
    shuffled = [needle(key, b"overwritten", cookie=needles[key - 1].cookie) for key in (7, 8)]
    rest = [one for one in needles if one.id not in (5, 6)]
    random.Random(1).shuffle(rest)
    (tmp_path / "b").mkdir()
    volume = create(tmp_path / "b")
    for one in [*shuffled, *rest]:
        volume.write(one)
    assert volume.compact(VacuumPlan()) is not None
    assert volume.commit_compaction()
    volume.close()
    result = compared(tmp_path)
    assert (result.needles, result.different, result.differences) == (1998, 0, [])


def test_every_kind_of_difference(tmp_path: Path) -> None:
    needles = some(20)
    write(tmp_path / "a", needles)
    changed = dict(enumerate(needles, 1))
    changed.pop(3)
    changed[4] = named(4, bytes(needles[3].data), cookie=0xAB)
    changed[5] = named(5, bytes(needles[4].data) + b"x")
    changed[6] = named(6, bytes(6))
    changed[21] = needle(21, b"new")
    write(tmp_path / "b", list(changed.values()), deleted=(7,))
    result = compared(tmp_path)
    assert [(d.needle_id, d.kind) for d in result.differences] == [
        (3, Kind.ONLY_A),
        (4, Kind.COOKIE),
        (5, Kind.SIZE),
        (6, Kind.CHECKSUM),
        (7, Kind.ONLY_A),
        (21, Kind.ONLY_B),
    ]
    assert result.differences[1].cookies == (needles[3].cookie, 0xAB)
    assert result.differences[2].sizes[1] - result.differences[2].sizes[0] == 1
    assert result.differences[3].checksums[0] == needles[5].checksum
    assert (result.needles, result.counts[Kind.EQUAL], result.omitted) == (21, 15, 0)


def test_unreadable_needles(tmp_path: Path) -> None:
    write(tmp_path / "a", some(5))
    write(tmp_path / "b", some(5))
    path = tmp_path / "b" / "7.dat"
    os.truncate(path, path.stat().st_size - 20)
    last = compared(tmp_path).differences[-1]
    assert (last.kind, last.needle_id) == (Kind.UNREADABLE, 5)
    assert last.reasons == ("", "the data file ends before its record does")


@pytest.mark.parametrize("limit", [0, 1, 127, 128, 129, 299, 300, 301])
def test_the_list_is_bounded_and_the_count_is_not(tmp_path: Path, limit: int) -> None:
    write(tmp_path / "a", [needle(key, b"x") for key in range(1, 301)])
    write(tmp_path / "b", [])
    result = compared(tmp_path, differences_max=limit)
    assert len(result.differences) == min(limit, 300)
    assert (result.different, result.omitted) == (300, 300 - min(limit, 300))


def test_progress(tmp_path: Path) -> None:
    write(tmp_path / "a", some(50))
    write(tmp_path / "b", [])
    seen: list[int] = []
    compare_files(files_of(tmp_path / "a"), files_of(tmp_path / "b"), on_progress=seen.append)
    assert seen[-1] == 50


def test_widths_may_differ(tmp_path: Path) -> None:
    for name, width in (("a", 4), ("b", 5)):
        (tmp_path / name).mkdir()
        volume = create(tmp_path / name, offset_width=width)
        volume.write(needle(1, b"x"))
        volume.close()
    assert compared(tmp_path).different == 0


def test_files_that_cannot_be_compared(tmp_path: Path) -> None:
    write(tmp_path / "a", some(2))
    (tmp_path / "b").mkdir()
    with pytest.raises(VolumeDamagedError, match=r"b/7\.dat"):
        compared(tmp_path)
