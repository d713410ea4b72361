"""Reading all bytes of a range: ``pread`` may give fewer."""

import os


class FileEndsError(EOFError):
    """A file ends at this byte offset, within what was to be read."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the file ends at {position}")
        self.position = position


def read_exactly(fd: int, length: int, offset: int) -> bytes:
    """``length`` bytes from a byte offset on.

    Raises:
        OSError: the operating system's refusal.
        FileEndsError
    """
    pieces = []
    while length > 0:
        piece = os.pread(fd, length, offset)
        if not piece:
            raise FileEndsError(offset)
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
