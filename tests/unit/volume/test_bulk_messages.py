"""All needles of a volume, as messages made in C: what protobuf makes of them is what was stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_kit import create, records

from fastvol._cffi.crc32c import crc32c
from fastvol.errors import VolumeClosedError
from fastvol.formats.needle import Needle, legacy_checksum
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.live_needles import live_needle_messages
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

LARGE = (1 << 20) + 77

stored = st.builds(
    dict,
    id=st.one_of(st.integers(1, 9), st.integers(1, 2**64 - 1)),  # 0: space never written
    cookie=st.integers(0, 2**32 - 1),
    data=st.one_of(st.binary(max_size=40), st.integers(0, 70_000).map(lambda size: b"z" * size)),
    name=st.binary(max_size=255),
    mime=st.binary(max_size=255),
    compressed=st.booleans(),
    last_modified=st.integers(0, 2**40 - 1),
)


def needle_of(fields: dict[str, object]) -> Needle:
    made = {name: value for name, value in fields.items() if name != "compressed"}
    needle = Needle(**made, checksum=crc32c(fields["data"]))  # type: ignore[arg-type]
    needle.flags = Needle.HAS_NAME | Needle.HAS_MIME | Needle.HAS_LAST_MODIFIED
    needle.flags |= Needle.IS_COMPRESSED if fields["compressed"] else 0
    return needle


def sent(volume: Volume) -> list[pb.ReadAllNeedlesResponse]:
    return [pb.ReadAllNeedlesResponse.FromString(m) for m in live_needle_messages(volume)]


def expected(volume: Volume, fields: dict[str, object]) -> pb.ReadAllNeedlesResponse:
    message = pb.ReadAllNeedlesResponse(
        volume_id=volume.id,
        needle_id=fields["id"],
        cookie=fields["cookie"],
        needle_blob=fields["data"],
        crc=legacy_checksum(crc32c(fields["data"])),
    )
    if fields["data"] and volume.version > 1:
        message.name, message.mime = fields["name"], fields["mime"]
        message.needle_blob_compressed = fields["compressed"]
        message.last_modified = fields["last_modified"]
    return message


@settings(max_examples=60, deadline=None)
@given(
    objects=st.lists(stored, max_size=40),
    deleted=st.sets(st.integers(1, 9)),
    version=st.sampled_from((1, 2, 3)),
)
def test_messages_tell_what_was_stored(
    tmp_path_factory: pytest.TempPathFactory,
    objects: list[dict[str, object]],
    deleted: set[int],
    version: int,
) -> None:
    volume = create(tmp_path_factory.mktemp("bulk"), version=version)
    alive: dict[object, dict[str, object]] = {}
    for fields in objects:
        if fields["id"] in alive:  # another cookie is refused
            fields["cookie"] = alive[fields["id"]]["cookie"]
        if not volume.write(needle_of(fields)).unchanged:
            alive.pop(fields["id"], None)
            alive[fields["id"]] = fields
    for key in deleted:
        volume.delete(key, 0, 0)
        alive.pop(key, None)
    assert sent(volume) == [expected(volume, fields) for fields in alive.values()]
    volume.close()


def test_a_needle_larger_than_the_buffer(tmp_path: Path) -> None:
    volume = create(tmp_path)
    data = os.urandom(LARGE)
    for key, content in ((1, b"before"), (2, data), (3, b"behind")):
        volume.write(Needle(key, 7, content, checksum=crc32c(content)))
    assert [bytes(message.needle_blob) for message in sent(volume)] == [b"before", data, b"behind"]
    volume.close()


def test_what_is_damaged_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = create(tmp_path)
    for key in (1, 2, 3):
        volume.write(Needle(key, 7, b"content", checksum=crc32c(b"content")))
    stored = records((tmp_path / "7.dat").read_bytes())
    offset = next(at for at, needle in stored if needle.id == 2)
    with (tmp_path / "7.dat").open("r+b") as file:
        file.seek(offset + 16)
        file.write(b"\xff\xff\xff\xff")  # its data size leaves the record
    assert [message.needle_id for message in sent(volume)] == [1, 3]
    assert "1 damaged needles are left out, the last is 2" in caplog.text
    volume.close()


def test_the_stream_goes_on_over_a_vacuum(tmp_path: Path) -> None:
    """It has the old files and their map; what is there at the beginning comes."""
    volume = create(tmp_path)
    for key in range(1, 50):
        volume.write(Needle(key, 7, b"content", checksum=crc32c(b"content")))
    messages = live_needle_messages(volume)
    first = pb.ReadAllNeedlesResponse.FromString(next(messages))
    volume.delete(1, 7, 0)
    assert volume.compact(VacuumPlan()) is not None
    assert volume.commit_compaction()
    rest = [pb.ReadAllNeedlesResponse.FromString(message).needle_id for message in messages]
    assert [first.needle_id, *rest] == list(range(1, 50))
    volume.close()
    with pytest.raises(VolumeClosedError):
        next(live_needle_messages(volume))
