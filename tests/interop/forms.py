"""Bodies of multipart forms, byte by byte as a test wants them."""

from __future__ import annotations


def form(*parts: tuple[str, bytes], boundary: str = "X") -> bytes:
    """A multipart body; a part is its header lines and its data."""
    pieces = [
        b"--" + boundary.encode() + b"\r\n" + head.encode("latin-1") + b"\r\n" + data + b"\r\n"
        for head, data in parts
    ]
    return b"".join(pieces) + b"--" + boundary.encode() + b"--\r\n"


def part(filename: str | None, kind: str = "", *more: str) -> str:
    """Header lines of a part."""
    disposition = 'Content-Disposition: form-data; name="f"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    lines = [disposition, *([f"Content-Type: {kind}"] if kind else []), *more]
    return "".join(f"{line}\r\n" for line in lines)
