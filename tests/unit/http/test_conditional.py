"""Dates and conditions of reads."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.http.conditional import http_date, none_match, not_modified_since, parse_http_date

STAMP = 1795333700  # Sun, 22 Nov 2026 07:48:20 GMT


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 22 Nov 2026 07:48:20 GMT",
        "sun, 22 nov 2026 07:48:20 GMT",
        "Mon, 22 Nov 2026 07:48:20 GMT",
        "Sun, 22 Nov 2026 7:48:20 GMT",
        "Sun, 22 Nov 2026 07:48:20.999 GMT",
        "Sun,  22 Nov 2026 07:48:20 GMT",
    ],
)
def test_accepted_dates(text: str) -> None:
    assert parse_http_date(text) == STAMP


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "Sun, 2 Nov 2026 07:48:20 GMT",
        "Sun, 22 Nov 2026 07:48:20 UTC",
        "Sun, 22 Nov 2026 07:48:20 gmt",
        "Sun, 22 Nov 2026 07:48:20 +0000",
        "Sunday, 22-Nov-26 07:48:20 GMT",
        "Sun Nov 22 07:48:20 2026",
        "Xyz, 22 Nov 2026 07:48:20 GMT",
        "Sun, 22 Foo 2026 07:48:20 GMT",
        "Sun, 00 Nov 2026 07:48:20 GMT",
        "Sun, 31 Nov 2026 07:48:20 GMT",
        "Sun, 29 Feb 2026 07:48:20 GMT",
        "Sun, 22 Nov 2026 24:00:00 GMT",
        "Sun, 22 Nov 2026 07:60:20 GMT",
        "Sun, 22 Nov 2026 07:48:60 GMT",
        "Sun, 22 Nov 2026 07:8:20 GMT",
        "Sun, 22 Nov 2026 07:48:20 GMT x",
        "Sun,22 Nov 2026 07:48:20 GMT",
    ],
)
def test_other_dates_count_as_absent(text: str) -> None:
    assert parse_http_date(text) is None
    assert not not_modified_since(text, 1)


@given(st.integers(0, 253402300799))
def test_dates_agree_with_the_standard_library_and_read_back(seconds: int) -> None:
    text = http_date(seconds)
    assert text == format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
    assert parse_http_date(text) == seconds


def test_years_beyond_9999_take_more_digits() -> None:
    assert http_date(253402300800) == "Sat, 01 Jan 10000 00:00:00 GMT"
    assert http_date((1 << 40) - 1) == "Mon, 20 Feb 36812 00:36:15 GMT"


def test_if_modified_since() -> None:
    text = http_date(STAMP)
    assert not_modified_since(text, STAMP)
    assert not_modified_since(text, STAMP - 1)
    assert not not_modified_since(text, STAMP + 1)
    assert not not_modified_since(text, 0)
    assert not not_modified_since("", STAMP)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('"c99465aa"', True),
        ("c99465aa", False),
        ('W/"c99465aa"', False),
        ("*", False),
        ('"c99465aa", "x"', False),
        ("", False),
    ],
)
def test_if_none_match(header: str, matches: bool) -> None:
    assert none_match(header, "c99465aa") is matches
