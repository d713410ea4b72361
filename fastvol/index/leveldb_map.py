"""The LevelDB needle map (``.ldb``), shared with the Go server.

Theory of operation
-------------------
Key: 8 bytes of needle id; value: a row's offset and size as they lie in the index. A deleted needle
keeps its offset and has its size negated, or -1 (the Go server writes 0 for an empty file, which then
stays alive there). One more key holds the *watermark*: so many index rows are known to be reflected.

The index is the truth and the LevelDB a cache of it. A row is always written before LevelDB is told,
so after a crash of the process LevelDB may lack rows behind its watermark, and they are replayed at
the next open. After a power loss LevelDB may also be *ahead*: neither it nor the index syncs each
write, and an entry whose row is gone would hide the version before it. So a second key says whether
the map was closed in good order, on which boot of the machine it was opened, and which index it
belongs to. It is made anew when

* it was not closed, and the machine was booted since or the index is another file;
* the watermark or the noted rows lie beyond the index, or the noted rows are not those of the index:
  it was replaced;
* it cannot be opened, or gave an error earlier.

A database of the Go server has no such key, and its watermark is believed. Upstream replays only when
the ``LOG`` file is older than the index; replaying a few thousand rows is cheap and may be repeated,
so it is always done here. Source of the format: weed/storage/needle_map_leveldb.go.
"""

import errno
import json
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.foreign_map import ForeignMap
from fastvol._cffi.needle_map import MapEntry
from fastvol.errors import StorageError, VolumeClosedError
from fastvol.index.database import Database, is_passing, shared_pool
from fastvol.index.index_log import IndexLog
from fastvol.index.kinds import SIZE_CLASSES, IndexOptions, SizeClass
from fastvol.limits import (
    LEVELDB_BUILD_BUFFER_BYTES,
    LEVELDB_BUILD_ROWS,
    LEVELDB_REPLAY_ROWS,
    LEVELDB_WATERMARK_ROWS,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")

WATERMARK_KEY: Final = b"idx_entry_watermark"
STATE_KEY: Final = b"fastvol_state"
KEY_BYTES: Final = 8
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_U64: Final = struct.Struct(">Q")
_VALUES: Final = {4: struct.Struct(">Ii"), 5: struct.Struct(">IBi")}


_building = threading.Lock()


class _NotUsableError(Exception):
    """The database does not go with the index."""


class LevelDbMap(ForeignMap):
    """The map of one volume; writers exclude each other, and are the only ones to append rows."""

    def __init__(self, database: Database, index: IndexLog, live_count: int) -> None:
        """``database`` is up to date; both are closed with the map, also when this fails."""
        self._database = database
        self._index = index
        self._value = _VALUES[index.width]
        self._since_watermark = 0
        self._substitute: CompactMap | None = None
        self._open = True
        super().__init__(live_count, shared_pool.memory_of(database))

    # --- what C calls -------------------------------------------------------------------------

    def find_entry(self, needle_id: int) -> tuple[int, int] | None:
        """See :class:`ForeignMap`, as for those below."""
        return self._ask(
            lambda: self._stored(needle_id), lambda loaded: _place(loaded.get(needle_id))
        )

    def _ask(
        self, stored: Callable[[], Result], substituted: Callable[[CompactMap], Result]
    ) -> Result:
        """Of the database, or of the substitute, which may come while the database is asked."""
        if self._substitute is None:
            try:
                return stored()
            except VolumeClosedError:
                if self._substitute is None:
                    raise
        return substituted(self._substitute)

    def _stored(self, needle_id: int) -> tuple[int, int] | None:
        key = _U64.pack(needle_id)
        value = self._database.run(lambda db: db.get(key, verify_checksums=True), only_reads=True)
        return None if value is None else self._decode(value)

    def _decode(self, value: bytes) -> tuple[int, int]:
        if len(value) != self._value.size:
            # Upstream takes it for no entry, which would be the end of a needle that is there.
            self._database.give_up()
            raise OSError(errno.EIO, f"{self._database.directory}: a value of {len(value)} bytes")
        low, *high, size = self._value.unpack(value)
        return (low | high[0] << 32 if high else low), size

    def _encode(self, offset: int, size: int) -> bytes:
        if self._index.width == 4:
            return self._value.pack(offset, size)
        return self._value.pack(offset & 0xFFFFFFFF, offset >> 32, size)

    def put_entry(self, needle_id: int, offset: int, size: int) -> None:
        if self._substitute is not None:
            self._substitute.set(needle_id, offset, size)
            return
        key, value = _U64.pack(needle_id), self._encode(offset, size)
        self._since_watermark += 1
        if self._since_watermark < LEVELDB_WATERMARK_ROWS:
            self._database.run(lambda db: db.put(key, value))
            return
        rows = self._index.rows()

        def put(db: Any) -> None:
            with db.write_batch(transaction=True) as batch:
                batch.put(key, value)
                batch.put(WATERMARK_KEY, _U64.pack(rows))

        self._database.run(put)
        self._since_watermark = 0

    def remove_entry(self, needle_id: int) -> bool:
        if self._substitute is not None:
            return self._substitute.remove(needle_id)
        known = self._stored(needle_id) is not None
        self._database.run(lambda db: db.delete(_U64.pack(needle_id)))
        return known

    def scan_entries(self, first: int, limit: int) -> list[MapEntry]:
        return self._ask(
            lambda: self._database.run(lambda db: self._scan(db, first, limit), only_reads=True),
            lambda loaded: list(islice(loaded.entries(first), limit)),
        )

    def _scan(self, db: Any, first: int, limit: int) -> list[MapEntry]:
        with db.iterator(
            start=_U64.pack(first), verify_checksums=True, fill_cache=False
        ) as iterator:
            needles = (row for row in iterator if len(row[0]) == KEY_BYTES)
            return [
                MapEntry(_U64.unpack(key)[0], *self._decode(value))
                for key, value in islice(needles, limit)
            ]

    def freed(self) -> None:
        """Nobody closed it, so nobody knows how far the index is durable."""
        self.close(durable=False)

    # --- its end ------------------------------------------------------------------------------

    def retire(self) -> None:
        """Answers from memory from now on, and closes the database."""
        if not self._open or self._substitute is not None:
            return
        loaded = CompactMap()
        try:
            loaded.load(self._index.fd, self._index.width, 3)
        except MemoryError as error:
            raise StorageError(f"{self._database.directory}: {error}") from error
        self._substitute = loaded
        self._close_database()

    def close(self, *, durable: bool) -> None:
        if not self._open:
            return
        self._open = False
        try:
            if durable and self._substitute is None and not self._database.failed:
                self._note_good_end()
        except OSError as error:
            log.warning("cannot close %s in good order: %s", self._database.directory, error)
        finally:
            self._close_files()

    def _note_good_end(self) -> None:
        rows = self._index.rows()

        def note(db: Any) -> None:
            with db.write_batch(transaction=True, sync=True) as batch:
                batch.put(WATERMARK_KEY, _U64.pack(rows))
                batch.put(STATE_KEY, _state(self._index, rows, clean=True))

        self._database.run(note)

    def _close_files(self) -> None:
        self._close_database()
        os.close(self._index.fd)

    def _close_database(self) -> None:
        try:
            self._database.close()
        except OSError as error:
            # What could not be removed is in nobody's way: it cannot be opened any more.
            log.warning("cannot close %s: %s", self._database.directory, error)


def _place(entry: MapEntry | None) -> tuple[int, int] | None:
    return None if entry is None else (entry.offset, entry.size)


# --- opening ------------------------------------------------------------------------------------


def open_leveldb_map(
    directory: Path, idx_fd: int, width: int, options: IndexOptions, live_count: int
) -> LevelDbMap:
    """Opens the map of an index, bringing it up to date or making it anew.

    Args:
        directory: ``<base>.ldb``.
        idx_fd: of the index, which nobody appends to meanwhile; not taken over.
        width: bytes of its offsets.
        live_count: what the map says when it is asked for its size.

    Raises:
        OSError: the database cannot even be made anew.
    """
    index = IndexLog(os.dup(idx_fd), width)
    try:
        database = _up_to_date(directory, index, options)
    except BaseException:
        os.close(index.fd)
        raise
    return LevelDbMap(database, index, live_count)


def build_leveldb_map(directory: Path, idx_fd: int, width: int, options: IndexOptions) -> None:
    """Makes the map of an index that may still grow; opening it later takes in what came since.

    Raises:
        OSError: nothing of it is left.
    """
    _up_to_date(directory, IndexLog(idx_fd, width), options).close()


def _up_to_date(directory: Path, index: IndexLog, options: IndexOptions) -> Database:
    def make() -> Database:
        return Database(directory, SIZE_CLASSES[options.kind], options.idle_hours)

    database = make()
    with _removed_on_error(database):
        try:
            done = _usable_rows(database, index)
            if index.rows() - done <= LEVELDB_BUILD_ROWS:
                _replay(database, index, done)
                return database
            database.close()
        except (_NotUsableError, OSError) as reason:
            if is_passing(reason):
                raise
            log.warning("making %s anew: %s", directory, reason)
            database.give_up()
            database.close()
            done = 0
    _build(directory, index, done)
    database = make()
    database.run(lambda _: None)
    return database


def _build(directory: Path, index: IndexLog, start: int) -> None:
    with _building:
        builder = Database(directory, SizeClass(0, LEVELDB_BUILD_BUFFER_BYTES))
        with _removed_on_error(builder):
            _replay(builder, index, start)
            builder.close()


@contextmanager
def _removed_on_error(database: Database) -> Iterator[None]:
    """There is nothing in it that cannot be made again, if not for nothing."""
    try:
        yield
    except BaseException as error:
        if not is_passing(error):
            database.give_up()
        database.close()
        raise


def _state(index: IndexLog, rows: int, *, clean: bool) -> bytes:
    return json.dumps(
        {
            "boot": _boot_id(),
            "clean": clean,
            "inode": index.inode,
            "width": index.width,
            "rows": rows,
            "sample": index.sample(rows),
        }
    ).encode()


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _usable_rows(database: Database, index: IndexLog) -> int:
    """How many rows the database reflects for certain."""
    exists = (database.directory / "CURRENT").exists()
    if not exists and database.directory.exists() and any(database.directory.iterdir()):
        raise _NotUsableError("it is not complete")
    watermark, state = database.run(
        lambda db: (db.get(WATERMARK_KEY), db.get(STATE_KEY)), only_reads=True
    )
    rows = index.rows()
    if state is not None:
        _check_state(_parsed(state), index, rows)
    done = _U64.unpack(watermark)[0] if watermark and len(watermark) == _U64.size else 0
    if done > rows:
        raise _NotUsableError(f"its watermark is {done}, and the index has {rows} rows")
    return int(done)


def _parsed(state: bytes) -> dict[str, Any]:
    try:
        members = json.loads(state)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise _NotUsableError("its state cannot be read")
    return members


def _check_state(state: dict[str, Any], index: IndexLog, rows: int) -> None:
    boot = state.get("boot")
    if state.get("clean") is not True and (not boot or boot != _boot_id()):
        raise _NotUsableError("the machine went down while it was in use")
    if state.get("clean") is not True and state.get("inode") != index.inode:
        # Few or no rows were noted when it was opened, so they do not tell.
        raise _NotUsableError("it belongs to another index")
    if state.get("width") != index.width:
        raise _NotUsableError(f"its offsets are not {index.width} bytes wide")
    noted = state.get("rows")
    if not isinstance(noted, int) or noted > rows or state.get("sample") != index.sample(noted):
        raise _NotUsableError("it belongs to another index")


def _replay(database: Database, index: IndexLog, start: int) -> None:
    """Puts the rows from ``start`` on into the database, and notes that it is in use."""
    end = index.rows()
    database.run(lambda db: db.put(STATE_KEY, _state(index, end, clean=False)))
    for block in index.blocks(start, end, LEVELDB_REPLAY_ROWS):
        _replay_block(database, index, block)
        time.sleep(0)  # plyvel holds the interpreter's lock for each entry
    # Only now: a key behind all others in every table would have all tables merged with each other.
    database.run(lambda db: db.put(WATERMARK_KEY, _U64.pack(end)))


def _replay_block(database: Database, index: IndexLog, block: bytes) -> None:
    width, row_bytes, nowhere = index.width, index.row_bytes, bytes(index.width)

    def replay(db: Any) -> None:
        with db.write_batch(transaction=True) as batch:
            for at in range(0, len(block), row_bytes):
                key, value = block[at : at + KEY_BYTES], block[at + KEY_BYTES : at + row_bytes]
                if value[width] < 0x80 and value[:width] != nowhere:
                    batch.put(key, value)
                else:
                    batch.delete(key)

    database.run(replay)
