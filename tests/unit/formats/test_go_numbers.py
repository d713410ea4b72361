"""Go's integer parsing, with its error texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.formats.go_numbers import atoi, parse_int, parse_uint, quote


@given(st.integers(0, 2**64 - 1))
def test_every_unsigned_number_parses(value: int) -> None:
    assert parse_uint(str(value)) == value
    assert parse_uint(f"{value:x}", 16) == value
    assert parse_uint(f"{value:X}", 16) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_signed_number_parses(value: int) -> None:
    assert atoi(str(value)) == value
    assert parse_int(f"{value:+d}") == value


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", " 1", "1 ", "1_0", "٣", "0x1", "1.0"])
def test_what_is_no_unsigned_number(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax") as error:
        parse_uint(text)
    assert str(error.value) == f'strconv.ParseUint: parsing "{text}": invalid syntax'


def test_out_of_range_is_told_apart() -> None:
    with pytest.raises(ValueError, match=r'^strconv.ParseUint: parsing "18446744073709551616": '):
        parse_uint("18446744073709551616")
    with pytest.raises(ValueError, match=r"value out of range$"):
        parse_uint("99999999999999999999x")  # Go stops at the overflow
    with pytest.raises(
        ValueError, match=r'^strconv.Atoi: parsing "9223372036854775808": value out'
    ):
        atoi("9223372036854775808")
    with pytest.raises(ValueError, match=r'^strconv.Atoi: parsing "--1": invalid syntax$'):
        atoi("--1")


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a", '"a"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("\n\t\x00\x7f", '"\\n\\t\\x00\\x7f"'),
        ("é☃", '"é☃"'),
        ("\u200b", '"\\u200b"'),
        ("\U000e0001", '"\\U000e0001"'),
        (b"\xff".decode("utf-8", "surrogateescape"), '"\\xff"'),
    ],
)
def test_quotes_as_go_does(text: str, quoted: str) -> None:
    assert quote(text) == quoted
