"""From request to needle content: names, types, compression, MD5, pairs, parameters."""

import hashlib
from base64 import b64encode

import pytest

from fastvol.errors import InvalidRequestError
from fastvol.http.compression import gzip_bytes
from fastvol.http.headers import Headers
from fastvol.http.upload import ParsedUpload, has_form_body, is_multipart, parse_form, parse_upload

OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
CAPITALS = "Multipart/Form-Data; boundary=X"
PATH = "/3,01637037d6"
LIMIT = 1 << 20
BINARY = b"\x00\x01\x02binary"


def upload(
    body: bytes,
    *headers: tuple[str, str],
    method: str = "PUT",
    path: str = PATH,
    query: bytes = b"",
    limit: int = LIMIT,
) -> ParsedUpload:
    raw = Headers([(name.encode(), value.encode()) for name, value in headers])
    form = parse_form(method, query, raw, body if has_form_body(raw) else b"")
    return parse_upload(method, path, form, raw, body, size_max=limit)


def part(data: bytes, filename: str = "", kind: str = "", extra: str = "") -> bytes:
    disposition = f'form-data; name="file"; filename="{filename}"' if filename else "form-data"
    head = f"Content-Disposition: {disposition}\r\n{extra}"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    return b"--X\r\n" + head.encode() + b"\r\n" + data + b"\r\n--X--\r\n"


def multipart_upload(body: bytes, *headers: tuple[str, str], query: bytes = b"") -> ParsedUpload:
    kind = ("Content-Type", "multipart/form-data; boundary=X")
    return upload(body, kind, *headers, method="POST", query=query)


@pytest.mark.parametrize(
    ("path", "headers", "name", "mime"),
    [
        (PATH, [("Content-Type", OCTETS)], "3,01637037d6", OCTETS),
        (PATH, [], "3,01637037d6", ""),
        (PATH + ".jpg", [], "3,01637037d6.jpg", "image/jpeg"),
        (PATH + ".jpg", [("Content-Type", "a/b")], "3,01637037d6.jpg", "a/b"),
        (PATH + ".jpg", [("Content-Type", "image/jpeg")], "3,01637037d6.jpg", "image/jpeg"),
        (PATH, [("Content-Disposition", 'inline; filename="d/e.txt"')], "e.txt", TEXT),
        (PATH, [("Content-Disposition", "inline; filename=.bashrc")], ".bashrc", ""),
        (PATH, [("Content-Type", CAPITALS)], "3,01637037d6", CAPITALS),
    ],
)  # fmt: skip
def test_raw_names_and_types(
    path: str, headers: list[tuple[str, str]], name: str, mime: str
) -> None:
    result = upload(BINARY, *headers, path=path)
    assert (result.name, result.mime) == (name.encode(), mime.encode())
    assert (result.data, result.original_size, result.is_gzipped) == (BINARY, len(BINARY), False)


@pytest.mark.parametrize(
    ("filename", "kind", "mime"),
    [
        ("a.txt", "", "text/plain; charset=utf-8"),
        ("a.txt", "application/octet-stream", "text/plain; charset=utf-8"),
        ("a.TXT", "", "text/plain; charset=utf-8"),
        ("a.txt", "text/plain", "text/plain"),
        ("a.bin", "application/octet-stream", ""),
        ("a.unknown-extension", "", ""),
        (".txt", "", ""),
        ("", "x/y", "x/y"),
        ("", "", ""),
    ],
)
def test_multipart_types(filename: str, kind: str, mime: str) -> None:
    result = multipart_upload(part(BINARY, filename, kind))
    assert (result.name, result.mime) == (filename.encode(), mime.encode())
    assert bytes(result.data) == BINARY


def test_multipart_is_for_post_and_case_sensitive() -> None:
    def decided(method: str, kind: str | None) -> bool:
        raw = [] if kind is None else [(b"Content-Type", kind.encode())]
        return is_multipart(method, Headers(raw))

    assert decided("POST", "multipart/form-data; boundary=X")
    assert decided("POST", None)
    assert not decided("PUT", "multipart/form-data; boundary=X")
    assert not decided("POST", "Multipart/Form-Data; boundary=X")
    assert not decided("POST", "text/plain")


def test_manifest_flag_leaves_the_type_alone() -> None:
    raw = upload(BINARY, ("Content-Type", "a/b"), path=PATH + ".txt", query=b"cm=T")
    assert (raw.mime, raw.is_chunk_manifest) == (b"a/b", True)
    assert multipart_upload(part(BINARY, "a.txt", "x/y"), query=b"cm=true").mime == b""
    assert not upload(BINARY, query=b"cm=yes").is_chunk_manifest


def test_parameters() -> None:
    result = upload(BINARY, query=b"ts=1700000000&ttl=3h&fsync=true&type=replicate")
    assert (result.modified_second, result.ttl) == (1700000000, "3h")
    assert (result.fsync, result.is_replicate) == (True, True)
    plain = upload(BINARY, query=b"fsync=1&type=x")
    assert (plain.modified_second, plain.ttl, plain.fsync, plain.is_replicate) == (
        0,
        "",
        False,
        False,
    )


@pytest.mark.parametrize(
    ("text", "second"),
    [("-1", 0), ("+1", 0), ("x", 0), ("", 0), ("18446744073709551616", (1 << 64) - 1), ("007", 7)],
)
def test_odd_timestamps(text: str, second: int) -> None:
    assert upload(BINARY, query=f"ts={text.replace('+', '%2B')}".encode()).modified_second == second


def test_text_is_compressed_when_it_pays() -> None:
    text = b"hello world " * 20
    result = multipart_upload(part(text, "a.txt", "text/plain"))
    assert result.is_gzipped
    assert (result.data, result.original_size) == (gzip_bytes(text), len(text))
    sniffed = upload(text)
    assert (sniffed.is_gzipped, sniffed.mime) == (True, b"")
    assert not upload(b"hi").is_gzipped
    assert not upload(text, ("Content-Type", "application/json")).is_gzipped
    assert not upload(text, ("Content-Type", "application/octet-stream")).is_gzipped


def test_replica_copies_are_stored_as_they_come() -> None:
    assert not upload(b"hello world " * 20, query=b"type=replicate").is_gzipped


def test_gzip_encoding_is_kept_and_measured_inflated() -> None:
    packed = gzip_bytes(b"hello")
    result = upload(packed, ("Content-Encoding", "gzip"))
    assert (result.data, result.is_gzipped, result.original_size) == (packed, True, 5)
    in_part = multipart_upload(part(packed, "a", "", "Content-Encoding: gzip\r\n"))
    assert (bytes(in_part.data), in_part.is_gzipped, in_part.original_size) == (packed, True, 5)
    broken = upload(b"\x1f\x8bxx", ("Content-Encoding", "gzip"))
    assert (broken.is_gzipped, broken.original_size) == (True, 4)
    assert not upload(packed, ("Content-Encoding", "GZIP")).is_gzipped
    ignored = multipart_upload(part(packed, "a.bin"), ("Content-Encoding", "gzip"))
    assert not ignored.is_gzipped


def test_md5_is_of_the_plain_bytes_and_echoed() -> None:
    md5 = b64encode(hashlib.md5(b"hello").digest()).decode()
    assert upload(b"hello", ("Content-MD5", md5)).content_md5 == md5
    assert upload(b"hello").content_md5 == ""
    packed = gzip_bytes(b"hello")
    assert upload(packed, ("Content-Encoding", "gzip"), ("Content-MD5", md5)).content_md5 == md5
    in_part = part(b"hello", "a", "", f"Content-Md5: {md5}\r\n")
    assert multipart_upload(in_part).content_md5 == md5
    wrong_part = part(b"hello", "a", "", "Content-Md5: zz\r\n")
    assert multipart_upload(wrong_part, ("Content-Md5", md5)).content_md5 == md5
    with pytest.raises(InvalidRequestError) as caught:
        upload(b"hello", ("Content-MD5", "5d41402abc4b2a76b9719d911017c592"))
    assert str(caught.value) == (
        "Content-MD5 did not match md5 of file data expected [5d41402abc4b2a76b9719d911017c592] "
        f"received [{md5}] size 5"
    )


def test_pairs() -> None:
    result = upload(
        BINARY,
        ("seaweed-foo-BAR", "x<&>"),
        ("Seaweed-Abc", '1; "two"'),
        ("Seaweed-Abc", "second"),
        ("SEAWEED_NO", "x"),
        ("x-amz-meta-a", "x"),
    )
    assert result.pairs == rb'{"Abc":"1; \"two\"","Foo-Bar":"x\u003c\u0026\u003e"}'
    assert upload(BINARY).pairs == b""


def test_too_many_pairs_are_dropped() -> None:
    overhead = len('{"A":""}')
    assert len(upload(b"", ("Seaweed-A", "x" * (65535 - overhead))).pairs) == 65535
    assert upload(b"", ("Seaweed-A", "x" * (65536 - overhead))).pairs == b""


def test_size_limit() -> None:
    assert upload(b"12345", limit=5).original_size == 5
    with pytest.raises(InvalidRequestError) as caught:
        upload(b"12345", limit=4)
    assert str(caught.value) == "file over the limited 4 bytes"


def test_a_urlencoded_body_is_parameters_and_the_needle_is_empty() -> None:
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    for method in ("POST", "PUT"):
        result = upload(b"ts=5&ttl=1h", kind, method=method, query=b"ts=6&fsync=true")
        assert (result.data, result.original_size) == (b"", 0)
        assert (result.modified_second, result.ttl, result.fsync) == (5, "1h", True)
    # The exemption from compression looks at the URL only, replication at both.
    assert upload(b"type=replicate", kind).is_replicate


@pytest.mark.parametrize(
    ("query", "kind", "body", "error"),
    [
        (b"a=%zz", "", b"", 'invalid URL escape "%zz"'),
        (b"a=1;b=2", "", b"", "invalid semicolon separator in query"),
        (b"", "application/x-www-form-urlencoded", b"a=%zz", 'invalid URL escape "%zz"'),
        (b"", "application/x-www-form-urlencoded", b"a" * ((10 << 20) + 1), "http: POST too large"),
        (b"", "text/plain; charset", b"", "mime: invalid media parameter"),
        (b"", "multipart/form-data; boundary=", b"", "mime: invalid media parameter"),
        (b"a=%zz", "text/", b"", "mime: expected token after slash"),
    ],
)
def test_form_errors(query: bytes, kind: str, body: bytes, error: str) -> None:
    headers = Headers([(b"Content-Type", kind.encode())] if kind else [])
    with pytest.raises(InvalidRequestError) as caught:
        parse_form("POST", query, headers, body)
    assert str(caught.value) == error
