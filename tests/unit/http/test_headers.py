"""Request headers: the first value of a name counts, in whatever case it came."""

import pytest

from fastvol.http.headers import Headers, canonical_name


def test_first_value_wins_in_any_case() -> None:
    headers = Headers([(b"Range", b" bytes=0-1\t"), (b"RANGE", b"bytes=5-"), (b"X", b"caf\xe9")])
    assert headers.get(b"range") == b"bytes=0-1"
    assert headers.text(b"x") == "caf\udce9"
    assert headers.get(b"missing") == b""
    assert headers.get(b"missing", b"d") == b"d"
    assert headers.text(b"missing") == ""
    assert b"range" in headers
    assert b"missing" not in headers
    assert len(headers.raw) == 3


def test_prefix_search_sees_first_values() -> None:
    headers = Headers([(b"Seaweed-A", b"1"), (b"seaweed-a", b"2"), (b"Other", b"3")])
    assert list(headers.with_prefix(b"seaweed-")) == [(b"seaweed-a", b"1")]


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        (b"content-MD5", b"Content-Md5"),
        (b"x-amz-request-id", b"X-Amz-Request-Id"),
        (b"seaweed-foo-BAR", b"Seaweed-Foo-Bar"),
        (b"SEAWEED_FOO", b"Seaweed_foo"),
        (b"-a--b", b"-A--B"),
        (b"bad name", b"bad name"),
        (b"", b""),
    ],
)
def test_canonical_name(name: bytes, canonical: bytes) -> None:
    assert canonical_name(name) == canonical
