"""One directory, served by turns by fastvol's volumes and by the real volume server."""

import gzip
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest
from cluster import (
    Server,
    joined,
    master_server,
    started,
    volume_server,
    volume_status,
    weed,
)
from daemons import START_SECONDS_MAX, wait_until
from forms import form, part
from http_calls import get, request
from volume_kit import create, needle, open_volume

from fastvol._cffi.crc32c import crc32c
from fastvol.errors import NeedleNotFoundError
from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.volume.volume import Volume

pytestmark = pytest.mark.interop

PLAIN, PICTURES, EXPIRING, OLD = 3, 4, 5, 6
COLLECTION = {PICTURES: "pics_of_me"}
VERSION = {OLD: 2}
VOLUME_TTL = {EXPIRING: TTL.parse("3d")}
MODIFIED = 1_700_000_000
UPLOADED = Needle.HAS_NAME | Needle.HAS_MIME | Needle.HAS_LAST_MODIFIED
BOUNDARY = "-----------------------7f4e0b1d"  # nothing that random data has
TEXT = b"some text that gzip makes shorter. " * 40


@dataclass
class Stored:
    """What a needle must be, whoever reads it; no data: it was deleted."""

    volume: int
    key: int
    data: bytes | None
    name: bytes = b""
    mime: bytes = b""
    pairs: dict[str, str] = field(default_factory=dict)
    ttl: TTL = EMPTY
    compressed: bool = False

    @property
    def cookie(self) -> int:
        return (self.key * 2_654_435_761 + self.volume) & 0xFFFFFFFF

    @property
    def fid(self) -> str:
        return format_file_id(self.volume, self.key, self.cookie)

    @property
    def payload(self) -> bytes:
        assert self.data is not None
        return gzip.compress(self.data, mtime=0) if self.compressed else self.data

    def needle(self) -> Needle:
        pairs = ",".join(f'"{name}":"{value}"' for name, value in sorted(self.pairs.items()))
        flags = UPLOADED
        flags |= Needle.IS_COMPRESSED if self.compressed else 0
        flags |= Needle.HAS_TTL if self.ttl.count else 0
        flags |= Needle.HAS_PAIRS if self.pairs else 0
        return needle(
            self.key,
            self.payload,
            cookie=self.cookie,
            flags=flags,
            name=self.name,
            mime=self.mime,
            pairs=f"{{{pairs}}}".encode() if pairs else b"",
            ttl=self.ttl,
            last_modified=MODIFIED,
        )


class Shelf:
    """The directory, and what must be in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stored: dict[tuple[int, int], Stored] = {}

    def create(self) -> None:
        for volume_id in (PLAIN, PICTURES, EXPIRING, OLD):
            create(
                self.directory,
                volume_id,
                collection=COLLECTION.get(volume_id, ""),
                ttl=VOLUME_TTL.get(volume_id, EMPTY),
                version=VERSION.get(volume_id, 3),
            ).close()

    def open(self, volume_id: int) -> Volume:
        return open_volume(self.directory, volume_id, collection=COLLECTION.get(volume_id, ""))

    def remember(self, item: Stored) -> Stored:
        self.stored[item.volume, item.key] = item
        return item

    def write(self, *items: Stored) -> None:
        """By fastvol: writes, and deletes where there is no data."""
        volumes = {item.volume: self.open(item.volume) for item in items}
        for item in items:
            volume = volumes[item.volume]
            if item.data is None:
                before = self.stored[item.volume, item.key]
                volume.delete(item.key, item.cookie, crc32c(before.payload))
            else:
                volume.write(item.needle())
            self.remember(item)
        for volume in volumes.values():
            volume.close()

    def check_by_http(self, server: Server) -> None:
        for item in self.stored.values():
            check_reply(server, item)

    def check_by_fastvol(self) -> None:
        for volume_id in (PLAIN, PICTURES, EXPIRING, OLD):
            volume = self.open(volume_id)
            assert not volume.read_only, volume.read_only_reasons
            for item in self.stored.values():
                if item.volume == volume_id:
                    check_needle(volume, item)
            volume.close()

    def check_counts(self, server: Server) -> None:
        """The numbers after a load are those that the master hears."""
        told = volume_status(server)
        for volume_id in (PLAIN, PICTURES, EXPIRING, OLD):
            volume = self.open(volume_id)
            counters, status = volume.counters, told[volume_id]
            assert (
                status["FileCount"],
                status["DeleteCount"],
                status["DeletedByteCount"],
                status["Size"],
                status["ReadOnly"],
                status["Version"],
                status["Collection"],
            ) == (
                counters.file_count,
                counters.deleted_count,
                counters.deleted_size,
                counters.content_size,
                False,
                volume.version,
                volume.collection,
            )


def check_reply(server: Server, item: Stored) -> None:
    reply = get(server.port, f"/{item.fid}", Accept_Encoding="gzip")
    if item.data is None:
        assert reply.status == 404, item
        return
    assert reply.status == 200, item
    if item.compressed:
        assert reply.headers["content-encoding"] == "gzip"
        assert gzip.decompress(reply.body) == item.data
        assert get(server.port, f"/{item.fid}").body == item.data
    else:
        assert reply.body == item.data
    assert reply.headers["etag"] == f'"{crc32c(item.payload):08x}"'
    if not item.data:
        return  # an empty file keeps nothing else
    for name, value in item.pairs.items():
        assert reply.headers[name.lower()] == value
    if item.name.isascii() and item.name:
        assert item.name.decode() in reply.headers["content-disposition"]
    if item.mime:
        assert reply.headers["content-type"] == item.mime.decode()
    assert reply.headers["last-modified"] == formatdate(MODIFIED, usegmt=True)


def check_needle(volume: Volume, item: Stored) -> None:
    if item.data is None:
        with pytest.raises(NeedleNotFoundError):
            volume.read(item.key)
        return
    found = volume.read(item.key)
    if not item.data:
        assert (found.data, found.flags) == (b"", 0)
        return
    data = gzip.decompress(found.data) if found.is_compressed else bytes(found.data)
    assert data == item.data, item.fid
    assert found.cookie == item.cookie
    assert found.is_compressed == item.compressed
    assert (found.name, found.mime) == (item.name, item.mime)
    assert found.last_modified == MODIFIED
    assert found.ttl == (item.ttl if item.ttl.count else volume.ttl)
    for name, value in item.pairs.items():
        assert f'"{name}":"{value}"'.encode() in found.pairs


def by_fastvol() -> list[Stored]:
    items = []
    for volume in (PLAIN, PICTURES, EXPIRING, OLD):
        items += [
            Stored(volume, 1, b"hello", b"a.bin", b"text/x-foo"),
            Stored(volume, 2, b"pairs", b"p", b"a/b", {"Owner": "bob", "A-B": "2"}),
            Stored(volume, 3, TEXT, b"t.txt", b"text/plain", compressed=True),
            Stored(volume, 4, b""),
            Stored(volume, 5, b"to be overwritten", b"o.txt", b"text/plain"),
            Stored(volume, 5, b"overwritten", b"o2.txt", b"text/x-two"),
            Stored(volume, 6, b"to be deleted", b"d.txt", b"text/plain"),
            Stored(volume, 6, None),
            Stored(volume, 7, b""),
            Stored(volume, 7, None),
            Stored(volume, 8, os.urandom(70_000), "naïve.jpg".encode(), b"image/jpeg"),
            Stored(volume, 9, b"weed deletes this", b"w", b"a/b"),
            Stored(volume, 10, b"weed overwrites this", b"w", b"a/b"),
            Stored(volume, 0x1_0000_0001, b"a long key", b"k", b"a/b"),
        ]
    items += [
        Stored(PLAIN, 20, os.urandom(2_500_000), b"large.bin", b"image/png"),
        Stored(PLAIN, 21, b"lives for 5 days", b"ttl.txt", b"text/plain", ttl=TTL.parse("5d")),
        Stored(PLAIN, 22, b"x" * 25, b"name", b"mime/m"),  # 8 bytes of padding
    ]
    return items


def by_weed() -> list[Stored]:
    items = []
    for volume in (PLAIN, PICTURES, EXPIRING, OLD):
        items += [
            Stored(volume, 31, b"\x00\x01from weed", b"w.bin", b"application/x-w"),
            Stored(volume, 32, b"pairs", b"p.x", b"a/b", {"Owner": "alice", "C-D": "4"}),
            Stored(volume, 33, TEXT, b"g.txt", b"text/x-g", compressed=True),
            Stored(volume, 34, b""),
            Stored(volume, 35, b"first", b"o.x", b"a/b"),
            Stored(volume, 35, b"second", b"o2.x", b"a/c"),
            Stored(volume, 36, b"gone", b"d.x", b"a/b"),
            Stored(volume, 36, None),
            Stored(volume, 10, b"weed has overwritten this", b"w2", b"a/c"),
            Stored(volume, 9, None),
            Stored(volume, 1, None),
        ]
    items += [
        Stored(PLAIN, 40, os.urandom(2_000_000), b"large.x", b"image/png"),
        Stored(PLAIN, 41, b"lives for a week", b"ttl.x", b"a/b", ttl=TTL.parse("7d")),
    ]
    return items


def write_by_weed(server: Server, shelf: Shelf, items: list[Stored]) -> None:
    for item in items:
        if item.data is None:
            reply = request(server.port, "DELETE", f"/{item.fid}")
            assert reply.status == 202, (item, reply)
            shelf.remember(item)
            continue
        query = f"ts={MODIFIED}" + (f"&ttl={item.ttl}" if item.ttl.count else "")
        encoding = ["Content-Encoding: gzip"] if item.compressed else []
        head = part(item.name.decode("latin-1"), item.mime.decode(), *encoding)
        body = form((head, item.payload), boundary=BOUNDARY)
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        headers.update({f"Seaweed-{name}": value for name, value in item.pairs.items()})
        reply = request(server.port, "POST", f"/{item.fid}?{query}", body, headers)
        assert reply.status == 201, (item, reply)
        shelf.remember(item)


@pytest.fixture(name="master", scope="module")
def master_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = master_server(tmp_path_factory.mktemp("master"))
    with started(server):
        yield server.ready("/dir/status")


@contextmanager
def served_by_weed(base: Path, master: Server) -> Iterator[Server]:
    """The real server of ``data``, known to the master; stopped in good order, so all is there."""
    server = volume_server(weed(base), base, base / "data", [master.port])
    with started(server):
        server.ready()
        wait_until(lambda: joined(master, server), "it has joined", START_SECONDS_MAX)
        yield server
        server.stop()


def test_servers_by_turns_read_all_that_the_other_changed(tmp_path: Path, master: Server) -> None:
    """Each reads all that the other wrote, overwrote and deleted, and counts it alike."""
    data = tmp_path / "data"
    data.mkdir()
    shelf = Shelf(data)
    shelf.create()
    shelf.write(*by_fastvol())
    shelf.check_by_fastvol()
    with served_by_weed(tmp_path, master) as server:
        shelf.check_by_http(server)
        shelf.check_counts(server)
        write_by_weed(server, shelf, by_weed())
        shelf.check_by_http(server)
    shelf.check_by_fastvol()
    shelf.write(
        Stored(PLAIN, 50, b"fastvol again", b"again", b"a/b"),
        Stored(PLAIN, 41, b"overwritten again", b"again", b"a/b"),
        Stored(OLD, 35, None),
    )
    with served_by_weed(tmp_path, master) as server:
        shelf.check_by_http(server)
        shelf.check_counts(server)


def test_a_healed_volume_is_writable_there(tmp_path: Path, master: Server) -> None:
    """Torn tails and lost rows, which the real server only serves read-only or not at all."""
    data = tmp_path / "data"
    data.mkdir()
    shelf = Shelf(data)
    shelf.create()
    shelf.write(*by_fastvol())
    torn = shelf.stored[PLAIN, 2].needle()
    with (data / "3.dat").open("ab") as file:
        file.write(struct.pack(">IQI", torn.cookie, 2, 5000) + b"torn" * 99)
    with (data / "pics_of_me_4.idx").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 20)
    (data / "6.idx").unlink()
    shelf.stored[OLD, 4] = Stored(OLD, 4, None)  # without its row it looks like a tombstone
    shelf.check_by_fastvol()
    with served_by_weed(tmp_path, master) as server:
        shelf.check_counts(server)
        shelf.check_by_http(server)
        write_by_weed(
            server,
            shelf,
            [
                Stored(volume, 60, b"there", b"n", b"a/b")
                for volume in (PLAIN, PICTURES, EXPIRING, OLD)
            ],
        )
        shelf.check_by_http(server)
    shelf.check_by_fastvol()


def test_an_expired_needle_is_gone_for_both(tmp_path: Path, master: Server) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shelf = Shelf(data)
    shelf.create()
    old = Stored(PLAIN, 1, b"old", b"n", b"a/b", ttl=TTL.parse("3m"))
    fresh = Stored(PLAIN, 2, b"fresh", b"n", b"a/b", ttl=TTL.parse("3m"))
    shelf.write(old, fresh)
    with (data / "3.dat").open("r+b") as file:
        head = 16 + 4 + 3 + 1 + 2 + 4 + 5 + 2  # header, data, flags, name, mime, time, TTL
        file.seek(8 + head + 4)
        file.write((MODIFIED * 10**9).to_bytes(8))
    volume = shelf.open(PLAIN)
    with pytest.raises(NeedleNotFoundError):
        volume.read(1)
    assert volume.read(2).data == b"fresh"
    volume.close()
    with served_by_weed(tmp_path, master) as server:
        assert get(server.port, f"/{old.fid}").status == 404
        assert get(server.port, f"/{fresh.fid}").body == b"fresh"
