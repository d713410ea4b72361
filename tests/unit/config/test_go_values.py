"""Flag values parse as in Go; the accepted and refused spellings were tried on the real binary."""

import pytest

from fastvol.config.go_values import (
    format_duration,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    parse_uint,
)
from fastvol.formats.go_numbers import atoi


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("+5", 5),
        ("0", 0),
        ("0x61D8", 0x61D8),
        ("0X1f", 31),
        ("0o17", 15),
        ("017", 15),
        ("00", 0),
        ("0_7", 7),
        ("0b11", 3),
        ("0x_1F", 31),
        ("1_000", 1000),
        ("-9223372036854775808", -(1 << 63)),
    ],
)
def test_int(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1.5", "08", "0x", "0b12", "0o8", "_1", "1_", "1__0", " 1", "1 ", "١", "+-1"],
)
def test_bad_int(text: str) -> None:
    with pytest.raises(ValueError, match=r'^strconv\.ParseInt: parsing ".*": invalid syntax$'):
        parse_int(text)


def test_int_range() -> None:
    with pytest.raises(ValueError) as caught:
        parse_int("9223372036854775808")
    assert str(caught.value) == (
        'strconv.ParseInt: parsing "9223372036854775808": value out of range'
    )


def test_uint() -> None:
    assert parse_uint("0x10") == 16
    for text, reason in (("-1", "invalid syntax"), (str(1 << 64), "value out of range")):
        with pytest.raises(ValueError) as caught:
            parse_uint(text)
        assert str(caught.value) == f'strconv.ParseUint: parsing "{text}": {reason}'


def test_decimal() -> None:
    assert atoi("+7") == 7
    assert atoi("010") == 10
    for text in ("0x1", "", "1_0", " 7"):
        with pytest.raises(ValueError, match=r"^strconv\.Atoi: parsing .* invalid syntax$"):
            atoi(text)


def test_bool() -> None:
    assert all(parse_bool(text) for text in ("1", "t", "T", "TRUE", "true", "True"))
    assert not any(parse_bool(text) for text in ("0", "f", "F", "FALSE", "false", "False"))
    for text in ("", "yes", "tRUE"):
        with pytest.raises(ValueError) as caught:
            parse_bool(text)
        assert str(caught.value) == f'strconv.ParseBool: parsing "{text}": invalid syntax'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("60s", 60),
        ("1m0s", 60),
        ("1.5h3m", 5580),
        ("-1.5s", -1.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("100ms", 0.1),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("3ns", 3e-9),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("10", 'time: missing unit in duration "10"'),
        ("abc", 'time: invalid duration "abc"'),
        ("1x", 'time: unknown unit "x" in duration "1x"'),
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        (".", 'time: invalid duration "."'),
        ("1s2", 'time: missing unit in duration "1s2"'),
        ("99999999h", 'time: invalid duration "99999999h"'),
    ],
)
def test_bad_duration(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == error


def test_durations_are_shown_like_go_shows_them() -> None:
    assert [format_duration(s) for s in (60, 2, 3600, 0)] == ["1m0s", "2s", "1h0m0s", "0s"]


def test_float() -> None:
    assert parse_float("1e1") == 10
    assert parse_float(".5") == 0.5
    for text in ("", "nan", "inf", "0x10", "1_0", "1e999", "abc"):
        with pytest.raises(ValueError):
            parse_float(text)
