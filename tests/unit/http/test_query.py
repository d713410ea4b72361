"""Targets and queries are read as Go's net/url and ServeMux read them."""

import pytest

from fastvol.errors import InvalidRequestError
from fastvol.http.query import (
    Target,
    clean_location,
    decode_path,
    parse_query,
    parse_query_strict,
    redirect_body,
    split_target,
)


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"", {}),
        (b"a=1&b=2&a=3", {"a": "1", "b": "2"}),
        (b"a", {"a": ""}),
        (b"=x&&", {"": "x"}),
        (b"a=b+c%20d&e%2Bf=%2b", {"a": "b c d", "e+f": "+"}),
        (b"a=1=2", {"a": "1=2"}),
        (b"a=%C3%A9&b=%ff", {"a": "é", "b": "\udcff"}),
    ],
)
def test_first_value_of_each_key(raw: bytes, values: dict[str, str]) -> None:
    assert parse_query(raw) == parse_query_strict(raw) == values


@pytest.mark.parametrize(
    ("raw", "tolerated", "text"),
    [
        (b"a=%zz&b=2", {"b": "2"}, 'invalid URL escape "%zz"'),
        (b"b=2&%4", {"b": "2"}, 'invalid URL escape "%4"'),
        (b"a=%2&b=2", {"b": "2"}, 'invalid URL escape "%2"'),
        (b"a=%", {}, 'invalid URL escape "%"'),
        (b'a=%"x1', {}, 'invalid URL escape "%\\"x"'),
        (b"a=%\xff1", {}, 'invalid URL escape "%\\xff1"'),
        (b"a=1;b=2&c=3", {"c": "3"}, "invalid semicolon separator in query"),
        (b"a=%zz&b;=1", {}, "invalid semicolon separator in query"),
    ],
)
def test_bad_pairs_are_dropped_by_reads_and_refused_by_writes(
    raw: bytes, tolerated: dict[str, str], text: str
) -> None:
    assert parse_query(raw) == tolerated
    with pytest.raises(InvalidRequestError) as caught:
        parse_query_strict(raw)
    assert str(caught.value) == text


def test_path_decoding() -> None:
    assert decode_path(b"/3%2C01637037d6/a+b%20c") == "/3,01637037d6/a+b c"
    with pytest.raises(InvalidRequestError):
        decode_path(b"/3%2")


@pytest.mark.parametrize(
    ("target", "split"),
    [
        (b"/a?b?c", (b"/a", b"b?c")),
        (b"/a#x", (b"/a#x", b"")),
        (b"http://foo:80/3,01?x", (b"/3,01", b"x")),
        (b"http://foo", (b"/", b"")),
        (b"http://foo?x", (b"/", b"x")),
        (b"*", (b"*", b"")),
    ],
)
def test_targets(target: bytes, split: tuple[bytes, bytes]) -> None:
    assert split_target(target) == split


@pytest.mark.parametrize("target", [b"", b"a", b"3,01637037d6", b"/a\x00", b"/a\x7f"])
def test_bad_targets(target: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        split_target(target)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (b"/3,01637037d6", None),
        (b"/a/.b/..c/d.", None),
        (b"/%2e%2e/x", None),
        (b"/", None),
        (b"//a%20b", "/a%20b"),
        (b"//a%2Fb/./c?x=1&y=%zz", "/a%2Fb/c?x=1&y=%zz"),
        (b'//a"b', "/a%22b"),
        (b"/a/../..", "/"),
        (b"/a/.", "/a"),
        (b"//", "/"),
        (b"/a//b/", "/a/b/"),
        (b"/./", "/"),
        (b"/a//b%e9\xe9", "/a/b%E9%E9"),
        (b"//a|b~!*'()", "/a%7Cb~%21%2A%27%28%29"),
        (b"//a~!*'()%7c", "/a~!*'()%7c"),
        (b"/x//y?\xe9", "/x/y?%e9"),
    ],
)
def test_paths_that_are_not_clean_are_redirected(target: bytes, location: str | None) -> None:
    assert clean_location(split_target(target)) == location
    assert location is None or clean_location(Target(location.encode(), b"")) is None


def test_redirect_body_escapes_the_location() -> None:
    assert (
        redirect_body("/x?a<b>&c=\"'", "Temporary Redirect")
        == b'<a href="/x?a&lt;b&gt;&amp;c=&#34;&#39;">Temporary Redirect</a>.\n\n'
    )
