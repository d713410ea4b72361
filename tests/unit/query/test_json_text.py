"""Where values begin and end, in any bytes whatever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.query.json_text import STEP, Kind, values


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"a":1}{"a":2} {"a":3}', [b'{"a":1}', b'{"a":2}', b'{"a":3}']),
        (b' ,x]}"a" , "b', [b'"a"']),
        (b'{"}":"\\"}"}1', [b'{"}":"\\"}"}', b"1"]),
        (b"{[(}])x", [b"{[(}])"]),
        (b"{[(}]", [b"{[(}]"]),
        (b"nul,null1 true2 f", [b"nul", b"null", b"1", b"true", b"2", b"f"]),
        (b"nan,n,+5 -Inf]NaN}1e5,n", [b"nan", b"n", b"+5", b"-Inf", b"NaN", b"1e5", b"n"]),
        (b'"a\\', []),
        (b'"\\\\"1', [b'"\\\\"', b"1"]),
        (b'["', [b'["']),
        (b"", []),
    ],
)
def test_values_of_a_text(text: bytes, found: list[bytes]) -> None:
    assert [value.raw for value in values(text)] == found


def test_kinds() -> None:
    text = b'{} [] "" 1 -1 inf nan n null true false'
    names = [value.kind.name for value in values(text)]
    assert names == [*["BLOCK"] * 2, "STRING", *["NUMBER"] * 5, "NULL", "TRUE", "FALSE"]


@pytest.mark.parametrize("size", [STEP - 1, STEP, STEP + 1, 3 * STEP])
def test_long_values_are_found_whole(size: int) -> None:
    for text in (
        b'"' + b"a" * size + b'"',
        b'"' + b'\\"' * size + b'"',
        b"[" * size + b"]" * size,
        b"[" + b"{}" * size + b"]",
        b'["' + b"]" * size + b'"]',
        b'["' + b'\\"' * size + b'"]',
        b"[" + b"x" * size + b"]",
        b"1" * size,
        b"t" * size,
    ):
        (value,) = values(b"," * size + text)
        assert value.raw == text
        assert not value.is_cut


def test_a_block_that_ends_in_a_string_is_cut() -> None:
    for text, is_cut in ((b'["', True), (b'["a" "', True), (b"[", False), (b'["a"', False)):
        (value,) = values(text)
        assert (value.raw, value.is_cut) == (text, is_cut)


@given(st.lists(st.sampled_from([*map(bytes, zip(b'{}[]()"\\,:ntfi1- \x00\xff'))])).map(b"".join))
def test_values_follow_one_another_in_any_text(text: bytes) -> None:
    at = 0
    for value in values(text):
        assert at <= value.start < value.stop <= len(text)
        assert (value.kind is Kind.STRING) == (value.raw[:1] == b'"')
        at = value.stop
