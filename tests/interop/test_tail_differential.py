"""What is newer than a moment is what the real server sends of the same files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Server, joined, master_server, started, volume_rpc, volume_server, weed
from daemons import START_SECONDS_MAX, wait_until
from http_calls import CALL_SECONDS_MAX
from scrub_damage import build
from volume_kit import open_volume

from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.files import VolumeFiles
from fastvol.volume.received import apply_incremental
from fastvol.volume.since import find_first_since
from fastvol.volume.tail import TailCursor, incremental_chunks
from fastvol.volume.unrepaired import unrepaired
from fastvol.volume.visitor import visit_records
from fastvol.volume.volume import Volume

pytestmark = pytest.mark.interop

VOLUME = 5


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    base = tmp_path_factory.mktemp("tail")
    data = base / "data"
    data.mkdir()
    build(data, VOLUME)
    master = master_server(base)
    server = volume_server(weed(base), base, data, [master.port])
    with started(master, server):
        server.ready()
        wait_until(lambda: joined(master, server), "it has joined", START_SECONDS_MAX)
        yield server, data


@pytest.fixture(name="twin")
def twin_fixture(server: tuple[Server, Path], tmp_path: Path) -> Iterator[Volume]:
    """The same files, opened by fastvol."""
    for extension in (".dat", ".idx", ".vif"):
        path = server[1] / f"{VOLUME}{extension}"
        (tmp_path / path.name).write_bytes(path.read_bytes())
    volume = open_volume(tmp_path, VOLUME)
    yield volume
    volume.close()


def moments(volume: Volume) -> list[int]:
    fd = volume.native.dat_fd()
    times = [record.append_at_ns for record in visit_records(fd, 8, volume.dat_size, 3)]
    return [0, *times, *(time - 1 for time in times), 2**64 - 1]


def test_incremental_copies_begin_at_the_same_byte(
    server: tuple[Server, Path], twin: Volume
) -> None:
    with volume_rpc(server[0].port) as rpc:
        for moment in moments(twin):
            stream = rpc.VolumeIncrementalCopy(
                pb.VolumeIncrementalCopyRequest(volume_id=VOLUME, since_ns=moment),
                timeout=CALL_SECONDS_MAX,
                wait_for_ready=True,
            )
            theirs = b"".join(answer.file_content for answer in stream)
            assert b"".join(incremental_chunks(twin, moment)) == theirs


def test_tails_send_the_same_pieces(server: tuple[Server, Path], twin: Volume) -> None:
    moment = moments(twin)[2]
    with volume_rpc(server[0].port) as rpc:
        stream = rpc.VolumeTailSender(
            pb.VolumeTailSenderRequest(volume_id=VOLUME, since_ns=moment, idle_timeout_seconds=1),
            timeout=CALL_SECONDS_MAX,
            wait_for_ready=True,
        )
        theirs = [(a.needle_header, a.needle_body, a.is_last_chunk) for a in stream]
    sent = map(pb.VolumeTailSenderResponse.FromString, TailCursor(twin, moment).next_messages())
    ours = [(a.needle_header, a.needle_body, a.is_last_chunk) for a in sent]
    assert ours == [piece for piece in theirs if piece[0]]


def test_a_copy_of_what_it_sends_is_the_same_volume(
    server: tuple[Server, Path], tmp_path: Path
) -> None:
    (tmp_path / "5.dat").write_bytes((server[1] / "5.dat").read_bytes()[:8])
    (tmp_path / "5.idx").touch()
    files = VolumeFiles.of(tmp_path, tmp_path, "", VOLUME)
    with volume_rpc(server[0].port) as rpc:
        stream = rpc.VolumeIncrementalCopy(
            pb.VolumeIncrementalCopyRequest(volume_id=VOLUME, since_ns=0),
            timeout=CALL_SECONDS_MAX,
            wait_for_ready=True,
        )
        apply_incremental(files, (answer.file_content for answer in stream))
    assert (tmp_path / "5.dat").read_bytes() == (server[1] / "5.dat").read_bytes()
    with unrepaired(files) as raw:
        assert find_first_since(raw, 0) == 8
