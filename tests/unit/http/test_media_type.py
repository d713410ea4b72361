"""Media types parse as in Go, and fail with Go's texts, which clients see."""

import pytest

from fastvol.errors import InvalidRequestError
from fastvol.http.media_type import parse_media_type


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("Text/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ("text/plain;", "text/plain", {}),
        ("text/plain ; a=1 ; a=1", "text/plain", {"a": "1"}),
        ('x; a="b;\\"c"; d=e', "x", {"a": 'b;"c', "d": "e"}),
        ('x; a="C:\\dir\\f"', "x", {"a": "C:\\dir\\f"}),
        ('x; a=""', "x", {"a": ""}),
        ("x; f*=utf-8''%C3%A9; g*=latin1''x", "x", {"f": "é"}),
        ("x; f*0=a; f*1=b", "x", {"f": "ab"}),
        ("x; f*0*=utf-8''%41; f*1=b; f*2*=%43", "x", {"f": "AbC"}),
        ("x; f*1=b", "x", {}),
        ("x; f*=bad; f=plain", "x", {"f": "plain"}),
        ("x; f*=utf-8''%4; f*0=z", "x", {}),
    ],
)
def test_parse(text: str, kind: str, parameters: dict[str, str]) -> None:
    assert parse_media_type(text) == (kind, parameters)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("/plain", "mime: no media type"),
        ("", "mime: no media type"),
        ("te xt/plain", "mime: expected slash after first token"),
        ("text/", "mime: expected token after slash"),
        ("text/plain x", "mime: unexpected content after media subtype"),
        ("text/a/b", "mime: unexpected content after media subtype"),
        ("text/plain; charset", "mime: invalid media parameter"),
        ("text/plain; ;", "mime: invalid media parameter"),
        ("text/plain; =x", "mime: invalid media parameter"),
        ("text/plain; a=", "mime: invalid media parameter"),
        ('text/plain; a="b', "mime: invalid media parameter"),
        ("text/plain; a=b c", "mime: invalid media parameter"),
        ("text/plain; a=1; a=2", "mime: duplicate parameter name"),
    ],
)
def test_errors(text: str, error: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_media_type(text)
    assert str(caught.value) == error
