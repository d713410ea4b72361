"""Response heads: their order, what declares the body's length, and that no value ends its line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.http.response import HeaderWriter, Response, json_error, json_response, text_error

WRITER = HeaderWriter("Test 1")
DATE = r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"


def head(
    response: Response, *, is_head: bool = False, http10: bool = False, keep_alive: bool = True
) -> list[str]:
    raw = WRITER.head(response, is_head=is_head, http10=http10, keep_alive=keep_alive)
    assert raw.endswith(b"\r\n\r\n") and raw.count(b"\r\n\r\n") == 1
    return raw[:-4].decode().split("\r\n")


def test_headers_are_sorted_and_the_librarys_own_come_behind() -> None:
    response = Response(200, {"Etag": '"1"', "Accept-Ranges": "bytes"}, b"text")
    WRITER.add_common(response)
    lines = head(response)
    names = [line.partition(":")[0] for line in lines]
    assert names == [
        "HTTP/1.1 200 OK", "Accept-Ranges", "Etag", "Server", "X-Amz-Request-Id", "Date",
        "Content-Length", "Content-Type",
    ]  # fmt: skip
    assert re.fullmatch(DATE, lines[5])
    assert lines[6:] == ["Content-Length: 4", "Content-Type: text/plain; charset=utf-8"]


def test_stored_pairs_win_over_the_common_headers() -> None:
    response = Response(200, {"Server": "mine"})
    WRITER.add_common(response)
    assert response.headers["Server"] == "mine"


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_declares_no_length(status: int) -> None:
    text = "\n".join(head(Response(status)))
    assert "Content-Length" not in text and "Content-Type" not in text


@pytest.mark.parametrize(
    ("response", "is_head", "length"),
    [
        (Response(404), False, "Content-Length: 0"),
        (Response(404), True, None),
        (json_error(401, "no"), True, "Content-Length: 14"),
        (Response(200, {"Content-Length": "99"}), True, "Content-Length: 99"),
        (Response(206, {"Content-Length": "2"}, b"ab"), False, "Content-Length: 2"),
    ],
)
def test_the_length_is_declared_once(response: Response, is_head: bool, length: str | None) -> None:
    lines = [line for line in head(response, is_head=is_head) if line.startswith("Content-Length")]
    assert lines == ([length] if length else [])


@pytest.mark.parametrize(
    ("http10", "keep_alive", "line"),
    [
        (False, True, None),
        (False, False, "Connection: close"),
        (True, True, "Connection: keep-alive"),
        (True, False, None),
    ],
)
def test_the_connection_header_says_only_what_is_not_understood(
    http10: bool, keep_alive: bool, line: str | None
) -> None:
    lines = head(Response(200), http10=http10, keep_alive=keep_alive)
    assert lines[0].startswith("HTTP/1.0 " if http10 else "HTTP/1.1 ")
    assert [each for each in lines if each.startswith("Connection")] == ([line] if line else [])


def test_nothing_is_sniffed_where_a_type_or_a_coding_is_known() -> None:
    for headers in ({"Content-Type": "a/b"}, {"Content-Encoding": "gzip"}):
        lines = head(Response(200, dict(headers), b"<html>"))
        assert not any("text/html" in line for line in lines)
    assert not any("Content-Type" in line for line in head(Response(200, {}, b"x"), is_head=True))


@given(st.text(max_size=20), st.text(max_size=60))
def test_no_name_and_no_value_makes_a_line_of_its_own(name: str, value: str) -> None:
    lines = head(Response(200, {name: value}))
    assert lines[0] == "HTTP/1.1 200 OK"
    assert len(lines) <= 4
    assert re.fullmatch(DATE, next(line for line in lines[1:] if line.startswith("Date: ")))


def test_errors_are_go_shaped() -> None:
    assert json_error(500, 'a "b" <c>').body == b'{"error":"a \\"b\\" \\u003cc\\u003e"}'
    assert json_response(201, {}).headers["X-Content-Type-Options"] == "nosniff"
    plain = text_error(416, b"invalid range\n")
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert plain.body_length == 14
