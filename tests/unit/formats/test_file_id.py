"""File ids: formatting, parsing, deltas, and every refusal's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.formats.file_id import (
    FileId,
    format_file_id,
    parse_key_cookie,
    parse_path,
    parse_volume_id,
)

UINT32 = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("key", "text"),
    [(1, "7,01890e2b08"), (0x123, "7,0123890e2b08"), (0, "7,890e2b08")],
)
def test_leading_zero_bytes_are_left_out(key: int, text: str) -> None:
    assert format_file_id(7, key, 0x890E2B08) == text


@given(UINT32, st.integers(1, 2**64 - 1), UINT32)
def test_a_printed_id_parses(volume_id: int, key: int, cookie: int) -> None:
    fid = FileId(volume_id, key, cookie)
    assert FileId.parse(str(fid)) == fid
    assert parse_path(str(fid).partition(",")[2]) == (key, cookie)


def test_odd_lengths_and_upper_case_parse() -> None:
    assert parse_key_cookie("1AB890E2B08") == (0x1AB, 0x890E2B08)
    assert parse_key_cookie("0" * 15 + "1" + "890e2b08") == (1, 0x890E2B08)


def test_a_volume_id_is_cut_to_32_bits() -> None:
    assert parse_volume_id("4294967297") == 1
    with pytest.raises(ValueError, match=r'^strconv.ParseUint: parsing "-1": invalid syntax$'):
        parse_volume_id("-1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("890e2b08", "KeyHash is too short."),
        ("0" * 25, "KeyHash is too long."),
        (
            "0x01890e2b08",
            "Parse needleId error: needle id 0x01 format error: "
            'strconv.ParseUint: parsing "0x01": invalid syntax',
        ),
        (
            "01890e2b0g",
            "Parse cookie error: needle cookie 890e2b0g format error: "
            'strconv.ParseUint: parsing "890e2b0g": invalid syntax',
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"error|KeyHash") as error:
        parse_key_cookie(text)
    assert str(error.value) == message


def test_the_cookie_is_eight_bytes_not_eight_letters() -> None:
    with pytest.raises(ValueError, match=r"needle cookie 223344é format error"):
        parse_key_cookie("1811223344é")
    with pytest.raises(ValueError, match=r'parsing "18\\xc3"'):
        parse_key_cookie("18é2233445")


@pytest.mark.parametrize("text", ["", ",01890e2b08", "7/01890e2b08"])
def test_an_id_without_a_volume_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^wrong fid format$"):
        FileId.parse(text)


def test_a_delta_is_added_to_the_key() -> None:
    assert parse_path("01637037d6_1") == (2, 0x637037D6)
    assert parse_path("01637037d6_") == (1, 0x637037D6)
    assert parse_path("01637037d6_007") == (8, 0x637037D6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("637037d6", "Invalid fid: 637037d6"),
        ("01637037d6_x", 'strconv.ParseUint: parsing "x": invalid syntax'),
        (
            "ffffffffffffffff637037d6_1",
            "delta 1 overflows needle id 66666666666666666666666666666666",
        ),
        (
            "_01637037d6",
            "Parse needleId error: needle id _01 format error: "
            'strconv.ParseUint: parsing "_01": invalid syntax',
        ),
    ],
)
def test_paths_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_path(text)
    assert str(error.value) == message
