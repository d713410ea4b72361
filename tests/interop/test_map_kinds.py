"""LevelDB maps and sorted files of one directory, used by turns by fastvol and the real server."""

import hashlib
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    joined,
    master_server,
    started,
    volume_rpc,
    volume_server,
    volume_status,
    weed,
)
from daemons import START_SECONDS_MAX, log_lines, wait_until
from http_calls import CALL_SECONDS_MAX, get, put, request

from fastvol.index.kinds import IndexKind, IndexOptions
from fastvol.pb import volume_server_pb2 as pb
from fastvol.volume.volume import Volume

pytestmark = pytest.mark.interop

VOLUME = 3
COOKIE = "11223344"
LEVELDB = "-index=leveldb"
COUNTS = ("FileCount", "DeleteCount", "DeletedByteCount", "Size", "MaxFileKey")
READERS = 4


def fid(key: int) -> str:
    return f"{VOLUME},{key:x}{COOKIE}"


def content_of(key: int, version: int) -> bytes:
    return hashlib.sha256(b"%d/%d" % (key, version)).digest() * (1 + key % 90)


class Shelf:
    """A directory, what must be in it, and the servers that take turns."""

    def __init__(self, base: Path, master: Server) -> None:
        self.base = base
        self.data = base / "data"
        self.master = master
        self.stored: dict[int, bytes | None] = {}

    @contextmanager
    def served(
        self, *, by_weed: bool, index: str = LEVELDB, kill: bool = False
    ) -> Iterator[Server]:
        program = weed(self.base) if by_weed else FASTVOL
        server = volume_server(program, self.base, self.data, [self.master.port], index)
        with started(server):
            server.ready()
            wait_until(lambda: joined(self.master, server), "it has joined", START_SECONDS_MAX)
            yield server
            if kill:
                server.kill()
            else:
                server.stop()
        if not by_weed:
            assert not log_lines(server.running.errors, "EF"), server.running.errors

    def change(self, server: Server, keys: range, version: int) -> None:
        """Writes them all, and then deletes every fourth."""
        for key in keys:
            data = content_of(key, version)
            assert put(server.port, fid(key), data).status == 201
            self.stored[key] = data
        for key in keys[::4]:
            self.delete(server, key)

    def delete(self, server: Server, key: int) -> None:
        assert request(server.port, "DELETE", f"/{fid(key)}").status == 202
        self.stored[key] = None

    def check(self, server: Server) -> None:
        for key, data in self.stored.items():
            reply = get(server.port, f"/{fid(key)}")
            assert reply.status == (404 if data is None else 200), key
            assert data is None or reply.body == data
        assert get(server.port, f"/{fid(0xABCDEF)}").status == 404

    def counts(self, server: Server) -> Mapping[str, int]:
        status = volume_status(server)[VOLUME]
        return {name: status[name] for name in COUNTS if name in status}

    @property
    def ldb(self) -> Path:
        return self.data / f"{VOLUME}.ldb"

    @property
    def sdx(self) -> Path:
        return self.data / f"{VOLUME}.sdx"


@pytest.fixture(name="master", scope="module")
def master_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = master_server(tmp_path_factory.mktemp("master"))
    with started(server):
        yield server.ready("/dir/status")


@pytest.fixture(name="shelf")
def shelf_fixture(tmp_path: Path, master: Server) -> Shelf:
    (tmp_path / "data").mkdir()
    return Shelf(tmp_path, master)


def create(server: Server) -> None:
    with volume_rpc(server.port) as rpc:
        allocate(rpc, VOLUME)


def mark(server: Server, *, can_delete: bool) -> None:
    with volume_rpc(server.port) as rpc:
        rpc.VolumeMarkReadonly(
            pb.VolumeMarkReadonlyRequest(volume_id=VOLUME, persist=True, can_delete=can_delete),
            timeout=CALL_SECONDS_MAX,
        )


def rows_of(shelf: Shelf) -> int:
    return (shelf.data / f"{VOLUME}.idx").stat().st_size // 17


@pytest.mark.parametrize("weed_first", [True, False], ids=["weed first", "fastvol first"])
def test_leveldb_by_turns(shelf: Shelf, weed_first: bool) -> None:
    """Each goes on with the other's database, and finds all that it wrote and deleted."""
    with shelf.served(by_weed=weed_first) as server:
        create(server)
        shelf.change(server, range(1, 120), 1)
        shelf.check(server)
    assert (shelf.ldb / "CURRENT").exists()
    inode = shelf.ldb.stat().st_ino
    for turn in range(4):
        with shelf.served(by_weed=weed_first == bool(turn % 2)) as server:
            shelf.check(server)
            shelf.change(server, range(1 + turn * 40, 60 + turn * 40), 2 + turn)
            shelf.check(server)
    assert shelf.ldb.stat().st_ino == inode, "a map was thrown away"
    with shelf.served(by_weed=False, index="-index=memory") as server:
        shelf.check(server)
        shelf.change(server, range(300, 320), 9)
    with shelf.served(by_weed=not weed_first) as server:
        shelf.check(server)


def test_a_deleted_empty_file_stays_deleted_there(shelf: Shelf) -> None:
    """The real server would have left it alive in its own database."""
    with shelf.served(by_weed=False) as server:
        create(server)
        shelf.change(server, range(1, 20), 1)
        for key in (50, 51):
            assert put(server.port, fid(key), b"").status == 201
            shelf.stored[key] = b""
        shelf.delete(server, 50)
        shelf.check(server)
    for by_weed in (True, False, True):
        with shelf.served(by_weed=by_weed) as server:
            shelf.check(server)


@pytest.mark.parametrize("killed", ["weed", "fastvol"])
def test_leveldb_of_a_killed_server(shelf: Shelf, killed: str) -> None:
    """The other finds everything that was acknowledged."""
    by_weed = killed == "weed"
    with shelf.served(by_weed=by_weed, kill=True) as server:
        create(server)
        shelf.change(server, range(1, 200), 1)
    with shelf.served(by_weed=not by_weed) as server:
        shelf.check(server)
        shelf.change(server, range(100, 250), 2)
    with shelf.served(by_weed=by_weed) as server:
        shelf.check(server)


@pytest.mark.parametrize("weed_first", [True, False], ids=["weed first", "fastvol first"])
@pytest.mark.parametrize("can_delete", [False, True], ids=["nothing", "deletions"])
def test_sorted_files_by_turns(shelf: Shelf, weed_first: bool, can_delete: bool) -> None:
    """Both read the rows of the other, deletions in them included, and keep a fresh file.

    After a deletion the index and the file may have the same time; then it is made anew.
    """
    with shelf.served(by_weed=weed_first) as server:
        create(server)
        shelf.change(server, range(1, 150), 1)
        mark(server, can_delete=can_delete)
    inode = None
    for turn in range(4):
        with shelf.served(by_weed=weed_first == bool(turn % 2)) as server:
            shelf.check(server)
            status = put(server.port, fid(1000), b"no").status
            assert status >= 400
            if can_delete:
                shelf.delete(server, 2 + turn * 4)
            shelf.check(server)
        if not can_delete:
            assert inode in (None, shelf.sdx.stat().st_ino), "a fresh file was made anew"
            inode = shelf.sdx.stat().st_ino
    assert shelf.sdx.stat().st_size % 17 == 0


def test_counters_at_start_are_exact(shelf: Shelf) -> None:
    """As the real server counts them, but for what its Bloom filter takes for seen."""
    with shelf.served(by_weed=False) as server:
        create(server)
        shelf.change(server, range(1, 150), 1)
        shelf.change(server, range(1, 80), 2)
    with shelf.served(by_weed=False) as server:
        ours = shelf.counts(server)
    assert ours["FileCount"] == rows_of(shelf)
    assert ours["DeleteCount"] == rows_of(shelf) - sum(
        data is not None for data in shelf.stored.values()
    )
    with shelf.served(by_weed=True) as server:
        theirs = shelf.counts(server)
    assert {name: theirs[name] for name in ("FileCount", "Size")} == {
        name: ours[name] for name in ("FileCount", "Size")
    }
    assert 0 <= theirs["DeleteCount"] - ours["DeleteCount"] <= 5


def bury(shelf: Shelf, index: IndexOptions, keys: Sequence[int]) -> None:
    """Tombstones as a tail leaves them, whatever is there."""
    volume = Volume.open(shelf.data, shelf.data, "", VOLUME, default_offset_width=5, index=index)
    for key in keys:
        volume.delete(key, int(COOKIE, 16), 77, always=True)
        shelf.stored[key] = None
    volume.close()


@pytest.mark.parametrize("kind", ["memory", "leveldb"])
def test_tombstones_of_what_is_not_there(shelf: Shelf, kind: IndexKind) -> None:
    """Nobody stumbles over them, and both count the same."""
    index = f"-index={kind}"
    with shelf.served(by_weed=True, index=index) as server:
        create(server)
        shelf.change(server, range(1, 60), 1)
    bury(shelf, IndexOptions(kind), [1, 5, 2, 7000, 7000, 9000])
    counts = []
    for by_weed in (True, False, True):
        with shelf.served(by_weed=by_weed, index=index) as server:
            shelf.check(server)
            counts.append(shelf.counts(server))
    if kind == "memory":  # the other one's Bloom filter guesses
        assert counts[0] == counts[1] == counts[2]
    with shelf.served(by_weed=True, index=index) as server:
        shelf.change(server, range(6999, 7001), 2)
        shelf.check(server)


def test_a_live_server_over_leveldb(shelf: Shelf) -> None:
    """Readers, a writer and vacuums at once: no answer is wrong, and none fails."""
    with shelf.served(by_weed=False) as server:
        create(server)
        shelf.change(server, range(1, 150), 1)
        stop = threading.Event()
        errors: list[BaseException] = []
        keys = list(shelf.stored)

        def read(seed: int) -> None:
            chance = random.Random(seed)
            try:
                while not stop.is_set():
                    key = chance.choice(keys)
                    reply = get(server.port, f"/{fid(key)}")
                    data = shelf.stored[key]
                    assert reply.status == (404 if data is None else 200)
                    assert data is None or reply.body == data
            except BaseException as error:
                errors.append(error)

        readers = [threading.Thread(target=read, args=(seed,)) for seed in range(READERS)]
        for reader in readers:
            reader.start()
        with volume_rpc(server.port) as rpc:
            for turn in range(3):
                for key in range(1000 + turn * 20, 1020 + turn * 20):
                    data = content_of(key, 1)
                    assert put(server.port, fid(key), data).status == 201
                    shelf.stored[key] = data
                for _ in rpc.VacuumVolumeCompact(
                    pb.VacuumVolumeCompactRequest(volume_id=VOLUME), timeout=CALL_SECONDS_MAX
                ):
                    pass
                rpc.VacuumVolumeCommit(
                    pb.VacuumVolumeCommitRequest(volume_id=VOLUME), timeout=CALL_SECONDS_MAX
                )
        stop.set()
        for reader in readers:
            reader.join(CALL_SECONDS_MAX)
        assert not errors
        shelf.check(server)
    with shelf.served(by_weed=True) as server:
        shelf.check(server)


def test_a_damaged_table_is_an_error_of_its_needles(shelf: Shelf) -> None:
    """Never 404; the server stays up, and its next start makes the map anew."""
    with shelf.served(by_weed=False) as server:
        create(server)
        shelf.change(server, range(1, 200), 1)
    with shelf.served(by_weed=False):
        pass  # what the log held is in tables now
    tables = list(shelf.ldb.glob("*.ldb"))
    assert tables
    for table in tables:
        content = bytearray(table.read_bytes())
        content[len(content) // 4] ^= 0x55
        table.write_bytes(content)
    server = volume_server(FASTVOL, shelf.base, shelf.data, [shelf.master.port], LEVELDB)
    with started(server):
        server.ready()
        statuses = {}
        for key, data in shelf.stored.items():
            if data is not None:
                statuses[key] = get(server.port, f"/{fid(key)}").status
        assert set(statuses.values()) <= {200, 500} and 500 in statuses.values()
        server.stop()
    assert "block checksum mismatch" in server.running.errors
    with shelf.served(by_weed=False) as server:
        shelf.check(server)
