"""The fast write and the complete write give the same answers and the same bytes on disk."""

from __future__ import annotations

import itertools
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.live_plane import LivePlane

BOUNDARY = "0123456789abcdef" * 3
VARYING = re.compile(rb"(?:Date|X-Amz-Request-Id): [^\r]*\r\n")
TS = 1700000000


@pytest.fixture(name="planes", scope="module")
def planes_fixture(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LivePlane, LivePlane]]:
    """(with the fast write, without it), each with a plain, a TTL and a replicated volume."""
    with (
        LivePlane(tmp_path_factory.mktemp("fast")) as fast,
        LivePlane(tmp_path_factory.mktemp("complete"), fast_write=False) as complete,
    ):
        for plane in (fast, complete):
            plane.add_volume(1)
            plane.add_volume(2, ttl="3d")
            plane.add_volume(3, replication="001")
        yield fast, complete


def upload(
    path: str, data: bytes, *, filename: str, content_type: str | None, quoted: bool = False
) -> bytes:
    """A POST in the shape of the Go client, or of curl when ``quoted``."""
    name = f'"{filename}"' if quoted else filename
    part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; filename={name}; name=file\r\n"
    if content_type is not None:
        part += f"Content-Type: {content_type}\r\n"
    body = part.encode() + b"\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: test\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    return head.encode() + body


def fixed(response: bytes) -> bytes:
    return VARYING.sub(b"", response)


def record_of(directory: Path, volume_id: int, start: int) -> bytes:
    """The last record, without its append time."""
    raw = (directory / f"{volume_id}.dat").read_bytes()[start:]
    size = int.from_bytes(raw[12:16])
    return raw[: 16 + size + 4] + raw[16 + size + 12 :]


CASES = list(
    itertools.product(
        ["a.bin", "photo.jpg", "b", "x.unknown", ".", "n.png"],
        [None, "", "application/octet-stream", "image/png", "application/x-foo", "app/x; a=b"],
        [b"\x00binary", os.urandom(1000), os.urandom(40_000)],
    )
)


def test_every_plain_upload_agrees_and_is_served_by_the_core(
    planes: tuple[LivePlane, LivePlane], tmp_path: Path
) -> None:
    fast, complete = planes
    before = fast.counts().post_201
    served_by_python = 0
    for number, (filename, content_type, data) in enumerate(CASES, start=0x1000):
        volume_id = 1 + number % 2
        path = f"/{volume_id},{number:x}0000abcd?ts={TS}"
        request = upload(path, data, filename=filename, content_type=content_type)
        starts = [plane.store.table[volume_id].dat_size for plane in planes]
        counted = fast.counts().post_201
        answers = [plane.exchange(request) for plane in planes]
        served_by_python += fast.counts().post_201 == counted
        assert fixed(answers[0]) == fixed(answers[1]), (filename, content_type, len(data))
        assert answers[0].startswith(b"HTTP/1.1 201 ")
        records = [
            record_of(plane.store.table[volume_id].directory, volume_id, start)
            for plane, start in zip(planes, starts, strict=True)
        ]
        assert records[0] == records[1], (filename, content_type, len(data))
    assert fast.counts().post_201 - before + served_by_python == len(CASES)
    # An empty Content-Type line is the only case of the table that the core leaves alone.
    assert served_by_python <= len(CASES) // 3
    assert complete.counts().post_201 == 0


def test_unchanged_upload_is_204_from_both(planes: tuple[LivePlane, LivePlane]) -> None:
    request = upload(
        f"/1,77700000abcd?ts={TS}", b"\x01same", filename="s.bin", content_type="application/x-s"
    )
    for plane in planes:
        plane.exchange(request)
    counted = planes[0].counts().post_204
    answers = [plane.exchange(request) for plane in planes]
    assert answers[0].startswith(b"HTTP/1.1 204 ")
    assert fixed(answers[0]) == fixed(answers[1])
    assert planes[0].counts().post_204 == counted + 1


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/1,88800000abcd?ts=1&ttl=3m", "a TTL of its own"),
        ("/1,88900000abcd?ts=1&fsync=true", "durability"),
        ("/1,88a00000abcd?ts=1&cm=true", "a chunk manifest"),
        ("/3,88b00000abcd?ts=1", "copies elsewhere"),
        ("/9,88c00000abcd?ts=1", "no such volume"),
        ("/1,88d0000?ts=1", "a bad file id"),
        ("/1,88e00000abcd?ts=1&x=%zz", "a bad query"),
    ],
)
def test_uploads_that_ask_for_more_agree(
    planes: tuple[LivePlane, LivePlane], path: str, why: str
) -> None:
    request = upload(path, b"\x02more", filename="m.bin", content_type="application/x-m")
    counted = planes[0].counts().post_201
    answers = [plane.exchange(request).replace(b"%d" % plane.port, b"PORT") for plane in planes]
    if b"Content-Length" in answers[0] and b"PORT" in answers[0]:
        answers = [re.sub(rb"Content-Length: \d+", b"", answer) for answer in answers]
    assert fixed(answers[0]) == fixed(answers[1]), why
    assert planes[0].counts().post_201 == counted, why


def test_replica_copy_is_stored_by_the_core(planes: tuple[LivePlane, LivePlane]) -> None:
    request = upload(
        f"/3,99900000abcd?ts={TS}&ttl=&type=replicate",
        b"text that a primary has compressed or not",
        filename="r.txt",
        content_type="text/plain",
    )
    counted = planes[0].counts().post_201
    answers = [plane.exchange(request) for plane in planes]
    assert fixed(answers[0]) == fixed(answers[1])
    assert planes[0].counts().post_201 == counted + 1


def test_text_is_compressed_by_the_complete_write(planes: tuple[LivePlane, LivePlane]) -> None:
    text = b"compress me " * 50
    request = upload(f"/1,aaa00000abcd?ts={TS}", text, filename="t.txt", content_type="text/plain")
    answers = [plane.exchange(request) for plane in planes]
    assert fixed(answers[0]) == fixed(answers[1])
    stored = planes[0].store.table[1].read(0xAAA0)
    assert stored.is_compressed
    assert zlib.decompress(bytes(stored.data), 31) == text


def test_wrong_cookie_is_refused_by_both(planes: tuple[LivePlane, LivePlane]) -> None:
    first = upload(f"/1,bbb00000abcd?ts={TS}", b"\x03a", filename="c", content_type="a/b")
    other = upload(f"/1,bbb00000abce?ts={TS}", b"\x03b", filename="c", content_type="a/b")
    for plane in planes:
        plane.exchange(first)
    answers = [plane.exchange(other) for plane in planes]
    assert fixed(answers[0]) == fixed(answers[1])
    assert b"mismatching cookie abce" in answers[0]
