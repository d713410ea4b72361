"""Log lines have glog's form."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from fastvol.observability.logs import configure, verbose

log = logging.getLogger("fastvol.test")


@pytest.fixture(name="stream")
def stream_fixture() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("level", "letter"),
    [
        (logging.INFO, "I"),
        (logging.WARNING, "W"),
        (logging.ERROR, "E"),
        (logging.CRITICAL, "F"),
    ],
)
def test_text_lines(stream: io.StringIO, level: int, letter: str) -> None:
    configure(stream=stream)
    log.log(level, "hello %d", 5)
    assert re.fullmatch(
        letter + r"\d{4} \d\d:\d\d:\d\d\.\d{6} test_logs\.py:\d+ hello 5\n", stream.getvalue()
    )


def test_json_lines(stream: io.StringIO) -> None:
    configure(as_json=True, stream=stream)
    log.critical('a "b"')
    line = json.loads(stream.getvalue())
    assert list(line) == ["ts", "level", "file", "line", "msg"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line["ts"])
    assert (line["level"], line["file"], line["msg"]) == ("FATAL", "test_logs.py", 'a "b"')


def test_verbosity(stream: io.StringIO) -> None:
    configure(verbosity=2, stream=stream)
    for level in range(5):
        log.log(verbose(level), "level %d", level)
    lines = stream.getvalue().splitlines()
    assert [line[-7:] for line in lines] == ["level 0", "level 1", "level 2"]
    assert all(line.startswith("I") for line in lines)


@pytest.mark.parametrize("as_json", [False, True])
def test_tracebacks_are_kept(stream: io.StringIO, as_json: bool) -> None:
    configure(as_json=as_json, stream=stream)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        log.exception("failed")
    text = json.loads(stream.getvalue())["msg"] if as_json else stream.getvalue()
    assert "failed\nTraceback" in text
    assert "RuntimeError: boom" in text


def test_a_message_is_one_line_whatever_a_client_put_into_it(stream: io.StringIO) -> None:
    configure(stream=stream)
    log.error("GET %s", "/1,a\nE0101 \x1b[2J\u2028\x9b é\tž")
    assert stream.getvalue().endswith(" GET /1,a\\nE0101 \\x1b[2J\\u2028\\x9b é\tž\n")
    assert stream.getvalue().count("\n") == 1
