"""TTLs: upstream's conversions, the two stored bytes, the uint32 of heartbeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.formats.ttl import EMPTY, TTL


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        *[("3m", "0301"), ("60m", "0102"), ("24h", "0103")],
        *[("7d", "0104"), ("30d", "0105"), ("365d", "0106")],
        *[("300m", "0502"), ("500m", "0802"), ("300h", "0c03")],
        *[("4w", "0404"), ("14d", "0204"), ("60d", "0205")],
        *[("90", "5a01"), ("256d", "2404"), ("12M", "0c05")],
        *[("1y", "0106"), ("255y", "ff06"), ("256y", "0000")],
        *[("0m", "0000"), ("3x", "0000"), ("-3m", "0000"), ("", "0000")],
    ],
)
def test_texts_are_stored_as_weed_stores_them(text: str, stored: str) -> None:
    assert TTL.parse(text).to_bytes().hex() == stored


@pytest.mark.parametrize(
    ("text", "number"), [("zm", "z"), ("m", ""), ("3 h", "3 "), ("1.5h", "1.5")]
)
def test_a_count_that_is_no_number_is_an_error(text: str, number: str) -> None:
    with pytest.raises(ValueError, match="Atoi") as error:
        TTL.parse(text)
    assert str(error.value) == f'strconv.Atoi: parsing "{number}": invalid syntax'


@given(st.integers(0, 255), st.integers(0, 255))
def test_stored_bytes_round_trip(count: int, unit: int) -> None:
    ttl = TTL.from_bytes(bytes((count, unit)))
    assert ttl.to_bytes() == bytes((count, unit))
    assert TTL.from_uint32(ttl.to_uint32()) == (ttl if count else EMPTY)
    assert ttl.seconds == 60 * ttl.minutes


@given(st.integers(1, 255), st.sampled_from("mhdwMy"))
def test_a_printed_ttl_parses_to_the_same_time(count: int, letter: str) -> None:
    ttl = TTL.parse(f"{count}{letter}")
    assert TTL.parse(str(ttl)) == ttl
    assert ttl.minutes > 0


def test_lengths() -> None:
    minutes = [TTL(2, unit).minutes for unit in range(8)]
    assert minutes == [0, 2, 120, 2880, 20160, 86400, 1051200, 0]


def test_what_prints_empty() -> None:
    assert [str(t) for t in (EMPTY, TTL(0, 3), TTL(3, 0), TTL(3, 9))] == [""] * 4
    assert str(TTL(3, 3)) == "3d"
    assert TTL.from_bytes(b"\0\0") is EMPTY
