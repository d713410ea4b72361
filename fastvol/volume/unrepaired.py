"""A volume opened to be looked at by its files alone, whether a server has it open or not.

What makes a volume hard to open is collected here as sentences, so that a tool can tell everything
that it knows of a damaged volume.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from fastvol._cffi.compact_map import CompactMap, NeedleCounters
from fastvol._cffi.survey import ExtentKind, Survey
from fastvol.errors import VolumeDamagedError, reason_of
from fastvol.formats import volume_info
from fastvol.formats.index_entry import OFFSET_WIDTHS, row_size
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.volume_info import VolumeInfo
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.volume.files import VolumeFiles
from fastvol.volume.index_repair import EndRepair
from fastvol.volume.offset_width import find_offset_width
from fastvol.volume.raw_files import RawFiles, open_data, open_index, read_super_block

NO_INDEX: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrepairedVolume(RawFiles):
    """The files of a volume that nobody is asked for, and what they say.

    ``idx_fd`` is :data:`NO_INDEX` without an index. ``info`` is None without a ``.vif``.
    ``problems`` keep a volume from being used as it should be. ``default_width``: nothing speaks
    for the offset width, it is only the usual one.
    """

    stored_placement: ReplicaPlacement
    info: VolumeInfo | None
    default_width: bool
    problems: list[str] = field(default_factory=list)

    @property
    def has_index(self) -> bool:
        """Whether there is an index file."""
        return self.idx_fd != NO_INDEX

    @property
    def rows(self) -> int:
        """Whole rows of the index."""
        return self.idx_size // row_size(self.offset_width)

    @property
    def partial_row_bytes(self) -> int:
        """What follows the last whole row of the index."""
        return self.idx_size % row_size(self.offset_width)

    def load_map(self) -> tuple[CompactMap, NeedleCounters]:
        """What the index says; empty without one.

        Raises:
            DiskIOError: the index cannot be read.
        """
        needle_map = CompactMap()
        if not self.has_index:
            return needle_map, NeedleCounters()
        return needle_map, needle_map.load(self.idx_fd, self.offset_width, self.version)

    def survey(
        self,
        report: frozenset[ExtentKind],
        *,
        needle_map: CompactMap | None = None,
        new_idx_fd: int = NO_INDEX,
    ) -> Survey:
        """A survey of the data file from its first record to its end.

        Args:
            report, needle_map: as of :class:`Survey`.
            new_idx_fd: an empty file that gets a row for every record.
        """
        return Survey(
            self.dat_fd,
            version=self.version,
            start=self.first,
            end=self.dat_size,
            needle_map=needle_map,
            idx_fd=new_idx_fd,
            offset_width=self.offset_width,
            report=report,
        )

    def ends_problem(self) -> str:
        """How the ends of data and index differ, empty when they do not; opening would repair it.

        Raises:
            OSError: a file cannot be read.
        """
        repair = EndRepair(
            self.files,
            dat_fd=self.dat_fd,
            idx_fd=self.idx_fd,
            first=self.first,
            version=self.version,
            width=self.offset_width,
        )
        problem = repair.run(may_write=False).problem
        return problem or partial_row_words(self.partial_row_bytes)


def partial_row_words(count: int) -> str:
    """What is wrong with an index that ends in so many bytes of a row; empty for none."""
    return f"the index ends in a partial row of {count} bytes" if count else ""


@contextmanager
def unrepaired(
    files: VolumeFiles,
    *,
    default_offset_width: int = OFFSET_WIDTH_DEFAULT,
    needs_index: bool = False,
) -> Iterator[UnrepairedVolume]:
    """Opens a volume's files for reading and closes them at the end.

    Args:
        default_offset_width: for an index that does not tell.
        needs_index: without one there is nothing to be done.

    Raises:
        NoIndexError: there is an index, or has to be, and it cannot be opened.
        VolumeDamagedError: the data file cannot be opened, or has no super block to go by.
    """
    if files.index_directory != files.directory and files.data(".idx").exists():
        files = files.with_index_beside_data()
    owned: list[int] = []
    try:
        owned.append(open_data(files))
        if needs_index or files.idx.exists():
            owned.append(open_index(files))
        try:
            opened = _look(files, owned, default_offset_width)
        except OSError as error:
            raise VolumeDamagedError(f"{files.data('')}: {reason_of(error)}") from error
        yield opened
    finally:
        for fd in owned:
            os.close(fd)


def _look(files: VolumeFiles, fds: list[int], default_offset_width: int) -> UnrepairedVolume:
    dat_fd = fds[0]
    idx_fd = fds[1] if len(fds) > 1 else NO_INDEX
    # Index first: what its rows name has been written before them.
    idx_size = 0 if idx_fd == NO_INDEX else os.fstat(idx_fd).st_size
    dat_size = os.fstat(dat_fd).st_size
    problems: list[str] = []
    info = volume_info.load(files.data(".vif"))
    stored = read_super_block(files, dat_fd)
    super_block = _outranked(files, stored, info, problems)
    width, default_width = _width(
        files, dat_fd, idx_fd, info, default=default_offset_width, problems=problems
    )
    return UnrepairedVolume(
        files=files,
        dat_fd=dat_fd,
        idx_fd=idx_fd,
        dat_size=dat_size,
        idx_size=idx_size,
        super_block=super_block,
        stored_placement=stored.replica_placement,
        info=info,
        offset_width=width,
        default_width=default_width,
        problems=problems,
    )


def _outranked(
    files: VolumeFiles, stored: SuperBlock, info: VolumeInfo | None, problems: list[str]
) -> SuperBlock:
    """The super block with the replication of the ``.vif``, which outranks its own."""
    if info is None:
        return stored
    if info.problem:
        problems.append(f"{files.data('.vif')} cannot be relied on: {info.problem}")
    if not info.replication:
        return stored
    try:
        placement = ReplicaPlacement.parse(info.replication)
    except ValueError as error:
        problems.append(f"{files.data('.vif')}: {error}")
        return stored
    return replace(stored, replica_placement=placement)


def _width(
    files: VolumeFiles,
    dat_fd: int,
    idx_fd: int,
    info: VolumeInfo | None,
    *,
    default: int,
    problems: list[str],
) -> tuple[int, bool]:
    stated = info.bytes_offset if info else 0
    if stated not in (0, *OFFSET_WIDTHS):
        problems.append(f"{files.data('.vif')}: bytesOffset {stated} is neither 4 nor 5")
        stated = 0
    if idx_fd == NO_INDEX:
        return stated or default, not stated
    width, contradiction = find_offset_width(dat_fd, idx_fd, stated=stated, default=default)
    if contradiction:
        problems.append(contradiction)
    return width, not stated and os.fstat(idx_fd).st_size == 0
