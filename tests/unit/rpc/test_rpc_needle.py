"""Batch deletion and needle status."""

from typing import Any

import grpc
import pytest
from rpc_fakes import Node, needle

from fastvol.errors import DiskIOError, NeedleCorruptedError, VolumeReadOnlyError
from fastvol.formats.needle import legacy_checksum
from fastvol.formats.ttl import TTL
from fastvol.pb import volume_server_pb2 as pb

Code = grpc.StatusCode
FID = "1,01637037d6"
COOKIE = 0x637037D6


def batch(node: Node, *fids: str, skip: bool = False) -> list[tuple[int, int, str]]:
    """(status, size, error) of each result; the echo of the fids is checked."""
    answer = node.call("BatchDelete", pb.BatchDeleteRequest(file_ids=fids, skip_cookie_check=skip))
    assert [result.file_id for result in answer.results] == list(fids)
    assert not any(result.version for result in answer.results)
    return [(result.status, result.size, result.error) for result in answer.results]


def test_a_needle_is_deleted_with_the_checksum_that_was_read(node: Node) -> None:
    volume = node.store.put(1)
    volume.needles[1] = needle(1, COOKIE, checksum=77)
    assert batch(node, FID) == [(202, 59, "")]
    assert volume.deletions == [(1, COOKIE, 77)]
    assert batch(node, FID) == [(404, 0, "already deleted")]


def test_skipping_the_cookie_check_reads_nothing(node: Node) -> None:
    volume = node.store.put(1)
    volume.needles[1] = needle(1, 0xDEAD, is_chunk_manifest=True)
    assert batch(node, FID, skip=True) == [(202, 59, "")]
    assert volume.deletions == [(1, COOKIE, 0)]
    assert batch(node, FID, skip=True) == [(304, 0, "")]


@pytest.mark.parametrize(
    ("fid", "status", "text"),
    [
        ("nocomma", 400, "Wrong fid format."),
        (",01637037d6", 400, "Wrong fid format."),
        ("", 400, "Wrong fid format."),
        ("1,short", 400, "Invalid fid: short"),
        ("1,00000000000000000637037d6", 400, "KeyHash is too long."),
        (
            "1,01637037d6_x",
            400,
            'strconv.ParseUint: parsing "x": invalid syntax',
        ),
        (
            "1,zz637037d6",
            400,
            "Parse needleId error: needle id zz format error: "
            'strconv.ParseUint: parsing "zz": invalid syntax',
        ),
        (FID, 404, "not found"),
        ("9,01637037d6", 404, "volume 9 not found"),
        ("abc,01637037d6", 404, "volume 0 not found"),
        ("4294967299,01637037d6", 404, "volume 3 not found"),
        ("99999999999999999999999,01637037d6", 404, "volume 4294967295 not found"),
        ("1,02637037d7", 400, "File Random Cookie does not match."),
        ("1,03637037d6", 406, "ChunkManifest: not allowed in batch delete mode."),
        ("1,04637037d6", 404, "checksum"),
    ],
)
def test_each_refusal_has_its_status_and_text(node: Node, fid: str, status: int, text: str) -> None:
    volume = node.store.put(1)
    volume.needles = {
        2: needle(2, COOKIE),
        3: needle(3, COOKIE, is_chunk_manifest=True),
        4: NeedleCorruptedError("checksum"),
    }
    assert batch(node, fid) == [(status, 0, text)]
    assert volume.deletions == []


@pytest.mark.parametrize(
    ("fid", "status", "text"),
    [
        ("9,01637037d6", 500, "volume 9 not found on 127.0.0.1:23080"),
        ("1,02637037d6", 500, "volume 1 is read only"),
        ("1,03637037d6", 500, "I/O error"),
        ("1,37d6", 400, "KeyHash is too short."),
        (
            "1,01637037d6_1",
            400,
            "Parse cookie error: needle cookie 7037d6_1 format error: "
            'strconv.ParseUint: parsing "7037d6_1": invalid syntax',
        ),
    ],
)
def test_refusals_without_the_cookie_check(node: Node, fid: str, status: int, text: str) -> None:
    node.store.put(1).needles = {
        2: VolumeReadOnlyError("volume 1 is read only"),
        3: DiskIOError("I/O error"),
    }
    assert batch(node, fid, skip=True) == [(status, 0, text)]


def test_a_delta_names_a_later_needle(node: Node) -> None:
    node.store.put(1).needles[3] = needle(3, COOKIE)
    assert batch(node, FID + "_2") == [(202, 59, "")]


def test_a_bad_fid_does_not_stop_the_batch(node: Node) -> None:
    volume = node.store.put(1)
    volume.needles = {1: needle(1, COOKIE), 2: needle(2, COOKIE)}
    results = batch(node, "bad", FID, "1,0100000000", "1,02637037d6", FID)
    assert [status for status, _, _ in results] == [400, 202, 404, 202, 404]


def test_an_empty_file_is_deleted_under_any_cookie_and_answers_not_modified(node: Node) -> None:
    volume = node.store.put(1)
    volume.needles[1] = needle(1, 0, size=0, checksum=0)
    assert batch(node, FID) == [(304, 0, "")]
    assert volume.deletions == [(1, COOKIE, 0)]


def test_an_empty_batch_is_an_empty_answer(node: Node) -> None:
    assert batch(node) == []


def status(node: Node, key: int) -> Any:
    return node.call("VolumeNeedleStatus", pb.VolumeNeedleStatusRequest(volume_id=7, needle_id=key))


def test_needle_status_tells_what_the_record_says(node: Node) -> None:
    node.store.put(7).needles = {
        1: needle(1, 2864434397, size=71, ttl=TTL.parse("7d")),
        2: needle(2, 0, size=0, checksum=0, last_modified=0),
    }
    assert status(node, 1) == pb.VolumeNeedleStatusResponse(
        needle_id=1,
        cookie=2864434397,
        size=71,
        last_modified=1795335350,
        crc=1416036222,
        ttl="1w",
    )
    assert status(node, 2) == pb.VolumeNeedleStatusResponse(needle_id=2, crc=2726488792)


@pytest.mark.parametrize(
    ("volume_id", "key", "found"),
    [
        (8, 1, (Code.UNKNOWN, "volume not found 8")),
        (7, 1, (Code.NOT_FOUND, "needle not found 1")),
        (7, 2, (Code.UNKNOWN, "already deleted")),
        (7, 3, (Code.UNKNOWN, "data corrupted")),
    ],
)
def test_needle_status_refusals(
    node: Node, volume_id: int, key: int, found: tuple[grpc.StatusCode, str]
) -> None:
    node.store.put(7).needles = {2: None, 3: NeedleCorruptedError("data corrupted")}
    request = pb.VolumeNeedleStatusRequest(volume_id=volume_id, needle_id=key)
    assert node.refusal("VolumeNeedleStatus", request) == found


@pytest.mark.parametrize(
    ("stored", "masked"),
    [(0x0A5358F2, 1416036222), (0xC99465AA, 1842904576), (0, 2726488792)],
)
def test_checksums_are_masked_as_upstream_masks_them(stored: int, masked: int) -> None:
    assert legacy_checksum(stored) == masked
