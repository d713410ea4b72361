"""Response heads: order, framing, and no way for a value to say more than its line."""

import re
import time

import pytest

from fastvol._cffi.serve import http_date
from fastvol.http.response import (
    FileBody,
    HeaderWriter,
    Response,
    json_error,
    json_response,
    text_error,
)


def written(
    response: Response, *, is_head: bool = False, http10: bool = False, keep_alive: bool = True
) -> list[str]:
    response.write_json(pretty=False)
    raw = HeaderWriter("S").head(response, is_head=is_head, http10=http10, keep_alive=keep_alive)
    text = raw.decode()
    assert text.endswith("\r\n\r\n") and text.count("\r\n\r\n") == 1
    return re.sub(r"Date: [^\r]+ GMT", "Date: D", text).split("\r\n")[:-2]


def test_headers_are_sorted_and_the_librarys_own_follow() -> None:
    response = Response(200, {"Etag": '"1"', "Accept-Ranges": "bytes"}, b"<html>")
    HeaderWriter("S").add_common(response)
    lines = written(response, keep_alive=False)
    response_id = response.headers["X-Amz-Request-Id"]
    assert re.fullmatch(r"[0-9A-F]{24}", response_id)
    assert lines == [
        "HTTP/1.1 200 OK",
        "Accept-Ranges: bytes",
        'Etag: "1"',
        "Server: S",
        f"X-Amz-Request-Id: {response_id}",
        "Date: D",
        "Content-Length: 6",
        "Content-Type: text/html; charset=utf-8",
        "Connection: close",
    ]


def test_a_stored_header_is_not_overwritten_by_a_common_one() -> None:
    response = Response(200, {"Server": "mine", "X-Amz-Request-Id": "id", "Date": "then"})
    HeaderWriter("S").add_common(response)
    assert written(response) == [
        "HTTP/1.1 200 OK",
        "Date: then",
        "Server: mine",
        "X-Amz-Request-Id: id",
        "Content-Length: 0",
    ]


@pytest.mark.parametrize("status", [204, 304])
def test_bodyless_statuses_say_no_length(status: int) -> None:
    assert written(Response(status, {"Etag": "x"}))[1:] == ["Etag: x", "Date: D"]


def test_head_requests() -> None:
    assert written(Response(404), is_head=True)[1:] == ["Date: D"]
    assert written(Response(200, {"Content-Length": "7"}), is_head=True)[1:] == [
        "Content-Length: 7",
        "Date: D",
    ]
    error = written(json_error(401, "wrong jwt"), is_head=True)
    assert "Content-Length: 21" in error


def test_type_is_sniffed_only_when_nothing_speaks_against_it() -> None:
    body = b"\x89PNG\r\n\x1a\n"
    assert "Content-Type: image/png" in written(Response(200, {}, body))
    assert not any("Type" in line for line in written(Response(200, {}, b"")))
    assert not any("Type" in line for line in written(Response(200, {}, body), is_head=True))
    for headers in ({"Content-Type": ""}, {"Content-Encoding": "gzip"}):
        assert "Content-Type: image/png" not in written(Response(200, headers, body))
    assert "Content-Type: image/png" in written(Response(200, {"Content-Encoding": ""}, body))


def test_file_bodies_count_and_sniff_like_others() -> None:
    body = FileBody(None, 0, 1000, b"\x1f\x8b\x08")  # type: ignore[arg-type]
    lines = written(Response(206, {}, body))
    assert lines[-2:] == ["Content-Length: 1000", "Content-Type: application/x-gzip"]


def test_old_clients() -> None:
    assert written(Response(200), http10=True, keep_alive=False)[0] == "HTTP/1.0 200 OK"
    assert written(Response(200), http10=True, keep_alive=False)[-1] == "Content-Length: 0"
    assert written(Response(200), http10=True)[-1] == "Connection: keep-alive"
    assert written(Response(200))[-1] == "Content-Length: 0"


def test_no_value_ends_its_line_and_no_name_is_anything_else() -> None:
    headers = {
        "X-A": "1\r\nX-B: 2",
        "X-C": "1\n\n2",
        "X D": "1",
        "X:E": "1",
        "X\r\nF": "1",
        "": "1",
        "É": "1",
    }
    assert written(Response(200, headers))[1:] == [
        "X-A: 1  X-B: 2",
        "X-C: 1  2",
        "Date: D",
        "Content-Length: 0",
    ]


def test_blanks_around_a_value_go_and_so_do_line_ends_there() -> None:
    headers = {"X-A": " a b\t", "X-B": '";\\\n', "X-C": "\r\n"}
    assert written(Response(200, headers))[1:4] == ["X-A: a b", 'X-B: ";\\', "X-C: "]


def test_framing_is_the_writers_alone() -> None:
    names = ("Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Upgrade")
    lines = written(Response(200, dict.fromkeys(names, "chunked"), b"x"))
    assert [line.split(":")[0] for line in lines[1:]] == ["Date", "Content-Length", "Content-Type"]


def test_values_that_are_no_utf_8_go_out_as_they_came() -> None:
    raw = HeaderWriter("S").head(
        Response(200, {"X": "\udcff"}), is_head=False, http10=False, keep_alive=True
    )
    assert b"\r\nX: \xff\r\n" in raw


def test_date_is_now() -> None:
    before = int(time.time())
    shown = HeaderWriter("S").date()
    assert shown in {http_date(second) for second in range(before, int(time.time()) + 1)}


def test_json_and_text_errors() -> None:
    error = json_error(400, "<a>&\u2028")
    error.write_json(pretty=False)
    assert error.body == b'{"error":"\\u003ca\\u003e\\u0026\\u2028"}'
    assert error.headers == {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
    }
    shown = json_response(200, {"a": [1]})
    shown.write_json(pretty=True)
    assert shown.body == b'{\n  "a": [\n    1\n  ]\n}'
    assert text_error(416, b"invalid range\n").headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
    }
