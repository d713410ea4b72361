"""All needles of a volume in use: each once, with its last content, in the order of the data file."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_kit import create, named, needle, reopen

from fastvol.errors import StorageError
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.live_needles import live_needle_messages
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 6), st.binary(max_size=20)),
        st.tuples(st.just("delete"), st.integers(1, 6)),
        st.tuples(st.just("vacuum")),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


def live_needles(volume: Volume) -> Generator[pb.ReadAllNeedlesResponse, None, None]:
    with closing(live_needle_messages(volume)) as messages:
        yield from map(pb.ReadAllNeedlesResponse.FromString, messages)


def found(volume: Volume) -> list[tuple[int, bytes]]:
    return [(one.needle_id, one.needle_blob) for one in live_needles(volume)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_what_is_alive_is_given_once(
    tmp_path_factory: pytest.TempPathFactory, version: int, steps: list[tuple]
) -> None:
    volume = create(tmp_path_factory.mktemp("v"), version=version)
    alive: dict[int, bytes] = {}
    numbers = itertools.count()
    for step in steps:
        if step[0] == "write":
            alive[step[1]] = step[2] + b"%d" % next(numbers)
            volume.write(needle(step[1], alive[step[1]]))
        elif step[0] == "delete":
            volume.delete(step[1], 0, 0)
            alive.pop(step[1], None)
        elif step[0] == "vacuum":
            volume.compact(VacuumPlan())
            volume.commit_compaction()
        else:
            volume = reopen(volume)
    given_ones = found(volume)
    assert sorted(given_ones) == sorted(alive.items())
    offsets = [volume.entry(key).offset for key, _ in given_ones]  # type: ignore[union-attr]
    assert offsets == sorted(offsets)
    volume.close()


def test_fields_are_given(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.write(named(1, b"data"))
    volume.write(needle(2, b""))
    first, second = live_needles(volume)
    assert (first.name, first.mime, first.needle_blob) == (b"a.bin", b"text/x-foo", b"data")
    assert first.last_modified == 1700000000
    assert (second.needle_blob, second.name) == (b"", b"")
    volume.close()


@pytest.mark.parametrize("index", [IN_MEMORY, IndexOptions("leveldb")], ids=["memory", "leveldb"])
@pytest.mark.parametrize("meanwhile", ["vacuum", "close", "overwrite"])
def test_a_volume_that_changes_meanwhile(
    tmp_path: Path, meanwhile: str, index: IndexOptions
) -> None:
    """What was given is right; the end may be an error of the volume's."""
    volume = create(tmp_path, index=index)
    contents = {key: b"%d" % key * 1000 for key in range(1, 3000)}
    for key, data in contents.items():
        volume.write(needle(key, data))
    given_ones = []
    with closing(live_needles(volume)) as needles:
        given_ones.append(next(needles))
        if meanwhile == "vacuum":
            volume.delete(5, 0, 0)
            volume.compact(VacuumPlan())
            volume.commit_compaction()
        elif meanwhile == "close":
            volume.close()
        else:
            for key in range(1, 3000, 2):
                volume.write(needle(key, contents[key] + b"!"))
        try:
            given_ones += needles
        except StorageError:
            assert meanwhile == "close"
    assert all(one.needle_blob.rstrip(b"!") == contents[one.needle_id] for one in given_ones)
    if meanwhile == "vacuum":
        assert len(given_ones) >= 2998
    volume.close()


def test_a_damaged_record_is_left_out(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in range(1, 4):
        volume.write(named(key, b"data"))
    offset = volume.entry(2).offset * 8  # type: ignore[union-attr]
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(offset + 16)
        file.write(b"\x7f\xff\xff\xff")  # a payload longer than the record
    assert [key for key, _ in found(volume)] == [1, 3]
    volume.close()


def test_a_header_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    volume = create(tmp_path)
    for key in range(1, 4):
        volume.write(named(key, b"data"))
    offset = volume.entry(2).offset * 8  # type: ignore[union-attr]
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(offset + 12)
        file.write(b"\x7f\xff\xff\xff")
    with pytest.raises(StorageError):
        found(volume)
    volume.close()
    with pytest.raises(StorageError):
        found(volume)
