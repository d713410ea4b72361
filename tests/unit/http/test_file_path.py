"""Paths name volumes and needles; an odd one is refused, never an index error."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.errors import InvalidRequestError
from fastvol.http.file_path import parse_url_path, write_fid


@pytest.mark.parametrize(
    ("path", "pieces"),
    [
        ("/3,01637037d6", ("3", "01637037d6", "", "")),
        ("/3,01637037d6.jpg", ("3", "01637037d6", "", ".jpg")),
        ("/3,01637037d6_2.jpg", ("3", "01637037d6_2", "", ".jpg")),
        ("/3,01637037d6.", ("3", "01637037d6", "", ".")),
        ("/3,01637037d6.tar.gz", ("3", "01637037d6.tar", "", ".gz")),
        ("/a,b,01637037d6", ("a,b", "01637037d6", "", "")),
        ("/,01637037d6", ("", "01637037d6", "", "")),
        ("/3/01637037d6", ("3", "01637037d6", "", "")),
        ("/3/01637037d6.jpg", ("3", "01637037d6", "", ".jpg")),
        ("/3/.jpg", ("3", ".jpg", "", "")),
        ("/3,01637037d6/", ("3,01637037d6", "", "", "")),
        ("/3/01637037d6/my photo.jpg", ("3", "01637037d6", "my photo.jpg", ".jpg")),
        ("/3/01637037d6/", ("3", "01637037d6", "", "")),
        ("/3/01637037d6.x/name", ("3", "01637037d6.x", "name", "")),
        ("/", ("", "", "", "")),
        ("/status", ("status", "", "", "")),
        ("/4.x", ("4.x", "", "", "")),
        ("/a/b/c/4", ("4", "", "", "")),
    ],
)
def test_shapes(path: str, pieces: tuple[str, str, str, str]) -> None:
    assert parse_url_path(path) == pieces


@pytest.mark.parametrize(
    "path", ["/x/y/z/3,01637037d6", "/3.5,01637037d6", "", "*", "3,01637037d6", "x/3,01637037d6"]
)
def test_shapes_that_upstream_crashes_on_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_url_path(path)


@given(st.text(alphabet="/,._3aé"))
def test_any_path_is_parsed_or_refused(path: str) -> None:
    with suppress(InvalidRequestError):
        parse_url_path(path)
    write_fid(path)


@pytest.mark.parametrize(
    ("path", "fid"),
    [
        ("/3,01637037d6", "01637037d6"),
        ("/4,5f01637037d6.jpg", "5f01637037d6"),
        ("/4/a,5f01637037d6", "5f01637037d6"),
        ("/4/a.b,5f01637037d6", "5f01637037d6"),
        ("/3/01637037d6", "/3/01637037d6"),
        ("/4", "/4"),
        ("/4,", ""),
    ],
)
def test_uploads_take_what_follows_the_last_comma(path: str, fid: str) -> None:
    assert write_fid(path) == fid
