"""Numbers, strings and patterns as Go reads them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.query.go_float import go_float
from fastvol.query.json_string import quoted, unescaped, unquoted
from fastvol.query.wildcard import matches


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"1", 1.0),
        (b"+.5e1", 5.0),
        (b"1.", 1.0),
        (b"1_0", 10.0),
        (b"0x1p4", 16.0),
        (b"-0X_1.8p0", -1.5),
        (b"1e400", math.inf),
        (b"-0x1p9999", -math.inf),
        (b"1e-" + b"9" * 9999, 0.0),
        (b"Infinity", math.inf),
        (b"-inf", -math.inf),
        (b"9" * 5000, math.inf),
        (b"", 0.0),
        (b".", 0.0),
        (b"1__0", 0.0),
        (b"_1", 0.0),
        (b"0x1", 0.0),
        (b"0xp1", 0.0),
        (b" 1", 0.0),
        (b"1e", 0.0),
        (b"infinit", 0.0),
        (b"\xff", 0.0),
    ],
)
def test_numbers(text: bytes, number: float) -> None:
    assert go_float(text) == number


def test_no_number_equals_nan() -> None:
    assert math.isnan(go_float(b"NaN"))
    assert go_float(b"-nan") == 0.0


@pytest.mark.parametrize(
    ("inner", "content"),
    [
        (rb"a\n\/\"\\\u0041", b'a\n/"\\A'),
        (rb"\ud83d\ude00", "\N{GRINNING FACE}".encode()),
        (rb"\ud83d", b"\xef\xbf\xbd"),
        (rb"\ud83d\u0041b", b"\xef\xbf\xbdb"),
        (rb"\ude00\ud83d", b"\xef\xbf\xbd"),
        (rb"\u12", b""),
        (rb"a\uzzzzb", b"a\0b"),
        (rb"a\xb", b"a"),
        (b"a\\n\tb", b"a\n"),
        (b"a\\", b"a"),
        (b"\xff\\n", b"\xff\n"),
    ],
)
def test_escapes(inner: bytes, content: bytes) -> None:
    assert unescaped(inner) == content


def test_a_string_without_escapes_is_taken_as_it_is() -> None:
    assert unquoted(b'"a\tb"') == b"a\tb"


@given(st.binary())
def test_quoting_is_undone_by_reading(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    expected = re.sub("[\udc80-\udcff]", "\ufffd", text).encode()
    made = quoted(content)
    assert unquoted(made) == expected
    assert not re.search(rb"[\x00-\x1f<>&]", made)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"*", [b"", b"a"], []),
        (b"", [b""], [b"a"]),
        (b"a*c", [b"ac", b"abc", b"acc"], [b"a", b"acb", b"bac"]),
        (b"*a*", [b"a", b"bab"], [b"", b"b"]),
        (b"a*a", [b"aa", b"aba"], [b"a"]),
        (b"?", [b"a", "é".encode(), b"\xff"], [b"", b"ab"]),
        (b"*?b?*", [b"abc", b"xabcx"], [b"ab", b"bc", b"b"]),
        (rb"\*", [b"*"], [b"a", b"\\*"]),
        (rb"a\?*", [b"a?", b"a?b"], [b"ab"]),
        (b"**", [b"", b"x"], []),
        (b".*", [b".", b".a"], [b"a"]),
    ],
)
def test_patterns(pattern: bytes, yes: list[bytes], no: list[bytes]) -> None:
    assert [text for text in yes + no if matches(text, pattern)] == yes


@given(st.text("ab", max_size=12), st.text("ab*?", max_size=8))
def test_patterns_mean_what_they_mean_as_regular_expressions(text: str, pattern: str) -> None:
    expression = pattern.replace("*", ".*").replace("?", ".")
    assert matches(text.encode(), pattern.encode()) == bool(re.fullmatch(expression, text))


def test_a_part_is_found_at_any_distance() -> None:
    for distance in (4094, 4095, 4096, 4097, 8192):
        assert matches(b"x" * distance + b"a-b", b"*a?b")
        assert matches(b"x" * distance + b"a-b" + b"y" * distance, b"*a?b*")
