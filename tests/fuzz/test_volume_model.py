"""A volume against a dict: any sequence of operations, openings, cuts and torn tails."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from volume_kit import create, needle, open_volume

from fastvol._cffi.vacuum import Order
from fastvol.errors import CookieMismatchError, NeedleNotFoundError
from fastvol.formats.index_entry import iter_rows
from fastvol.formats.needle import Needle, actual_size, decode
from fastvol.index.kinds import IN_MEMORY, IndexOptions
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

KEYS = st.one_of(st.integers(1, 6), st.sampled_from([49_999, 50_000, 2**32, 2**64 - 1]))
DATA = st.one_of(st.binary(max_size=40), st.binary(min_size=1000, max_size=3000))
COOKIE = 0xC0FFEE
INDEXES = st.sampled_from([IN_MEMORY, IndexOptions("leveldb")])


@dataclass(frozen=True)
class Append:
    """One record: the file size and the content after it, and what it did."""

    size: int
    content: dict[int, bytes | None]
    key: int
    data: bytes | None


class VolumeModel(RuleBasedStateMachine):
    """Every append is remembered, so that files can be cut back to any of them."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="volume-model-"))
        self.content: dict[int, bytes | None] = {}
        self.history: list[Append] = []
        self.volume: Volume

    @initialize(version=st.sampled_from([1, 2, 3]), width=st.sampled_from([4, 5]), index=INDEXES)
    def create(self, version: int, width: int, index: IndexOptions) -> None:
        self.version, self.width, self.index = version, width, index
        self.volume = create(
            self.directory,
            1,
            version=version,
            offset_width=width,
            index=index,
        )
        self.history.append(Append(self.volume.dat_size, {}, 0, None))

    def teardown(self) -> None:
        if hasattr(self, "volume"):
            self.volume.close()
        shutil.rmtree(self.directory)

    def _note(self, key: int, data: bytes | None) -> None:
        self.content[key] = data
        self.history.append(Append(self.volume.dat_size, dict(self.content), key, data))

    def _path(self, extension: str) -> Path:
        return self.directory / f"1{extension}"

    def _open(self) -> None:
        self.volume = open_volume(
            self.directory,
            1,
            default_offset_width=self.width,
            index=self.index,
        )
        assert not self.volume.read_only, self.volume.read_only_reasons

    @rule(key=KEYS, data=DATA, name=st.sampled_from([b"", b"name.txt"]))
    def write(self, key: int, data: bytes, name: bytes) -> None:
        flags = Needle.HAS_NAME if name else 0
        result = self.volume.write(needle(key, data, cookie=COOKIE, flags=flags, name=name))
        assert result.unchanged == (bool(data) and self.content.get(key) == data)
        if not result.unchanged:
            self._note(key, data)

    @precondition(lambda self: any(data is not None for data in self.content.values()))
    @rule(share=st.floats(0, 1))
    def write_with_another_cookie(self, share: float) -> None:
        live = sorted(key for key, data in self.content.items() if data is not None)
        key = live[round(share * (len(live) - 1))]
        with pytest.raises(CookieMismatchError):
            self.volume.write(needle(key, b"other", cookie=COOKIE + 1))

    @rule(key=KEYS, always=st.booleans())
    def delete(self, key: int, always: bool = False) -> None:
        before = self.volume.dat_size
        self.volume.delete(key, COOKIE, 0, always=always)
        is_there = self.content.get(key) is not None
        assert (self.volume.dat_size > before) == (always or is_there)
        if self.volume.dat_size > before:
            self._note(key, None)

    @rule(index=INDEXES)
    def reopen(self, index: IndexOptions) -> None:
        """Perhaps with another kind of needle map."""
        self.volume.close()
        self.index = index
        self._open()

    @rule(share=st.floats(0, 1))
    def cut_both_files_after_a_record(self, share: float) -> None:
        self.volume.close()
        rows = round(share * (len(self.history) - 1))
        last = self.history[rows]
        os.truncate(self._path(".dat"), last.size)
        os.truncate(self._path(".idx"), rows * (12 + self.width))
        del self.history[rows + 1 :]
        self.content = dict(last.content)
        self._open()

    @rule(lost=st.integers(0, 60))
    def cut_the_index(self, lost: int) -> None:
        """The rows come back, but a record without payload is taken for a tombstone."""
        self.volume.close()
        path = self._path(".idx")
        size = path.stat().st_size
        os.truncate(path, max(0, size - lost))
        kept = max(0, size - lost) // (12 + self.width)
        content = dict(self.history[kept].content)
        for at in range(kept + 1, len(self.history)):
            append = self.history[at]
            content[append.key] = append.data or None
            self.history[at] = Append(append.size, dict(content), append.key, append.data or None)
        self.content = content
        self._open()
        assert path.stat().st_size == size

    @rule(tail=st.one_of(st.binary(min_size=1, max_size=7), st.integers(1, 9).map(bytes)))
    def crash_with_a_torn_tail(self, tail: bytes) -> None:
        self.volume.close()
        size = self._path(".dat").stat().st_size
        with self._path(".dat").open("ab") as file:
            file.write(tail)
        self._open()
        assert self._path(".dat").stat().st_size == size

    @precondition(lambda self: len(self.history) > 1)
    @rule(missing=st.integers(1, 23))
    def crash_with_a_short_last_record(self, missing: int) -> None:
        """Its row is there: both go."""
        self.volume.close()
        os.truncate(self._path(".dat"), self._path(".dat").stat().st_size - missing)
        self.history.pop()
        self.content = dict(self.history[-1].content)
        self._open()

    @rule(
        order=st.sampled_from(list(Order)),
        meanwhile=st.lists(st.tuples(KEYS, st.none() | DATA), max_size=4),
        commit=st.booleans(),
    )
    def vacuum(self, order: Order, meanwhile: list[tuple[int, bytes | None]], commit: bool) -> None:
        self.volume.compact(VacuumPlan(order=order))
        for key, data in meanwhile:
            if data is None:
                self.delete(key)
            else:
                self.write(key, data, b"")
        if not commit:
            self.volume.cleanup_compaction()
            return
        self.volume.commit_compaction()
        live = {key: data for key, data in self.content.items() if data is not None}
        self.history = self._history_of_files()
        assert {k: d for k, d in self.history[-1].content.items() if d is not None} == live
        self.content = dict(self.history[-1].content)

    def _history_of_files(self) -> list[Append]:
        """What the rows of the index say, read by the Python codec."""
        dat = self._path(".dat").read_bytes()
        found = [Append(8, {}, 0, None)]
        for row in iter_rows(self._path(".idx").read_bytes(), self.width):
            size = max(row.size, 0)
            at = row.offset * 8
            end = at + actual_size(size, self.version)
            record = decode(dat[at:end], size, self.version)
            data = None if row.size < 0 else bytes(record.data)
            content = {**found[-1].content, row.key: data}
            found.append(Append(end, content, row.key, data))
        return found

    @invariant()
    def reads_agree(self) -> None:
        for key, data in self.content.items():
            if data is None:
                with pytest.raises(NeedleNotFoundError):
                    self.volume.read(key)
            else:
                found = self.volume.read(key)
                assert found.data == data
                assert found.cookie == (COOKIE if data else 0)

    @invariant()
    def files_are_whole(self) -> None:
        assert self.volume.dat_size == self.history[-1].size
        assert self._path(".dat").stat().st_size == self.volume.dat_size
        rows = len(self.history) - 1
        assert self._path(".idx").stat().st_size == rows * (12 + self.width)


VolumeModel.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class TestVolumeModel(VolumeModel.TestCase):
    """Found by pytest under a name of its own."""
