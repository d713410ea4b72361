"""Multipart uploads: the common shape fast, every other shape as Go's reader takes it.

The expectations of the odd shapes were recorded from the upstream binary.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.errors import InvalidRequestError
from fastvol.http import multipart
from fastvol.http.multipart import boundary_of, choose_part
from fastvol.http.part_reader import PartReader

LIMIT = 1 << 20
NAMED = b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n'


def chosen(body: bytes) -> tuple[bytes, str, str]:
    part = choose_part(body, b"X", LIMIT)
    return bytes(part.data), part.filename, part.content_type


def test_the_uploader_s_shape_takes_the_fast_path() -> None:
    body = (
        b"--X\r\n" + NAMED + b"Content-Encoding: gzip\r\nContent-Md5: m5\r\nContent-Type: a/b\r\n"
        b"Idempotency-Key: http://x/3,01\r\n\r\nda\r\n--ta\r\n--X--\r\n"
    )
    fast = multipart._fast_part(body, b"X")
    assert fast is not None
    assert (bytes(fast.data), fast.filename, fast.content_type) == (b"da\r\n--ta", "a.txt", "a/b")
    assert (fast.content_encoding, fast.content_md5) == ("gzip", "m5")


@given(st.binary(max_size=60), st.sampled_from([b"", b"\r\n--X", b"--X--", b"\r\n--XY", b"\n"]))
def test_the_fast_path_agrees_with_the_general_one(data: bytes, inner: bytes) -> None:
    body = b"--X\r\n" + NAMED + b"\r\n" + data + inner + data + b"\r\n--X--\r\n"
    fast = multipart._fast_part(body, b"X")
    if fast is not None:
        part = PartReader(body, b"X").next_part()
        assert (bytes(fast.data), fast.filename) == (bytes(part.data), part.filename)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"pre\r\n--X\r\n\r\nhi\r\n--X--", (b"hi", "", "")),
        (b"--X\n\nhi\n--X--\n", (b"hi", "", "")),
        (b"--X\n\nhi\r\n--X--\n", (b"hi\r", "", "")),
        (b"--X\r\n\r\nhi\r\n--X", (b"hi", "", "")),
        (b"--X\r\nfo o: 1\r\n\r\nhi\r\n--X--", (b"hi", "", "")),
        (b"--X\r\n\r\n--X--\r\n", (b"", "", "")),
        (b"--X\r\n\r\n\r\n--X--\r\n", (b"", "", "")),
        (b"--X  \r\n\r\nhi\r\n--X \t\r\n", (b"hi", "", "")),
        (b"--X\r\n\r\nhi\r\n--XY\r\nmore\r\n--X--", (b"hi\r\n--XY\r\nmore", "", "")),
        (b"--X\r\n" + NAMED + b"\r\n1\r\n--X\r\nanything", (b"1", "a.txt", "")),
        (
            b'--X\r\nContent-Disposition: form-data;\r\n filename="f1.txt"\r\n\r\nhi\r\n--X--',
            (b"hi", "f1.txt", ""),
        ),
        (
            b"--X\r\n\r\naa\r\n--X\r\nContent-Disposition: form-data; name=f; filename=z.txt\r\n"
            b"content-type:  x/y \r\n\r\nbbb\r\n--X--",
            (b"bbb", "z.txt", "x/y"),
        ),
        (b"--X\r\n\r\naa\r\n--X\r\nFoo: 1\r\n\r\nbbb\r\n--X--", (b"aa", "", "")),
        (b"--X\r\n\r\naa\r\n--X\r\nbroken", (b"aa", "", "")),
        (b"--X\r\n\r\naa\r\n--X\r\nFoo: 1\r\n\r\nunended", (b"aa", "", "")),
        (
            b"--X\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\nh=41=\r\ni\r\n--X--",
            (b"hAi", "", ""),
        ),
        (
            b'--X\r\nContent-Disposition: form-data; filename="/"\r\n\r\nhi\r\n--X--',
            (b"hi", "/", ""),
        ),
        (
            b'--X\r\nContent-Disposition: form-data; filename="C:\\a\\b.txt"\r\n\r\nhi\r\n--X--',
            (b"hi", "b.txt", ""),
        ),
        (
            b"--X\r\nContent-Disposition: form-data; filename*=utf-8''%C3%A9.txt; filename=x\r\n"
            b"\r\nhi\r\n--X--",
            (b"hi", "é.txt", ""),
        ),
        (
            b'--X\r\nContent-Disposition: form-data; filename="\xff.txt"\r\n\r\nhi\r\n--X--',
            (b"hi", "\udcff.txt", ""),
        ),
    ],
)
def test_chosen_part(body: bytes, part: tuple[bytes, str, str]) -> None:
    assert chosen(body) == part


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "multipart: NextPart: EOF"),
        (b"hello\r\nworld", "multipart: NextPart: EOF"),
        (b"a" * 5000 + b"\r\n--X\r\n\r\nhi\r\n--X--", "multipart: NextPart: bufio: buffer full"),
        (b"--X--\r\n", "EOF"),
        (b"--X--", "EOF"),
        (b"--X\r\n", "EOF"),
        (b"--X\r\nContent-Type: a/b", "EOF"),
        (b"--X\r\nContent-Type: a/b\r\n", "EOF"),
        (b"--X\r\nContent-Type: a/b\r", 'malformed MIME header line: "Content-Type: a/b\\r"'),
        (b"--X\r\nContent-Type: a/b\r\n\r", 'malformed MIME header: missing colon: "\\r"'),
        (b"--X\r\n\r\nhi", "unexpected EOF"),
        (b"--X\r\n\r\nhi\r\n--X-", "unexpected EOF"),
        (b"--X\r\nfoo\r\n\r\nhi\r\n--X--", 'malformed MIME header: missing colon: "foo"'),
        (b"--X\r\nfo(o: 1\r\n\r\nhi\r\n--X--", 'malformed MIME header line: "fo(o: 1"'),
        (b"--X\r\n: 1\r\n\r\nhi\r\n--X--", 'malformed MIME header line: ": 1"'),
        (b"--X\r\nfoo: \x00\r\n\r\nhi\r\n--X--", 'malformed MIME header line: "Foo: \\x00"'),
        (b"--X\r\n foo: 1\r\n\r\nhi\r\n--X--", 'malformed MIME header initial line: " foo: 1"'),
        (b"--X\r\n\r\naa\r\n--X\r\n" + NAMED + b"\r\nbbb", "unexpected EOF"),
    ],
)
def test_malformed_bodies(body: bytes, error: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        choose_part(body, b"X", LIMIT)
    assert str(caught.value) == error


def test_size_limit_is_inclusive() -> None:
    fast = b"--X\r\n" + NAMED + b"\r\n12345\r\n--X--\r\n"
    general = b"--X\r\n\r\n12345\r\n--X--\r\n"
    second = b"--X\r\n\r\n1\r\n--X\r\n" + NAMED + b"\r\n12345\r\n--X--\r\n"
    for body in (fast, general, second):
        assert bytes(choose_part(body, b"X", 5).data) == b"12345"
        with pytest.raises(InvalidRequestError) as caught:
            choose_part(body, b"X", 4)
        assert str(caught.value) == "file over the limited 4 bytes"


@given(st.binary(max_size=80), st.sampled_from([b"", b"--X\r\n", b"--X\n", b"--X\r\n" + NAMED]))
def test_any_body_is_parsed_or_refused(data: bytes, start: bytes) -> None:
    with suppress(InvalidRequestError):
        choose_part(start + data, b"X", LIMIT)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ('multipart/form-data; boundary=""', b""),
        ("multipart/mixed; boundary=x; y=form-data", b"x"),
        ("MULTIPART/form-data; Boundary=x", b"x"),
    ],
)
def test_boundary(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("", "request Content-Type isn't multipart/form-data"),
        ("form-data", "request Content-Type isn't multipart/form-data"),
        ("text/plain; x=form-data", "request Content-Type isn't multipart/form-data"),
        ("multipart/form-data", "no multipart boundary param in Content-Type"),
    ],
)
def test_no_boundary(content_type: str, error: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        boundary_of(content_type)
    assert str(caught.value) == error


def test_empty_boundary_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        choose_part(b"--\r\n\r\nhi\r\n----", b"", LIMIT)
    assert str(caught.value) == "multipart: boundary is empty"
