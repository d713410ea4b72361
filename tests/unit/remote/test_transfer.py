"""Whole files to a bucket and back: nothing half done stays, whatever ends it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from bucket_kit import MemoryBucket

from fastvol.errors import ClientGoneError, RemoteStorageError
from fastvol.limits import GIB, MIB
from fastvol.remote import transfer
from fastvol.remote.bucket import BrokenOffError, Bucket
from fastvol.remote.transfer import TransferControl, download, part_bytes, upload

DATA = random.Random(5).randbytes(100_000)


@pytest.fixture(name="bucket")
def bucket_fixture() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture(name="fd")
def fd_fixture(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


@pytest.fixture(name="small_parts")
def small_parts_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "REMOTE_PART_BYTES", 9000)


def up(bucket: MemoryBucket, fd: int, control: TransferControl | None = None) -> None:
    upload(cast(Bucket, bucket), "key", fd, len(DATA), control or TransferControl(3))


def down(bucket: MemoryBucket, fd: int, control: TransferControl | None = None) -> None:
    download(cast(Bucket, bucket), "key", fd, len(DATA), control or TransferControl(3))


def test_parts_grow_until_there_are_few_enough() -> None:
    assert part_bytes(1) == part_bytes(64_000 * MIB) == 64 * MIB
    assert part_bytes(64_000 * MIB + 1) == 256 * MIB
    assert part_bytes(1000 * GIB) == 1024 * MIB


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_file_comes_back(
    bucket: MemoryBucket, fd: int, in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_parts:
        monkeypatch.setattr(transfer, "REMOTE_PART_BYTES", 9000)
    told: list[int] = []

    def tell(done: int) -> bool:
        told.append(done)
        return True

    up(bucket, fd, TransferControl(3, tell))
    assert bucket.objects == {"key": DATA}
    assert not bucket.uploads
    assert told == sorted(told)
    assert told[-1] == len(DATA)
    told.clear()
    os.ftruncate(fd, 0)
    down(bucket, fd, TransferControl(3, tell))
    assert os.pread(fd, len(DATA) + 1, 0) == DATA
    assert told == sorted(told)
    assert told[-1] == len(DATA)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("request_", ["upload_part", "end_upload"])
def test_an_upload_that_fails_leaves_nothing(bucket: MemoryBucket, fd: int, request_: str) -> None:
    bucket.fail(request_)
    with pytest.raises(RemoteStorageError, match="failed"):
        up(bucket, fd)
    assert not bucket.objects
    assert not bucket.uploads


@pytest.mark.usefixtures("small_parts")
def test_a_caller_who_leaves_ends_it(bucket: MemoryBucket, fd: int) -> None:
    with pytest.raises(ClientGoneError):
        up(bucket, fd, TransferControl(3, lambda done: done < 30_000))
    assert not bucket.objects
    assert not bucket.uploads
    up(bucket, fd)
    with pytest.raises(ClientGoneError):
        down(bucket, fd, TransferControl(3, lambda done: done < 30_000))


@pytest.mark.usefixtures("small_parts")
def test_a_download_goes_on_where_it_broke_off(bucket: MemoryBucket, fd: int) -> None:
    up(bucket, fd)
    os.ftruncate(fd, 0)
    count = 0

    def sometimes(request: str) -> None:
        nonlocal count
        count += request == "piece"
        if request == "piece" and count % 5 == 0:
            raise BrokenOffError("broken off")

    bucket.before = sometimes
    down(bucket, fd, TransferControl(1))
    assert os.pread(fd, len(DATA), 0) == DATA


def test_an_object_that_is_too_short_is_an_error(bucket: MemoryBucket, fd: int) -> None:
    bucket.objects["key"] = DATA[:-1]
    with pytest.raises(RemoteStorageError, match="ends at 99999, not at 100000"):
        down(bucket, fd)


def test_a_file_that_is_too_short_is_an_error(bucket: MemoryBucket, fd: int) -> None:
    os.ftruncate(fd, 10)
    with pytest.raises(OSError, match="the file ends at 10"):
        up(bucket, fd)
    assert not bucket.objects
