"""Every state that a crash, an operator or a bad disk can leave a volume in: what becomes of it.

All states lie in one directory, a volume id each. fastvol opens it, and then the real volume
server what fastvol left: both must give the same objects, and the ones the table says.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import FASTVOL, Server, master_server, started, volume_server, volume_status, weed
from http_calls import get
from volume_kit import create, needle, open_volume

from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import Needle
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

pytestmark = pytest.mark.interop

COOKIE = 0x11223344
ROW = 17
CONTENT = {
    1: b"one",
    2: b"two, second version",
    3: b"three" * 300,
    5: b"five",
    6: b"the last one",
}
"""Live needles; 4 was deleted, 2 overwritten."""
ALL = frozenset(CONTENT)
NONE: frozenset[int] = frozenset()


def write(volume: Volume, key: int, data: bytes) -> None:
    flags = Needle.HAS_NAME | Needle.HAS_LAST_MODIFIED if data else 0
    fields = {"flags": flags, "name": b"n", "last_modified": 1_700_000_000}
    volume.write(needle(key, data, cookie=COOKIE, **fields))


def make(directory: Path, volume_id: int, version: int = 3) -> None:
    volume = create(directory, volume_id, version=version)
    for key, data in {**CONTENT, 2: b"two", 4: b"four"}.items():
        if key != 6:
            write(volume, key, data)
    write(volume, 2, CONTENT[2])
    volume.delete(4, COOKIE, 0)
    write(volume, 6, CONTENT[6])
    volume.close()


class Files:
    """One volume's files, to be damaged."""

    def __init__(self, directory: Path, volume_id: int) -> None:
        self.directory = directory
        self.volume_id = volume_id

    def path(self, extension: str) -> Path:
        return self.directory / f"{self.volume_id}{extension}"

    def append(self, extension: str, data: bytes) -> None:
        with self.path(extension).open("ab") as file:
            file.write(data)

    def cut(self, extension: str, count: int) -> None:
        os.truncate(self.path(extension), self.path(extension).stat().st_size - count)

    def patch(self, extension: str, at: int, data: bytes) -> None:
        with self.path(extension).open("r+b") as file:
            file.seek(at)
            file.write(data)

    def change_vif(self, **members: object) -> None:
        found = json.loads(self.path(".vif").read_text())
        self.path(".vif").write_text(json.dumps({**found, **members}))

    def build_vacuum(self) -> None:
        """``.cpd`` and ``.cpx``, as before the commit."""
        volume = open_volume(self.directory, self.volume_id)
        volume.compact(VacuumPlan())
        for extension in (".cpd", ".cpx"):
            shutil.copy(self.path(extension), self.path(extension + ".kept"))
        volume.close()
        for extension in (".cpd", ".cpx"):
            self.path(extension + ".kept").rename(self.path(extension))

    def last_record(self) -> bytes:
        offset = int.from_bytes(self.path(".idx").read_bytes()[-9:-5]) * 8
        return self.path(".dat").read_bytes()[offset:]


@dataclass(frozen=True)
class State:
    """What was done to the files, the objects that are left, and whether it takes writes.

    ``loaded`` False: no server has the volume. ``counted``: both servers say the same number.
    """

    words: str
    damage: Callable[[Files], object]
    live: frozenset[int] = ALL
    writable: bool = True
    loaded: bool = True
    version: int = 3


def zero_tail(files: Files) -> None:
    files.append(".dat", bytes(64))


def unindexed_record(files: Files) -> None:
    files.cut(".idx", ROW)


def two_unindexed_records(files: Files) -> None:
    files.cut(".idx", 2 * ROW)


def partial_row(files: Files) -> None:
    files.cut(".idx", 5)


def row_behind_the_end(files: Files) -> None:
    """In the middle: data is missing that was there."""
    row = (1).to_bytes(8) + (1 << 20).to_bytes(4) + b"\0" + (50).to_bytes(4)
    files.patch(".idx", 0, row)


def roll_forward(files: Files) -> None:
    files.build_vacuum()
    files.path(".cpc").touch()


def roll_forward_half(files: Files) -> None:
    roll_forward(files)
    files.path(".cpd").rename(files.path(".dat"))


def roll_forward_done(files: Files) -> None:
    roll_forward_half(files)
    files.path(".cpx").rename(files.path(".idx"))


def no_files_but(*kept: str) -> Callable[[Files], None]:
    def damage(files: Files) -> None:
        for extension in {".dat", ".idx", ".vif"} - set(kept):
            files.path(extension).unlink()

    return damage


STATES = [
    State("as it was closed", lambda files: None),
    State("version 1", lambda files: None, version=1),
    State("version 2", lambda files: None, version=2),
    State("no .vif", lambda files: files.path(".vif").unlink()),
    State("empty .vif", lambda files: files.path(".vif").write_bytes(b"")),
    State("read-only by its .vif", lambda files: files.change_vif(readOnly=True), writable=False),
    State("no .idx", lambda files: files.path(".idx").unlink()),
    State("no .idx, version 2", lambda files: files.path(".idx").unlink(), version=2),
    State("last row missing", unindexed_record),
    State("last two rows missing", two_unindexed_records),
    State("last row missing, version 2", unindexed_record, version=2),
    State("partial row", partial_row),
    State("garbage behind the rows", lambda files: files.append(".idx", b"\xde\xad")),
    State("last record cut short", lambda files: files.cut(".dat", 9), live=ALL - {6}),
    State("last record cut in its header", lambda f: f.cut(".dat", len(f.last_record()) - 7),
          live=ALL - {6}),
    State("torn record behind the end", lambda f: f.append(".dat", f.last_record()[:21])),
    State("stray bytes behind the end", lambda files: files.append(".dat", b"stray")),
    State("zeros behind the end", zero_tail),
    State("a row far behind the end", row_behind_the_end, live=ALL - {1}, writable=False),
    State("vacuum built, not committed", Files.build_vacuum),
    State("half a .cpd", lambda files: files.path(".cpd").write_bytes(b"\3" + bytes(20))),
    State("a lone .cpx", lambda files: files.path(".cpx").write_bytes(bytes(ROW))),
    State("vacuum committed, no rename made", roll_forward),
    State("vacuum committed, one rename made", roll_forward_half),
    State("vacuum committed, both renames made", roll_forward_done),
    State("a lone marker", lambda files: files.path(".cpc").touch()),
    State("an index that was being rebuilt", lambda f: f.path(".idx.tmp").write_bytes(b"\1" * 40)),
    State("a .vif that was being written", lambda f: f.path(".vif.tmp.7").write_bytes(b"{")),
    State("a copy in the making", lambda f: f.path(".dat.copying").write_bytes(b"\3" * 100)),
    State("a copy that broke off", lambda f: f.path(".note").write_text("copying from a:1"),
          live=NONE, loaded=False),
    State("a stale sorted map", lambda f: f.path(".sdx").write_bytes(bytes(ROW)), writable=True),
    State("an empty data file", lambda files: os.truncate(files.path(".dat"), 0),
          live=NONE, loaded=False),
    State("an index alone", no_files_but(".idx"), live=NONE, loaded=False),
    State("a .vif alone", no_files_but(".vif"), live=NONE, loaded=False),
    State("a failed rollback's marker", lambda f: f.path(".unavailable").write_text("sync: EIO"),
          live=NONE, writable=False),
    State("a wrong payload in the middle", lambda files: files.patch(".dat", 30, b"X"),
          live=ALL - {1}),
]  # fmt: skip


def observe(server: Server) -> tuple[dict[int, dict[int, bytes]], dict[int, bool]]:
    """Objects of each volume, and whether it is read-only."""
    statuses = volume_status(server)
    found = {}
    for volume_id in range(1, len(STATES) + 1):
        replies = {
            key: get(server.port, "/" + format_file_id(volume_id, key, COOKIE))
            for key in (*CONTENT, 4)
        }
        found[volume_id] = {
            key: reply.body for key, reply in replies.items() if reply.status == 200
        }
    return found, {volume_id: bool(one["ReadOnly"]) for volume_id, one in statuses.items()}


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    with started(server.start()):
        yield server.ready()
        assert server.stop() == 0


def test_every_state(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    for volume_id, state in enumerate(STATES, start=1):
        make(directory, volume_id, state.version)
        state.damage(Files(directory, volume_id))
    with started(master := master_server(tmp_path).start()):
        ours = volume_server(FASTVOL, tmp_path, directory, [master.port])
        with serving(ours):
            objects, read_only = observe(ours)
        for volume_id, state in enumerate(STATES, start=1):
            assert objects[volume_id] == {key: CONTENT[key] for key in state.live}, state.words
            expected = None if not state.loaded else not state.writable
            assert read_only.get(volume_id) == expected, state.words
        theirs = volume_server(weed(tmp_path), tmp_path, directory, [master.port])
        with serving(theirs):
            their_objects, their_read_only = observe(theirs)
        for volume_id, state in enumerate(STATES, start=1):
            assert their_objects[volume_id] == objects[volume_id], state.words
            assert their_read_only.get(volume_id) == read_only.get(volume_id), state.words


def test_a_bad_volume_does_not_stop_its_neighbours(tmp_path: Path) -> None:
    """A version or an offset width that upstream does not start with at all."""
    directory = tmp_path / "data"
    directory.mkdir()
    for volume_id in (1, 2):
        make(directory, volume_id)
    Files(directory, 2).patch(".dat", 0, b"\x09")
    narrow = create(directory, 3, offset_width=4)
    write(narrow, 1, CONTENT[1])
    narrow.close()
    before = Files(directory, 2).path(".dat").read_bytes()
    with started(master := master_server(tmp_path).start()):
        ours = volume_server(FASTVOL, tmp_path, directory, [master.port])
        with serving(ours):
            assert {1, 3} <= volume_status(ours).keys()
            assert 2 not in volume_status(ours)
            for volume_id in (1, 3):
                fid = format_file_id(volume_id, 1, COOKIE)
                assert get(ours.port, f"/{fid}").body == CONTENT[1]
    assert Files(directory, 2).path(".dat").read_bytes() == before
