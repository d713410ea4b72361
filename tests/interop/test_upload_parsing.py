"""Uploads to the real binary: it must see the same name, type, size and errors as our parser."""

import http.client
import itertools
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from crc32c import crc32c

from fastvol.errors import InvalidRequestError
from fastvol.http.headers import Headers
from fastvol.http.query import decode_path, split_target
from fastvol.http.upload import has_form_body, parse_form, parse_upload

pytestmark = pytest.mark.interop

WEED = shutil.which("weed") or str(Path(sys.executable).parent / "weed")
START_SECONDS_MAX = 30
SIZE_MAX = 1 << 20


def free_ports(count: int) -> list[int]:
    """Ports free now, as are the ones 10,000 above (weed derives its gRPC ports so)."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            if port > 55000 or port in found:
                continue
            try:
                high.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            found.append(port)
    return found


def wait_for(url: str, needle: str) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                text = reply.read().decode()
            if needle in text:
                return text
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer with {needle}")


@pytest.fixture(name="volume", scope="module")
def volume_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A running weed volume server: its port and the id of a writable volume."""
    base = tmp_path_factory.mktemp("weed")
    master, port = free_ports(2)
    for name in ("m", "v"):
        (base / name).mkdir()
    common = [WEED, f"-logdir={base}", f"-config_dir={base}"]
    commands = [
        ["master", f"-port={master}", f"-mdir={base}/m", "-peers=none", "-telemetry=false"],
        ["volume", f"-port={port}", f"-dir={base}/v", f"-master=127.0.0.1:{master}"],
    ]
    commands[1] += ["-max=8", "-fileSizeLimitMB=1", "-preStopSeconds=0"]
    with (base / "log").open("wb") as log:
        running = [
            subprocess.Popen([*common, *command, "-ip=127.0.0.1"], stdout=log, stderr=log, cwd=base)
            for command in commands
        ]
        try:
            text = wait_for(f"http://127.0.0.1:{master}/dir/assign", '"fid"')
            yield port, int(json.loads(text)["fid"].split(",")[0])
        finally:
            for process in running:
                process.terminate()
            for process in running:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)


NAMED = b'Content-Disposition: form-data; name="f"; filename="a.txt"\r\n'
KIND = ("Content-Type", "multipart/form-data; boundary=X")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
BYTES = b"\x00\x01binary"

# method, what follows the fid in the target, headers, body
CASES: list[tuple[str, str, list[tuple[str, str]], bytes]] = [
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
            b"--X\r\n" + NAMED + b"\r\n" + BYTES + b"\r\n--X--\r\n",
            b"--X\r\n" + NAMED + b"\r\n" + b"text " * 50 + b"\r\n--X--\r\n",
            b"--X\r\n" + NAMED + b"Content-Type: x/y\r\n\r\n" + BYTES + b"\r\n--X--\r\n",
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
def test_same_outcome(
    volume: tuple[int, int], case: tuple[str, str, list[tuple[str, str]], bytes]
) -> None:
    method, rest, headers, body = case
    port, volume_id = volume
    target = f"/{volume_id},{next(_keys):x}11223344{rest}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        theirs = json.loads(reply.read())
    finally:
        connection.close()
    mine = ours(method, target, headers, body)
    if "eTag" not in mine:
        theirs.pop("eTag", None)
    assert theirs == mine
    assert reply.status == (400 if "error" in mine else 201)
