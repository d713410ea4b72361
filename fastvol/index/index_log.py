"""The index as a map's source: its rows from anywhere on, and how to know it again."""

import hashlib
import os
from collections.abc import Iterator

from fastvol.formats.file_range import FileEndsError, read_exactly
from fastvol.formats.index_entry import row_size
from fastvol.limits import LEVELDB_SAMPLE_ROWS


class IndexLog:
    """An open index file; the descriptor stays the caller's."""

    def __init__(self, fd: int, width: int) -> None:
        self.fd = fd
        self.width = width
        self.row_bytes = row_size(width)

    def rows(self) -> int:
        """Whole rows at this moment."""
        return os.fstat(self.fd).st_size // self.row_bytes

    @property
    def inode(self) -> int:
        """Of the file; a vacuum's index takes its own along when it is renamed."""
        return os.fstat(self.fd).st_ino

    def blocks(self, first: int, end: int, rows: int) -> Iterator[bytes]:
        """The rows ``[first, end)``, at most so many a block.

        Raises:
            OSError: also when the file is shorter than that.
        """
        while first < end:
            count = min(rows, end - first)
            yield self._read(first, count)
            first += count

    def _read(self, first: int, count: int) -> bytes:
        try:
            return read_exactly(self.fd, count * self.row_bytes, first * self.row_bytes)
        except FileEndsError as error:
            row = error.position // self.row_bytes
            raise OSError(f"the index ends within row {row}") from error

    def sample(self, rows: int) -> str:
        """Names the first ``rows`` rows: a digest of some of them, the last one included.

        An index that is only appended to keeps it; in a replaced one (a vacuum's, another server's)
        offsets differ.
        """
        digest = hashlib.blake2b(rows.to_bytes(8, "big"), digest_size=16)
        chosen = {rows * i // LEVELDB_SAMPLE_ROWS for i in range(LEVELDB_SAMPLE_ROWS)}
        for row in sorted(chosen | {rows - 1}) if rows else ():
            digest.update(self._read(row, 1))
        return digest.hexdigest()
