"""Range headers: which are honoured, which refused, and how several are framed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.http.ranges import (
    BAD,
    EMPTY_OK,
    FULL,
    NO_OVERLAP,
    Multi,
    RangeResult,
    Single,
    Span,
    multipart_ranges,
    new_boundary,
    parse_range,
)


def single(start: int, length: int) -> Single:
    return Single(Span(start, length))


@pytest.mark.parametrize(
    ("header", "size", "result"),
    [
        ("", 16, FULL),
        ("bytes=0-3", 16, single(0, 4)),
        ("bytes=4-", 16, single(4, 12)),
        ("bytes=-5", 16, single(11, 5)),
        ("bytes=-50", 16, single(0, 16)),
        ("bytes=0-99", 16, single(0, 16)),
        ("bytes= 0 - 3 ", 16, single(0, 4)),
        ("bytes=+1-+2", 16, single(1, 2)),
        ("bytes=,0-1,", 16, single(0, 2)),
        ("bytes=15-15", 16, single(15, 1)),
        ("bytes=-0", 16, single(16, 0)),
        ("bytes=-1", 0, single(0, 0)),
        ("bytes=0-", 0, NO_OVERLAP),
        ("bytes=16-", 16, NO_OVERLAP),
        ("bytes=99-garbage", 16, NO_OVERLAP),
        ("bytes=99-,0-1", 16, single(0, 2)),
        ("bytes=0-1,4-5", 16, Multi((Span(0, 2), Span(4, 2)))),
        ("bytes=4-5,0-1,0-1", 16, Multi((Span(4, 2), Span(0, 2), Span(0, 2)))),
        ("bytes=0-15,0-0", 16, EMPTY_OK),
        ("bytes=", 16, EMPTY_OK),
        ("bytes=,", 16, EMPTY_OK),
        ("Bytes=0-1", 16, BAD),
        ("bytes 0-1", 16, BAD),
        ("bytes=5", 16, BAD),
        ("bytes=3-1", 16, BAD),
        ("bytes=a-1", 16, BAD),
        ("bytes=0-b", 16, BAD),
        ("bytes=-", 16, BAD),
        ("bytes=--5", 16, BAD),
        ("bytes=0-1,x", 16, BAD),
        ("bytes=1_0-", 16, BAD),
        ("bytes=0-9223372036854775808", 16, BAD),
        ("bytes=0-9223372036854775807", 16, single(0, 16)),
        ("bytes=\u0661-", 16, BAD),
        ("bytes=" + "9" * 5000 + "-", 16, BAD),
    ],
)
def test_parse_range(header: str, size: int, result: RangeResult) -> None:
    assert parse_range(header, size) == result


@given(st.text(alphabet="bytes=0123456789-+, "), st.integers(0, 40))
def test_spans_always_lie_within_the_object(header: str, size: int) -> None:
    result = parse_range("bytes=" + header, size)
    spans = result.spans if isinstance(result, Multi) else ()
    if isinstance(result, Single):
        spans = (result.span,)
    assert all(0 <= s.start <= s.start + s.length <= size and s.length >= 0 for s in spans)


def test_content_range() -> None:
    assert Span(0, 4).content_range(16) == "bytes 0-3/16"
    assert Span(16, 0).content_range(16) == "bytes 16-15/16"
    assert Span(0, 0).content_range(0) == "bytes 0--1/0"


def test_multipart_framing() -> None:
    boundary = new_boundary()
    assert len(boundary) == 60
    assert boundary != new_boundary()
    framed = multipart_ranges((Span(0, 2), Span(4, 2)), 16, "", boundary)
    body = framed.heads[0] + b"01" + framed.heads[1] + b"45" + framed.tail
    b = boundary.encode()
    assert body == (
        b"--" + b + b"\r\nContent-Range: bytes 0-1/16\r\nContent-Type: \r\n\r\n01\r\n"
        b"--"
        + b
        + b"\r\nContent-Range: bytes 4-5/16\r\nContent-Type: \r\n\r\n45\r\n--"
        + b
        + b"--\r\n"
    )
    assert framed.content_length == len(body) == 296
    assert framed.content_type == f"multipart/byteranges; boundary={boundary}"


def test_a_great_many_ranges_are_passed_over() -> None:
    one = parse_range("bytes=" + ",".join(["0-0"] * 1024), 1 << 20)
    assert isinstance(one, Multi) and len(one.spans) == 1024
    assert parse_range("bytes=" + ",".join(["0-0"] * 1025), 1 << 20) is FULL
