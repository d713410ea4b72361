"""File names survive the way out and in, however odd they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.http.disposition import content_disposition, filename_parameter, upload_filename
from fastvol.http.media_type import parse_media_type


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("a.txt", "filename=a.txt"),
        ("a'b*c%d.txt", "filename=a'b*c%d.txt"),
        ("a b.txt", 'filename="a b.txt"'),
        ("3,01637037d6", 'filename="3,01637037d6"'),
        ("[x].txt", 'filename="[x].txt"'),
        ("a@b.txt", 'filename="a@b.txt"'),
        ('q"b\\.txt', 'filename="q\\"b\\\\.txt"'),
        ("é.txt", "filename*=utf-8''%C3%A9.txt"),
        ("é'b*c%d (1)!.txt", "filename*=utf-8''%C3%A9%27b%2Ac%25d%20%281%29!.txt"),
        ("a\x7f", "filename*=utf-8''a%7F"),
        ("a\nb", "filename*=utf-8''a%0Ab"),
        ("a\tb", 'filename="a\tb"'),
        ("\udcff", "filename*=utf-8''%FF"),
    ],
)
def test_filename_parameter(name: str, parameter: str) -> None:
    assert filename_parameter(name) == parameter


def test_content_disposition() -> None:
    assert content_disposition("a.txt", attachment=False) == "inline; filename=a.txt"
    assert content_disposition("a.txt", attachment=True) == "attachment; filename=a.txt"


@given(st.text(min_size=1))
def test_what_reads_send_is_what_uploads_understand(name: str) -> None:
    parameters = parse_media_type("inline; " + filename_parameter(name)).parameters
    assert parameters == {"filename": name}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('inline; filename="a.txt"', "a.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("filename=a.txt", "a.txt"),
        ("name=a.txt", "a.txt"),
        ('attachment; name=n; filename="f"', "f"),
        ('inline; filename="a\\b.txt"', "b.txt"),
        ('inline; filename="/x/y.txt"', "y.txt"),
        ("inline; filename*=utf-8''%C3%A9.txt; name=n", "é.txt"),
        ("inline; filename*=utf-8''x", ""),
        ('form-data; name="f"; filename="x"', ""),
        ("inline; filename=a b", ""),
        ("", ""),
    ],
)
def test_upload_filename(header: str, name: str) -> None:
    assert upload_filename(header) == name
