"""Base names: the last underscore parts collection and volume id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.formats.file_names import base_name, parse_base_name


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("7", ("", 7)), ("col_7", ("col", 7)), ("col_a_22", ("col_a", 22))],
)
def test_names(text: str, parsed: tuple[str, int]) -> None:
    assert parse_base_name(text) == parsed
    assert base_name(*parsed) == text


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.integers(0, 2**32 - 1))
def test_names_round_trip(collection: str, volume_id: int) -> None:
    assert parse_base_name(base_name(collection, volume_id)) == (collection, volume_id)


@pytest.mark.parametrize("text", ["", "_7", "col", "col_", "7.tmp"])
def test_names_without_a_volume_id(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_base_name(text)
