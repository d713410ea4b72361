"""Keeping a copy of a volume that lives on a server.

Theory of operation
-------------------
As long as source and copy have the same compaction revision, the data file of the source only grows,
so that the copy is its beginning, and what it lacks is what is newer than the youngest record of the
copy. The copy is gone through for that record: after a vacuum its last record need not be the
youngest, and a look-up by any older one would send what is there already. What arrives is appended,
synced, and then gets its rows; whatever the moment of a crash, the next opening brings both files
together.

In every other case (no copy, another revision, a copy that is longer than the source) both files
are fetched whole, beside the copy, and put in its place together: as the new files of a vacuum, whose
swap every server can finish (``vacuum_files``). Upstream vacuums the copy by itself instead
(weed/command/backup.go) and asks for what is newer than its last record; records that the vacuum of
the source has sorted before that one would be missed.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastvol._cffi.scan import scan_to_index
from fastvol.errors import NeedleCorruptedError, StorageError
from fastvol.formats.index_entry import OFFSET_UNIT, decode_row, row_size
from fastvol.formats.needle import (
    TIMED_VERSION,
    TIMESTAMP_BYTES,
    actual_size,
    append_time_at,
    decode_header,
)
from fastvol.formats.super_block import SUPER_BLOCK_BYTES, SuperBlock
from fastvol.limits import OFFSET_WIDTH_DEFAULT
from fastvol.volume.files import VolumeFiles, storage_errors
from fastvol.volume.offset_width import find_offset_width
from fastvol.volume.opening import open_volume
from fastvol.volume.received import apply_incremental, write_chunks
from fastvol.volume.unrepaired import unrepaired
from fastvol.volume.vacuum_files import clear_way, settle, swap_in, write_marker


class NotContinuousError(StorageError):
    """What arrived does not continue the copy; it has to be fetched whole."""


@dataclass(frozen=True, slots=True)
class CopyState:
    """A copy as it is; ``newest_ns`` is the youngest append time, 0 when there is none to go by."""

    revision: int
    version: int
    dat_size: int
    newest_ns: int


def state_of_copy(files: VolumeFiles) -> CopyState | None:
    """Brings the ends of a copy together and tells how far it goes; None when there is none.

    Raises:
        StorageError: it cannot be read, or its ends do not fit.
    """
    with storage_errors(files):
        settle(files)
        if not files.dat.exists():
            return None
        _open_and_close(files)
        with unrepaired(files) as looked:
            survey = looked.survey(report=frozenset())
            for _ in survey.extents():
                pass
            return CopyState(
                looked.super_block.compaction_revision,
                looked.version,
                looked.dat_size,
                survey.stat().last_append_ns,
            )


def _open_and_close(files: VolumeFiles) -> None:
    opened = open_volume(files, default_offset_width=OFFSET_WIDTH_DEFAULT)
    try:
        if opened.damage:
            words = "; ".join(reason.words for reason in opened.damage)
            raise StorageError(f"volume {files.base}: {words}")
        opened.native.sync()
    finally:
        opened.native.release()


# --- fetching whole -------------------------------------------------------------------------------


def replace_copy(
    files: VolumeFiles,
    dat: Iterable[bytes],
    idx: Iterable[bytes] | None,
    *,
    super_block: SuperBlock | None = None,
) -> None:
    """Puts both files of the source in the place of the copy's.

    Args:
        dat: the data file, super block first.
        idx: the index; None: it is made from the data.
        super_block: to be written over that of the source, of the same length.

    Raises:
        StorageError: the copy is as it was.
    """
    with storage_errors(files):
        clear_way(files)
        data_path, index_path = files.data(".cpd"), files.index(".cpx")
        try:
            _write_data(data_path, dat, super_block)
            _write_index(data_path, index_path, idx)
            write_marker(files)
        except BaseException:
            data_path.unlink(missing_ok=True)
            index_path.unlink(missing_ok=True)
            raise
        swap_in(files)
        _open_and_close(files)


def _create(path: os.PathLike[str]) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _write_data(
    path: os.PathLike[str], chunks: Iterable[bytes], super_block: SuperBlock | None
) -> None:
    fd = _create(path)
    try:
        write_chunks(fd, 0, chunks)
        found = SuperBlock.read(fd)
        if super_block is not None and super_block != found:
            assert super_block.block_size == found.block_size
            os.pwrite(fd, super_block.to_bytes(), 0)
        os.fsync(fd)
    except ValueError as error:
        raise NeedleCorruptedError(f"what was sent is no data file: {error}") from error
    finally:
        os.close(fd)


def _write_index(
    data_path: os.PathLike[str], path: os.PathLike[str], chunks: Iterable[bytes] | None
) -> None:
    dat_fd = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        idx_fd = _create(path)
        try:
            block = SuperBlock.read(dat_fd)
            dat_size = os.fstat(dat_fd).st_size
            if chunks is None:
                width = OFFSET_WIDTH_DEFAULT
                scan_to_index(
                    dat_fd,
                    block.block_size,
                    dat_size,
                    version=block.version,
                    verify=False,
                    idx_fd=idx_fd,
                    idx_offset=0,
                    offset_width=width,
                )
            else:
                write_chunks(idx_fd, 0, chunks)
                _drop_rows_beyond(dat_fd, idx_fd, dat_size, block.version)
            os.fsync(idx_fd)
        finally:
            os.close(idx_fd)
    finally:
        os.close(dat_fd)


def _drop_rows_beyond(dat_fd: int, idx_fd: int, dat_size: int, version: int) -> None:
    """The index is fetched after the data: its last rows may be of records that came in between."""
    width, _ = find_offset_width(dat_fd, idx_fd, stated=0, default=OFFSET_WIDTH_DEFAULT)
    step = row_size(width)
    end = os.fstat(idx_fd).st_size // step * step
    while end:
        row = decode_row(os.pread(idx_fd, step, end - step), width)
        if row.offset * OFFSET_UNIT + actual_size(row.size, version) <= dat_size:
            break
        end -= step
    os.ftruncate(idx_fd, end)


# --- what is newer --------------------------------------------------------------------------------


def append_received(files: VolumeFiles, newer_than_ns: int, chunks: Iterable[bytes]) -> int:
    """Appends raw bytes of the source's data file to a copy whose ends fit.

    Args:
        newer_than_ns: the youngest append time in the copy; what arrives must begin behind it.

    Returns:
        How many bytes longer the copy is now; a record that was cut short is left out.

    Raises:
        NotContinuousError: nothing was appended.
        StorageError: the copy is as it was, at most longer by whole records.
    """
    done = apply_incremental(files, _checked(chunks, newer_than_ns))
    return done.received - done.dropped


def _checked(chunks: Iterable[bytes], newer_than_ns: int) -> Iterator[bytes]:
    """The same bytes, once their first record is known to be one that the copy does not have."""
    waiting = iter(chunks)
    head = b""
    for chunk in waiting:
        head += chunk
        header = decode_header(head)
        if header is None or len(head) < append_time_at(header.size) + TIMESTAMP_BYTES:
            continue
        at = append_time_at(header.size)
        if int.from_bytes(head[at : at + TIMESTAMP_BYTES]) <= newer_than_ns:
            raise NotContinuousError("the source sends what the copy has already")
        yield head
        yield from waiting


def may_continue(copy: CopyState | None, *, revision: int, tail_offset: int, version: int) -> bool:
    """Whether what the copy lacks is what is newer than its youngest record."""
    return (
        copy is not None
        and version == TIMED_VERSION == copy.version
        and copy.revision == revision
        and copy.dat_size <= tail_offset
        and (copy.newest_ns > 0 or copy.dat_size == SUPER_BLOCK_BYTES)
    )
