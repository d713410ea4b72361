"""Parts in quoted-printable; the expectations were recorded from the upstream binary."""

import pytest

from fastvol.errors import InvalidRequestError
from fastvol.http.multipart import choose_part

HEAD = b"Content-Transfer-Encoding: Quoted-Printable\r\n"
NAMED = b'Content-Disposition: form-data; filename="a"\r\n'


def chosen(data: bytes, more: bytes = b"\r\n--X--\r\n") -> bytes:
    body = b"--X\r\n" + HEAD + NAMED + b"\r\n" + data + more
    return bytes(choose_part(body, b"X", 1 << 20).data)


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (b"", b""),
        (b"a=3Db=3d", b"a=b="),
        (b"a=\r\nb=\nc", b"abc"),
        (b"a  \r\nb\t\nc ", b"a\r\nb\nc"),
        (b"a=zz=3", b"a=zz=3"),
        (b"a=", b"a"),
        (b"=", InvalidRequestError('quotedprintable: invalid bytes after =: ""')),
        (b"= ", InvalidRequestError('quotedprintable: invalid bytes after =: ""')),
        (b"a==\r\nb", InvalidRequestError("unexpected EOF")),
        (b"a=\rb\n", InvalidRequestError("quotedprintable: invalid hex byte 0x0d")),
        (b"a\x00", InvalidRequestError("quotedprintable: invalid unescaped byte 0x00 in body")),
        (b"a\x7f", InvalidRequestError("quotedprintable: invalid unescaped byte 0x7f in body")),
        (b"\xe9=E9\t.", b"\xe9\xe9\t."),
        (b"a" * 4095 + b"\n" + b"b" * 4095, b"a" * 4095 + b"\n" + b"b" * 4095),
        (b"b\n" + b"a" * 4096, b"b\n" + b"a" * 4096),
        (b"a" * 4097, InvalidRequestError("bufio: buffer full")),
        (b"a" * 4096 + b"\n", InvalidRequestError("bufio: buffer full")),
    ],
)
def test_data(data: bytes, decoded: bytes | InvalidRequestError) -> None:
    if isinstance(decoded, bytes):
        assert chosen(data) == decoded
    else:
        with pytest.raises(InvalidRequestError) as caught:
            chosen(data)
        assert str(caught.value) == str(decoded)


def test_a_cut_part_is_an_error_in_either_way() -> None:
    for data, text in ((b"a", "unexpected EOF"), (b"a=", 'after =: ""'), (b"\x01", "0x01 in body")):
        with pytest.raises(InvalidRequestError, match=text):
            chosen(data, b"")


def test_what_is_skipped_is_not_decoded() -> None:
    """A later part without a name: only the one that is stored has to make sense."""
    bad = b"--X\r\n" + HEAD + b"\r\n\x01\r\n"
    body = b"--X\r\n\r\nfirst\r\n" + bad + b"--X--\r\n"
    assert bytes(choose_part(body, b"X", 1 << 20).data) == b"first"
    body = b"--X\r\n\r\nfirst\r\n" + bad + b"--X\r\n" + NAMED + b"\r\nnamed\r\n--X--\r\n"
    assert bytes(choose_part(body, b"X", 1 << 20).data) == b"named"
