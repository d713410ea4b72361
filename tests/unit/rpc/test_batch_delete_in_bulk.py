"""Deleting in bulk gives what deleting one by one gives: results, tombstones, counters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvol._cffi.crc32c import crc32c
from fastvol._cffi.deletion import Checking, DeletionBatch
from fastvol.errors import VolumeClosedError, VolumeNotFoundError
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.batch_delete import BatchDeleteHandlers
from fastvol.volume.visitor import visit_records
from fastvol.volume.volume import Volume

COOKIE = 0x11223344
IDS = range(1, 90)


def made(directory: Path, volume_id: int, version: int) -> Volume:
    """Needles of every kind; ids that are not there, too."""
    directory.mkdir(parents=True, exist_ok=True)
    volume = Volume.create(
        directory,
        directory,
        "",
        volume_id,
        replica_placement=ReplicaPlacement.parse("000"),
        ttl=EMPTY,
        version=version,
    )
    for key in IDS:
        data = b"" if key % 11 == 0 else b"%d" % key
        needle = Needle(key, COOKIE, data, checksum=crc32c(data), last_modified=1700000000)
        needle.flags = Needle.HAS_LAST_MODIFIED
        if key % 13 == 0:
            needle.flags |= Needle.IS_CHUNK_MANIFEST
        if key % 17 == 0:
            needle.flags |= Needle.HAS_TTL
            needle.ttl = TTL.parse("5m")
        volume.write(needle)
    for key in range(5, 90, 5):
        volume.delete(key, COOKIE, 0)
    return volume


class OneByOne:
    """A volume that is never deleted from in bulk."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def __getattr__(self, name: str) -> Any:
        if name == "native":
            raise VolumeClosedError("not in bulk")
        return getattr(self._volume, name)


class Volumes:
    """What the handlers ask of a store."""

    ip, port = "h", 1

    def __init__(self, *volumes: Any) -> None:
        self._volumes = {volume.id: volume for volume in volumes}

    def find_volume(self, volume_id: int) -> Any:
        return self._volumes.get(volume_id)

    def get_volume(self, volume_id: int) -> Any:
        if volume_id not in self._volumes:
            raise VolumeNotFoundError(f"volume {volume_id} not found")
        return self._volumes[volume_id]


def tombstones(volume: Volume) -> list[tuple[Any, ...]]:
    visit = visit_records(volume.native.dat_fd(), 8, volume.dat_size, volume.version)
    found = [(r.offset, r.id, r.cookie, r.size, r.checksum) for r in visit]
    stat = volume.stat()
    return [*found, (stat.idx_size, stat.deleted_count, stat.deleted_size, stat.file_count)]


def answer(store: Any, fids: list[str], *, skip: bool) -> pb.BatchDeleteResponse:
    request = pb.BatchDeleteRequest(file_ids=fids, skip_cookie_check=skip)
    raw = BatchDeleteHandlers(store).batch_delete(request)
    return pb.BatchDeleteResponse.FromString(raw)


@pytest.fixture(name="directory", scope="module")
def directory_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return iter([tmp_path_factory.mktemp("bulk")])


fid_parts = st.one_of(
    st.builds(
        "{},{:02x}{:08x}".format,
        st.sampled_from((1, 2, 3)),
        st.integers(1, 100),
        st.sampled_from((COOKIE, COOKIE, COOKIE, 5)),
    ),
    st.builds(
        "{},{:02X}{:08X}_{}".format,
        st.sampled_from((1, 2)),
        st.integers(1, 90),
        st.just(COOKIE),
        st.sampled_from(("1", "2", "x", "", "99999999999", "-1", "1_1")),
    ),
    st.text("0123456789abcdefx,_\n é", max_size=30),
    st.sampled_from(
        (
            "1,ffffffffffffffff11223344_1",
            "01,0111223344",
            "1,00000000000000000111223344",
            "99999999999,0111223344",
            "1,0111223344,",
            " 1,0111223344",
            "1, 0111223344",
        )
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    fids=st.lists(fid_parts, max_size=120),
    skip=st.booleans(),
    version=st.sampled_from((1, 2, 3)),
)
def test_in_bulk_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, fids: list[str], skip: bool, version: int
) -> None:
    base = tmp_path_factory.mktemp("b")
    ours = [made(base / "bulk", volume_id, version) for volume_id in (1, 2)]
    theirs = [made(base / "alone", volume_id, version) for volume_id in (1, 2)]
    try:
        in_bulk = answer(Volumes(*ours), fids, skip=skip)
        alone = answer(Volumes(*map(OneByOne, theirs)), fids, skip=skip)
        assert [result.file_id for result in in_bulk.results] == fids
        assert in_bulk == alone
        for one, other in zip(ours, theirs, strict=True):
            # In another order: a batch goes through one volume after the other, and what is not
            # common comes last; each needle's own changes keep their order.
            assert sorted(t[1:] for t in tombstones(one)) == sorted(
                t[1:] for t in tombstones(other)
            )
    finally:
        for volume in (*ours, *theirs):
            volume.close()


def test_what_is_common_needs_no_second_look(tmp_path: Path) -> None:
    """The bulk path takes what filers send: it is not left to the slow one."""
    volume = made(tmp_path, 1, 3)
    fids = [f"1,{key:02x}{COOKIE:08x}" for key in range(1, 5)]
    batch = DeletionBatch(fids, Checking.COOKIE)
    for volume_id in batch.volume_ids():
        batch.delete_from(volume.native, volume_id)
    assert batch.open_ones() == []
    response = pb.BatchDeleteResponse.FromString(batch.results(0, 4))
    assert [result.status for result in response.results] == [202] * 4
    volume.close()


def test_a_volume_that_refuses_leaves_all_to_the_caller(tmp_path: Path) -> None:
    volume = made(tmp_path, 1, 3)
    volume.mark_read_only(can_delete=False, persist=False)
    before = tombstones(volume)
    response = answer(Volumes(volume), [f"1,01{COOKIE:08x}"], skip=False)
    assert [(r.status, r.error) for r in response.results] == [(500, "volume 1 is read only")]
    assert tombstones(volume) == before
    volume.close()


def test_a_fid_that_an_error_cuts_within_a_character_has_a_result() -> None:
    fid = "\xfeg\x98,\U0010c218\xc7\x96c\xaf\x9f(;"
    found = pb.BatchDeleteResponse.FromString(
        BatchDeleteHandlers(Volumes()).batch_delete(pb.BatchDeleteRequest(file_ids=[fid, "7,\xe9"]))
    )
    assert [result.status for result in found.results] == [400, 400]


def test_any_number_of_volumes_is_gone_through_in_bounded_time() -> None:
    """Fids of so many volumes that no server has them."""
    count = 20_000
    batch = DeletionBatch([f"{n},0111223344" for n in range(1, count + 1)], Checking.NONE)
    assert len(list(batch.volume_ids())) < 2000
    assert batch.open_ones() == list(range(count))
