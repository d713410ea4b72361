"""Reading ranges that follow each other, many small ones with one call."""

import os
from typing import Final

from fastvol.formats.file_range import FileEndsError, read_exactly

_BLOCK_BYTES: Final = 1 << 20


class BlockReader:
    """One file, to be read forwards."""

    def __init__(self, fd: int, end: int) -> None:
        """Nothing behind byte offset ``end`` is read."""
        self._fd = fd
        self._end = end
        self._start = 0
        self._block = b""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes.

        Raises:
            OSError: the operating system's refusal.
            FileEndsError: the file, or what may be read of it, ends before.
        """
        if offset + length > self._end:
            raise FileEndsError(self._end)
        if length >= _BLOCK_BYTES:
            return read_exactly(self._fd, length, offset)
        at = offset - self._start
        if at < 0 or at + length > len(self._block):
            self._block = os.pread(self._fd, min(_BLOCK_BYTES, self._end - offset), offset)
            self._start, at = offset, 0
        if at + length > len(self._block):
            return read_exactly(self._fd, length, offset)
        return self._block[at : at + length]
