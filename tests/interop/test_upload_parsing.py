"""Uploads to the real binary: it must see the same name, type, size and errors as our parser."""

import itertools
from collections.abc import Iterator

import pytest
from cluster import Server, allocate, master_server, started, volume_rpc, volume_server, weed
from crc32c import crc32c
from forms import form, part
from http_calls import request

from fastvol.errors import InvalidRequestError
from fastvol.http.headers import Headers
from fastvol.http.query import decode_path, split_target
from fastvol.http.upload import has_form_body, parse_form, parse_upload

pytestmark = pytest.mark.interop

SIZE_MAX = 1 << 20
VOLUME_ID = 1


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running weed volume server with a writable volume."""
    base = tmp_path_factory.mktemp("weed")
    master = master_server(base)
    server = volume_server(weed(base), base, base / "v", [master.port], "-fileSizeLimitMB=1")
    with started(master, server):
        server.ready()
        with volume_rpc(server.port) as rpc:
            allocate(rpc, VOLUME_ID)
        yield server


NAMED = part("a.txt").encode()
KIND = ("Content-Type", "multipart/form-data; boundary=X")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
BYTES = b"\x00\x01binary"

Case = tuple[str, str, list[tuple[str, str]], bytes]
"""Method, what follows the fid in the target, headers, body."""

CASES: list[Case] = [
    ("PUT", "", [], BYTES),
    ("PUT", "", [], b"text " * 50),
    ("PUT", ".jpg", [], BYTES),
    ("PUT", ".gz", [], BYTES),
    ("PUT", ".%C3%A9t%C3%A9", [], BYTES),
    ("PUT", "", [("Content-Type", "a/b")], BYTES),
    ("PUT", "", [("Content-Type", "a/b; c")], BYTES),
    ("PUT", "?cm=true", [("Content-Type", "a/b")], BYTES),
    ("PUT", "?type=replicate", [], b"text " * 50),
    ("PUT", "?a=%zz", [], BYTES),
    ("PUT", "?a=1;b", [], BYTES),
    ("PUT", "", [("Content-Type", "text/plain x")], BYTES),
    ("PUT", "", [KIND], b"--X\r\n\r\nraw\r\n--X--\r\n"),
    ("PUT", "", [("Content-Disposition", 'inline; filename="q\\"uo te.txt"')], BYTES),
    ("PUT", "", [("Content-Disposition", "filename=x.css")], BYTES),
    ("PUT", "", [("Content-Disposition", 'form-data; name="f"; filename="x"')], BYTES),
    ("PUT", "", [("Content-Disposition", "inline; name=a/b/../..")], BYTES),
    ("PUT", "", [("Content-Disposition", "inline; name=///")], BYTES),
    ("PUT", "", [("Content-Disposition", 'inline; filename=""; name=n')], BYTES),
    ("PUT", "", [("Content-Encoding", "gzip")], b"\x1f\x8bnot gzip"),
    ("PUT", "", [("Content-MD5", "zz")], BYTES),
    ("PUT", "", [FORM], b"ts=5&cm=1"),
    ("POST", "", [FORM], b"x=%z"),
    ("POST", "", [("Content-Type", "text/html")], b"<p>" * 3),
    ("POST", "", [], b"--X\r\n\r\nhi\r\n--X--\r\n"),
    ("POST", "", [("Content-Type", "form-data")], BYTES),
    ("POST", "", [("Content-Type", "multipart/form-data")], BYTES),
    ("PUT", "", [], bytes(SIZE_MAX)),
    ("PUT", "", [], bytes(SIZE_MAX + 1)),
    *(
        ("POST", "", [KIND], body)
        for body in (
            b"",
            b"--X--",
            b"junk",
            b"a" * 4100 + b"\r\n--X\r\n\r\nhi\r\n--X--",
            form((part("a.txt"), BYTES)),
            form((part("a.txt"), b"text " * 50)),
            form((part("a.txt", "x/y"), BYTES)),
            b"--X\n\nhi\n--X--",
            b"--X\r\n\r\n--X--",
            b"--X\r\n\r\nhi",
            b"--X\r\n" + NAMED,
            b"--X\r\nnone\r\n\r\nhi\r\n--X--",
            b"--X\r\n\r\naa\r\n--X\r\n" + NAMED + b"\r\nbb\r\n--X--",
            b"--X\r\n\r\naa\r\n--X\r\n\r\nbb\r\n--X--",
            b"--X\r\n\r\naa\r\n--X\r\n" + NAMED + b"\r\nbb",
            b"--X\r\n\r\naa\r\nnoise\r\n--Xnoise\r\n" + NAMED + b"\r\nbb\r\n--X--",
            b"--X\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc \r\n--X--",
            b'--X\r\nContent-Disposition: form-data; filename="\xff\xe2.t"\r\n\r\nhi\r\n--X--',
            b'--X\r\nContent-Disposition: form-data; filename="a\\\\b/.."\r\n\r\nhi\r\n--X--',
        )
    ),
]  # fmt: skip

_keys = itertools.count(1)


def ours(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> dict[str, object]:
    raw = Headers([(name.encode(), value.encode()) for name, value in headers])
    path, query = split_target(target.encode())
    try:
        form = parse_form(method, query, raw, body if has_form_body(raw) else b"")
        upload = parse_upload(method, decode_path(path), form, raw, body, size_max=SIZE_MAX)
    except InvalidRequestError as error:
        return {"error": str(error)}
    reply: dict[str, object] = {
        "name": upload.name.decode(errors="replace"),
        "size": upload.original_size,
        "mime": upload.mime.decode(),
        "eTag": f"{crc32c(bytes(upload.data)):08x}",
    }
    if upload.is_gzipped and len(upload.data) != upload.original_size:
        del reply["eTag"]  # compressed by another gzip
    return {name: value for name, value in reply.items() if value not in ("", 0)}


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_an_upload_is_parsed_as_the_real_server_does(server: Server, case: Case) -> None:
    method, rest, headers, body = case
    target = f"/{VOLUME_ID},{next(_keys):x}11223344{rest}"
    reply = request(server.port, method, target, body, dict(headers))
    theirs = reply.json()
    mine = ours(method, target, headers, body)
    if "eTag" not in mine:
        theirs.pop("eTag", None)
    assert theirs == mine
    assert reply.status == (400 if "error" in mine else 201)
