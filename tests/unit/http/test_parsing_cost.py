"""Parsing takes time in proportion to what there is to parse, whatever a client makes up.

It holds the interpreter, and small uploads are parsed on the event loop: what takes ten thousand
times as long for a hundred times as much stops the server for everybody.
"""

import contextlib
import time
from collections.abc import Callable

import pytest

from fastvol.errors import InvalidRequestError
from fastvol.http.disposition import upload_filename
from fastvol.http.image_wholeness import is_whole
from fastvol.http.media_type import parse_media_type
from fastvol.http.multipart import choose_part
from fastvol.http.query import clean_location, parse_query, split_target
from fastvol.http.ranges import parse_range

SECONDS_MAX = 3.0
"""Far more than any takes, far less than the least of those that grow by the square."""
MUCH = 1_000_000


def part(head: bytes, data: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data\r\n" + head + b"\r\n" + data + b"\r\n--b--\r\n"


def stored(head: bytes, data: bytes) -> Callable[[], object]:
    body = part(head, data)
    return lambda: choose_part(body, b"b", 1 << 30)


QUOTED = b"Content-Transfer-Encoding: quoted-printable\r\n"
CASES: dict[str, Callable[[], object]] = {
    "blanks inside a quoted-printable line": stored(QUOTED, b" " * MUCH + b"x"),
    "blanks in many quoted-printable lines": stored(QUOTED, (b" " * 1000 + b"x\r\n") * 1000),
    "continued header lines": stored(b"A: b\r\n" + b" c\r\n" * (MUCH // 4), b""),
    "header lines": stored(b"".join(b"A%d: b\r\n" % n for n in range(MUCH // 10)), b""),
    "parts": lambda: choose_part(b"--b\r\n\r\nx\r\n" * (MUCH // 10) + b"--b--", b"b", 1 << 30),
    "almost delimiters": stored(b"", b"\r\n--b" * (MUCH // 5)),
    "parameters": lambda: parse_media_type(
        "a/b" + "".join(f";a{n}=b" for n in range(MUCH // 10)),
    ),
    "a quoted value": lambda: parse_media_type('a/b;c="' + "\\\\" * (MUCH // 2) + '"'),
    "numbered parameters": lambda: parse_media_type(
        "a/b" + "".join(f";a*{n}=b" for n in range(MUCH // 10)),
    ),
    "blanks between parameters": lambda: parse_media_type("a/b" + " " * MUCH + "x"),
    "disposition": lambda: upload_filename(
        "inline; name=x" + "".join(f";a{n}=b" for n in range(MUCH // 10))
    ),
    "fill bytes of a JPEG": lambda: is_whole(b"\xff\xd8" + b"\xff" * MUCH + b"\0", "JPEG"),
    "markers of a JPEG": lambda: is_whole(b"\xff\xd8" + b"\xff\xe0\0\0" * (MUCH // 4), "JPEG"),
    "ranges": lambda: parse_range("bytes=" + "0-0," * (MUCH // 4), 1 << 40),
    "path segments": lambda: clean_location(split_target(b"/a/.." * (MUCH // 5))),
    "query": lambda: parse_query(b"&".join(b"a%d=%%41" % n for n in range(MUCH // 10))),
}


@pytest.mark.parametrize("case", CASES)
def test_time_grows_with_the_input_only(case: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(InvalidRequestError):
        CASES[case]()
    assert time.monotonic() - began < SECONDS_MAX
