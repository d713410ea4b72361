"""The parts of a multipart body, one after the other, as Go reads them.

The body is complete in memory, so there is no stream state, only a position. The reader follows
``mime/multipart`` of Go line for line in what it accepts (LF-only line ends, a preamble, a missing
final line end, folded headers) and in its error texts, because clients see those.
"""

import re
from dataclasses import dataclass
from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.http.disposition import clean_filename
from fastvol.http.go_text import go_base, go_quote, to_text
from fastvol.http.headers import canonical_name, is_token
from fastvol.http.media_type import parse_media_type
from fastvol.http.quoted_printable import decode_quoted_printable
from fastvol.limits import MULTIPART_LINE_BYTES_MAX

Body = bytes | bytearray

BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Finds what no header value may hold."""
_BLANKS: Final = b" \t"


@dataclass(slots=True)
class Part:
    """One part; ``data`` is a view of the body, still encoded where ``is_quoted``."""

    data: memoryview
    filename: str
    content_type: str
    content_encoding: str
    content_md5: str
    is_quoted: bool = False


class PartReader:
    """Cursor over a body; ``next_part`` does what Go's ``NextPart`` and ``Part.Read`` do."""

    def __init__(self, body: Body, boundary: bytes) -> None:
        self._body = body
        self._view = memoryview(body)
        self._at = 0
        self._dash_boundary = b"--" + boundary
        self._line_end = b"\r\n"
        self._parts_read = 0
        self._truncated = False

    def next_part(self) -> Part:
        """The next part; it may lack its end, which :meth:`check_complete` tells.

        Raises:
            InvalidRequestError: there is none, or its headers are malformed.
        """
        self._to_next_delimiter()
        headers = self._part_headers()
        filename = _part_filename(headers.get(b"Content-Disposition", b""))
        data = self._part_data()
        coding = headers.get(b"Content-Transfer-Encoding", b"").lower()
        return Part(
            data,
            filename,
            to_text(headers.get(b"Content-Type", b"")),
            to_text(headers.get(b"Content-Encoding", b"")),
            to_text(headers.get(b"Content-Md5", b"")),
            coding == b"quoted-printable",
        )

    def decode(self, part: Part) -> None:
        """Decode the data of the part that came last: nobody looks at those that are skipped.

        Raises:
            InvalidRequestError: its quoted-printable text is none.
        """
        if part.is_quoted:
            whole = not self._truncated
            part.data = memoryview(decode_quoted_printable(bytes(part.data), is_whole=whole))
            part.is_quoted = False

    def check_complete(self) -> None:
        """Raise InvalidRequestError when the last part had no end."""
        if self._truncated:
            raise InvalidRequestError("unexpected EOF")

    def _to_next_delimiter(self) -> None:
        if self._dash_boundary == b"--":
            raise InvalidRequestError("multipart: boundary is empty")
        blank_seen = False
        while True:
            line = self._line()
            if line is None:
                rest = bytes(self._view[self._at :])
                if self._is_final(rest):
                    raise InvalidRequestError("EOF")
                reason = "bufio: buffer full" if len(rest) >= MULTIPART_LINE_BYTES_MAX else "EOF"
                raise InvalidRequestError(f"multipart: NextPart: {reason}")
            if self._is_delimiter(line):
                self._parts_read += 1
                return
            if self._is_final(line):
                raise InvalidRequestError("EOF")
            if blank_seen:
                raise InvalidRequestError(
                    f"multipart: expecting a new Part; got line {go_quote(to_text(line))}"
                )
            if self._parts_read == 0:
                continue
            if line != self._line_end:
                raise InvalidRequestError(
                    f"multipart: unexpected line in Next(): {go_quote(to_text(line))}"
                )
            blank_seen = True

    def _line(self) -> bytes | None:
        """The next line with its end; None, without moving, when there is no complete one."""
        limit = self._at + MULTIPART_LINE_BYTES_MAX
        end = self._body.find(b"\n", self._at, limit)
        if end < 0:
            return None
        line = bytes(self._view[self._at : end + 1])
        self._at = end + 1
        return line

    def _is_final(self, line: bytes) -> bool:
        mark = self._dash_boundary + b"--"
        return line.startswith(mark) and line[len(mark) :].lstrip(_BLANKS) in (b"", self._line_end)

    def _is_delimiter(self, line: bytes) -> bool:
        if not line.startswith(self._dash_boundary):
            return False
        rest = line[len(self._dash_boundary) :].lstrip(_BLANKS)
        if self._parts_read == 0 and rest == b"\n":
            self._line_end = b"\n"
        return rest == self._line_end

    def _part_headers(self) -> dict[bytes, bytes]:
        """First value of each canonical name."""
        headers: dict[bytes, bytes] = {}
        if self._at_blank():
            line = self._header_line()
            raise InvalidRequestError(
                f"malformed MIME header initial line: {go_quote(to_text(line))}"
            )
        while True:
            line = self._logical_line()
            if not line:
                return headers
            raw_name, _, value = line.partition(b":")
            # A name with blanks in it is let through as it is.
            if not is_token(raw_name.replace(b" ", b"")):
                raise _malformed(line)
            name = canonical_name(raw_name)
            if BAD_VALUE.search(value):
                raise _malformed(name + b":" + value)
            headers.setdefault(name, value.lstrip(_BLANKS))

    def _logical_line(self) -> bytes:
        """A header line joined with its continuation lines."""
        line = self._header_line()
        if not line:
            return line
        if b":" not in line:
            raise InvalidRequestError(
                f"malformed MIME header: missing colon: {go_quote(to_text(line))}"
            )
        if not self._at_blank():
            return line.strip(_BLANKS)
        lines = [line.strip(_BLANKS)]
        while self._at_blank():
            lines.append(self._header_line().strip(_BLANKS))
        return b" ".join(lines)

    def _at_blank(self) -> bool:
        return self._at < len(self._body) and self._body[self._at] in _BLANKS

    def _header_line(self) -> bytes:
        """One physical line without its end; the last one may lack the end.

        A carriage return is a part of the end only before a line feed.
        """
        if self._at >= len(self._body):
            raise InvalidRequestError("EOF")
        start, end = self._at, self._body.find(b"\n", self._at)
        if end < 0:
            self._at = len(self._body)
            return bytes(self._view[start:])
        self._at = end + 1
        return bytes(self._view[start:end]).removesuffix(b"\r")

    def _part_data(self) -> memoryview:
        """Data up to the next delimiter; leaves the cursor on the delimiter's line end."""
        self._truncated = False
        start = self._at
        if self._body.startswith(self._dash_boundary, start) and self._ends_delimiter(
            start + len(self._dash_boundary)
        ):
            return self._view[start:start]
        mark = self._line_end + self._dash_boundary
        at = self._body.find(mark, start)
        while at >= 0 and not self._ends_delimiter(at + len(mark)):
            at = self._body.find(mark, at + len(mark))
        if at < 0:
            self._truncated = True
            at = len(self._body)
        self._at = at
        return self._view[start:at]

    def _ends_delimiter(self, at: int) -> bool:
        """Whether what follows a boundary's text makes it a delimiter, not data."""
        follows = bytes(self._view[at : at + 2])
        return follows == b"--" or follows[:1] in (b"", b" ", b"\t", b"\r", b"\n")


def _malformed(line: bytes) -> InvalidRequestError:
    return InvalidRequestError("malformed MIME header line: " + go_quote(to_text(line)))


def _part_filename(disposition: bytes) -> str:
    try:
        name = parse_media_type(to_text(disposition)).parameters.get("filename", "")
    except InvalidRequestError:
        return ""
    return clean_filename(go_base(name)) if name else ""
