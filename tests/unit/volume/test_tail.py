"""Following a volume, and applying on another what it sent."""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from volume_kit import create, dat_of, named, needle, open_volume, records, rows

from fastvol.errors import (
    CookieMismatchError,
    NeedleCorruptedError,
    NeedleNotFoundError,
    StorageError,
    VolumeDamagedError,
    VolumeReadOnlyError,
)
from fastvol.formats.needle import Needle, encode
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.files import VolumeFiles
from fastvol.volume.received import (
    Applied,
    RecordAssembler,
    apply_incremental,
    apply_record,
)
from fastvol.volume.scrub import ScrubMode, scrub_files
from fastvol.volume.tail import (
    TailCursor,
    incremental_chunks,
    incremental_range,
)
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

LARGE = 5 << 20
VACUUM_COOKIE = 0x12345678


def files_of(directory: Path) -> VolumeFiles:
    return VolumeFiles.of(directory, directory, "", 7)


@pytest.fixture(name="source")
def source_fixture(tmp_path: Path) -> Iterator[Volume]:
    (tmp_path / "source").mkdir()
    volume = create(tmp_path / "source")
    for key in range(1, 10):
        volume.write(named(key, bytes([key]) * key * 11))
    volume.delete(4, 44, 0x1234)
    volume.write(named(2, b"again"))
    volume.write(needle(11, b""))
    yield volume
    volume.close()


@pytest.fixture(name="target")
def target_fixture(tmp_path: Path) -> Iterator[Volume]:
    (tmp_path / "target").mkdir()
    volume = create(tmp_path / "target")
    yield volume
    volume.close()


def sent_since(volume: Volume, since_ns: int) -> list[pb.VolumeTailSenderResponse]:
    return decoded(TailCursor(volume, since_ns).next_messages())


def decoded(messages: Iterable[bytes]) -> list[pb.VolumeTailSenderResponse]:
    return [pb.VolumeTailSenderResponse.FromString(message) for message in messages]


def assembled(chunks: Iterable[pb.VolumeTailSenderResponse]) -> list[bytes]:
    assembler = RecordAssembler()
    found = []
    for chunk in chunks:
        header, body, is_last = chunk.needle_header, chunk.needle_body, chunk.is_last_chunk
        assert chunk.version == 3
        assert len(header) == 16
        assert 0 < len(body) <= 2 << 20
        record = assembler.add(header, body, is_last=is_last)
        assert (record is None) != is_last
        if record is not None:
            found.append(record)
    return found


def path_of(volume: Volume) -> Path:
    return volume.directory / "7.dat"


def same(a: Volume, b: Volume, keys: range) -> bool:
    return [content(a, key) for key in keys] == [content(b, key) for key in keys]


def content(volume: Volume, key: int) -> object:
    try:
        found = volume.read(key)
    except NeedleNotFoundError:
        return None
    return bytes(found.data), found.cookie, found.name, found.mime, found.last_modified


# --- sending --------------------------------------------------------------------------------------


def test_records_are_sent_as_they_lie(source: Volume) -> None:
    stored = path_of(source).read_bytes()
    assert b"".join(assembled(sent_since(source, 0))) == stored[8:]
    times = [n.append_at_ns for _, n in records(stored)]
    sent = assembled(sent_since(source, times[5]))
    assert b"".join(sent) == stored[-len(b"".join(sent)) :]
    assert len(sent) == len(times) - 6
    assert assembled(sent_since(source, times[-1])) == []


def test_large_records_come_in_pieces(source: Volume) -> None:
    before = source.last_append_at_ns
    source.write(named(50, os.urandom(LARGE)))
    chunks = list(sent_since(source, before))
    assert [chunk.is_last_chunk for chunk in chunks] == [False, False, True]
    assert len(chunks[0].needle_body) == 2 << 20
    (record,) = assembled(chunks)
    assert record == path_of(source).read_bytes()[-len(record) :]


def test_raw_bytes_end_at_the_size_of_the_start(source: Volume) -> None:
    stored = path_of(source).read_bytes()
    assert incremental_range(source, 0) == (8, len(stored))
    assert incremental_range(source, source.last_append_at_ns) is None
    chunks = incremental_chunks(source, 0)
    first = next(chunks)
    source.write(named(60, b"later"))
    assert first + b"".join(chunks) == stored[8:]
    assert list(incremental_chunks(source, 2**64 - 1)) == []


def test_a_cursor_goes_on_where_it_was(source: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = TailCursor(source, 0)
    assert len(assembled(decoded(cursor.next_messages()))) == 12
    assert cursor.newest_ns == source.last_append_at_ns
    monkeypatch.setattr("fastvol.volume.tail.find_first_since", None)  # needs no search again
    assert list(cursor.next_messages()) == []
    source.write(named(61, b"new"))
    source.delete(1, 0, 0)
    assert len(assembled(decoded(cursor.next_messages()))) == 2
    assert list(cursor.next_messages()) == []


def test_a_cursor_outlives_a_vacuum(source: Volume) -> None:
    cursor = TailCursor(source, 0)
    list(cursor.next_messages())
    assert source.compact(VacuumPlan()) is not None
    source.write(named(62, b"meanwhile"))
    assert source.commit_compaction()
    source.write(named(63, b"afterwards"))
    keys = [int.from_bytes(record[4:12]) for record in assembled(decoded(cursor.next_messages()))]
    assert keys[-2:] == [62, 63]
    assert list(cursor.next_messages()) == []


def test_a_round_broken_off_leaves_nothing_out(source: Volume) -> None:
    cursor = TailCursor(source, 0)
    messages = cursor.next_messages()
    for _ in range(3):
        next(messages)
    messages.close()
    sent = assembled(decoded(cursor.next_messages()))
    assert b"".join(sent) == path_of(source).read_bytes()[8:]


def test_a_header_that_leads_nowhere_is_told(source: Volume) -> None:
    offset = list(records(path_of(source).read_bytes()))[7][0]
    with path_of(source).open("r+b") as file:
        file.seek(offset + 12)
        file.write(b"\xff")
    cursor = TailCursor(source, 0)
    sent = []
    with pytest.raises(NeedleCorruptedError, match=f"at offset {offset} leads nowhere"):
        sent.extend(cursor.next_messages())
    assert len(sent) == 7


def test_readers_and_a_writer(source: Volume) -> None:
    """What is sent while a writer is at work is whole, and in the end it is all."""
    stop = threading.Event()

    def write() -> None:
        key = 1000
        while not stop.is_set():
            key += 1
            source.write(needle(key, b"data" * (key % 50)))

    writer = threading.Thread(target=write)
    cursor = TailCursor(source, 0)
    writer.start()
    sent = []
    try:
        for _ in range(50):
            sent += assembled(decoded(cursor.next_messages()))
    finally:
        stop.set()
        writer.join()
    sent += assembled(decoded(cursor.next_messages()))
    assert b"".join(sent) == path_of(source).read_bytes()[8:]


# --- single records -------------------------------------------------------------------------------


def test_a_tail_makes_the_same_needles(source: Volume, target: Volume) -> None:
    did = [apply_record(target, record) for record in assembled(sent_since(source, 0))]
    assert did[:9] == [Applied.WRITTEN] * 9
    assert did[9:] == [Applied.DELETED, Applied.WRITTEN, Applied.EMPTIED]
    assert same(source, target, range(12))
    for record in assembled(sent_since(source, 0))[4:9]:
        assert apply_record(target, record) is Applied.UNCHANGED


def test_tombstones_of_what_is_not_there_are_kept(source: Volume, target: Volume) -> None:
    """A follower that begins late, or hears of a deletion again, ends at the sender's sizes."""
    fourth, fifth = [n for _, n in records(path_of(source).read_bytes())][3:5]
    source.delete(5, 55, fifth.checksum)
    for record in assembled(sent_since(source, fourth.append_at_ns)):
        apply_record(target, record)
    keys = [row.key for row in rows(target.directory / "7.idx") if row.size == -1]
    assert keys == [4, 5]
    assert same(source, target, range(4, 12))
    tombstone = encode(Needle(4, 44, checksum=0x1234), 3)
    for _ in range(2):
        before = target.dat_size
        assert apply_record(target, tombstone) is Applied.DELETED
        assert target.dat_size == before + len(tombstone)
    sent = assembled(sent_since(target, 0))
    assert [int.from_bytes(record[4:12]) for record in sent[-2:]] == [4, 4]


def test_a_vacuums_tombstone_of_what_was_deleted_here(target: Volume) -> None:
    target.write(needle(1, b"content", cookie=5))
    target.delete(1, 5, 0)
    record = encode(Needle(1, VACUUM_COOKIE), 3)
    assert apply_record(target, record) is Applied.DELETED
    assert content(target, 1) is None


def test_a_volume_that_takes_only_deletions_takes_no_tail(target: Volume) -> None:
    target.write(needle(1, b"content", cookie=5))
    target.mark_read_only(can_delete=True, persist=False)
    for key in (1, 2):
        with pytest.raises(VolumeReadOnlyError):
            apply_record(target, encode(Needle(key, 5, checksum=77), 3))
    assert content(target, 1) is not None


def test_another_cookie_is_refused_and_none_is_taken_over(target: Volume) -> None:
    target.write(needle(1, b"old", cookie=5))
    with pytest.raises(CookieMismatchError, match=r"^mismatching cookie 6$"):
        apply_record(target, encode(needle(1, b"new", cookie=6), 3))
    assert apply_record(target, encode(needle(1, b"new", cookie=0), 3)) is Applied.WRITTEN
    assert (bytes(target.read(1).data), target.read(1).cookie) == (b"new", 5)


@pytest.mark.parametrize(
    ("known", "cookie", "checksum", "did", "readable"),
    [
        (b"content", 5, 0, Applied.DELETED, False),  # whatever it is, the content is gone
        (b"content", 5, 77, Applied.DELETED, False),
        (None, 5, 0, Applied.EMPTIED, True),  # an upload of nothing
        (b"", 5, 0, Applied.EMPTIED, True),
        (None, 5, 77, Applied.DELETED, False),  # deletions carry the checksum of what they deleted
        (None, 0, 0, Applied.DELETED, False),  # or nothing at all
        (b"", 0, 0, Applied.DELETED, False),
        (b"content", VACUUM_COOKIE, 0, Applied.DELETED, False),
        (None, VACUUM_COOKIE, 0, Applied.DELETED, False),  # made by a vacuum there
    ],
)
def test_records_without_content(
    target: Volume, known: bytes | None, cookie: int, checksum: int, did: Applied, readable: bool
) -> None:
    if known is not None:
        target.write(needle(1, known, cookie=9 if cookie in (0, VACUUM_COOKIE) else cookie))
    before = target.dat_size, target.idx_size
    record = encode(Needle(1, cookie, checksum=checksum), 3)
    assert apply_record(target, record) is did
    assert (content(target, 1) is not None) == readable
    assert (target.dat_size, target.idx_size) == (before[0] + len(record), before[1] + 17)


def test_records_that_are_none(target: Volume) -> None:
    record = bytearray(encode(needle(1, b"payload"), 3))
    record[21] ^= 1
    for bad in (b"", b"short", bytes(record), bytes(record)[:-9], b"\xff" * 40):
        with pytest.raises(NeedleCorruptedError):
            apply_record(target, bad)
    assert target.is_empty()
    target.mark_read_only(can_delete=False, persist=False)
    with pytest.raises(VolumeReadOnlyError):
        apply_record(target, encode(needle(1, b"payload"), 3))


def test_records_of_version_2_and_heartbeats(target: Volume) -> None:
    assembler = RecordAssembler()
    assert assembler.add(b"", b"", is_last=True) is None
    record = encode(needle(1, b"payload"), 2)
    assert assembler.add(record[:16], record[16:20], is_last=False) is None
    assert assembler.add(b"", b"", is_last=True) is None
    assert assembler.add(record[:16], record[20:], is_last=True) == record
    assert apply_record(target, record, 2) is Applied.WRITTEN


# --- raw bytes ------------------------------------------------------------------------------------


def copied(source: Volume, target: Path, since_ns: int, keep: int | None = None) -> None:
    sent = b"".join(incremental_chunks(source, since_ns))[:keep]
    pieces = [sent[at : at + 100] for at in range(0, len(sent), 100)]
    apply_incremental(files_of(target), pieces)


def test_incremental_copies_end_up_equal(source: Volume, target: Volume) -> None:
    directory = target.directory
    target.close()
    moment = source.last_append_at_ns
    copied(source, directory, 0)
    source.write(named(70, b"more"))
    source.delete(70, 0, 0)
    copied(source, directory, moment)
    assert dat_of(directory) == path_of(source).read_bytes()
    theirs, ours = (rows(d / "7.idx") for d in (source.directory, directory))
    assert len(ours) == len(theirs)
    # An empty file and a tombstone look alike in the data.
    assert [r for r in ours if r.key != 11] == [r for r in theirs if r.key != 11]
    assert scrub_files(files_of(directory), ScrubMode.FULL).details == []


def test_a_torn_end_is_cut_and_comes_again(source: Volume, target: Volume) -> None:
    directory = target.directory
    target.close()
    whole = path_of(source).read_bytes()
    for keep in (3, 500, 501, 530, len(whole) - 9):
        sent = whole[8 : 8 + keep]
        target_files = files_of(directory)
        have = len(dat_of(directory))
        done = apply_incremental(target_files, [sent[have - 8 :]])
        assert done.received - done.dropped == done.dat_size - have
        assert dat_of(directory) == whole[: done.dat_size]
        assert scrub_files(target_files, ScrubMode.FULL).details == []
    apply_incremental(files_of(directory), [whole[len(dat_of(directory)) :]])
    assert dat_of(directory) == whole


def test_every_crash_is_made_good_by_the_next_run(source: Volume, target: Volume) -> None:
    """The data is longer than its rows, by whole and by torn records; or a row is half written."""
    directory = target.directory
    target.close()
    whole = path_of(source).read_bytes()
    dat, idx = directory / "7.dat", directory / "7.idx"
    apply_incremental(files_of(directory), [whole[8:]])
    wanted = idx.read_bytes()
    for dat_size in range(8, len(whole), 61):
        for idx_size in (0, 17, 20):
            if idx_size and dat_size < 8 + 64:
                continue
            dat.write_bytes(whole[:dat_size])
            idx.write_bytes(wanted[:idx_size])
            start = apply_incremental(files_of(directory), []).dat_size
            assert start <= dat_size
            apply_incremental(files_of(directory), [whole[start:]])
            assert (dat.read_bytes(), idx.read_bytes()) == (whole, wanted)


def test_bytes_that_are_no_records_change_nothing(source: Volume, target: Volume) -> None:
    directory = target.directory
    target.close()
    apply_incremental(files_of(directory), [path_of(source).read_bytes()[8:300]])
    before = dat_of(directory), (directory / "7.idx").read_bytes()
    record = encode(named(90, b"good"), 3)
    with pytest.raises(NeedleCorruptedError, match="the bytes received have a record that is cut"):
        apply_incremental(files_of(directory), [record, b"\xff" * 64, record])
    assert (dat_of(directory), (directory / "7.idx").read_bytes()) == before
    done = apply_incremental(files_of(directory), [b"garbage" * 100])
    assert (done.records, done.dropped) == (0, 700)
    assert (dat_of(directory), (directory / "7.idx").read_bytes()) == before


def test_a_source_that_breaks_off(source: Volume, target: Volume) -> None:
    """What came until then stays, as whole records, once the next run has looked."""
    directory = target.directory
    target.close()
    whole = path_of(source).read_bytes()

    def chunks() -> Iterator[bytes]:
        yield whole[8:600]
        raise StorageError("connection lost")

    with pytest.raises(StorageError, match="connection lost"):
        apply_incremental(files_of(directory), chunks())
    apply_incremental(files_of(directory), [whole[len(dat_of(directory)) :]])
    reopened = open_volume(directory)
    assert not reopened.read_only
    assert scrub_files(files_of(directory), ScrubMode.FULL).details == []
    reopened.close()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(VolumeDamagedError):
        apply_incremental(files_of(tmp_path), [b"x"])
