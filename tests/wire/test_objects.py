"""Objects over HTTP: what a client stores, reads and deletes, and the answers it gets."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import time
from collections.abc import Iterator

import pytest

from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane

TS = 1_700_000_000
STORED = "Tue, 14 Nov 2023 22:13:20 GMT"


class Client:
    """One keep-alive connection; ``call`` gives (status, headers, body)."""

    def __init__(self, plane: LivePlane) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=20)

    def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(name="plane", scope="module")
def plane_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    with LivePlane(tmp_path_factory.mktemp("objects")) as plane:
        plane.add_volume(1)
        plane.add_volume(2, ttl="3d")
        plane.add_volume(3, replication="001")
        yield plane


@pytest.fixture(name="client")
def client_fixture(plane: LivePlane) -> Iterator[Client]:
    client = Client(plane)
    yield client
    client.close()


OCTETS = "application/octet-stream"


def test_raw_upload_and_read_back(client: Client) -> None:
    status, headers, body = client.call(
        "POST", f"/1,1637037d6?ts={TS}", b"hello world", Content_Type=OCTETS
    )
    assert status == 201
    assert headers["Etag"] == '"c99465aa"' and headers["Content-Md5"] == ""
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert body == (
        b'{"name":"1,1637037d6","size":11,"eTag":"c99465aa","mime":"application/octet-stream"}'
    )
    status, headers, body = client.call("GET", "/1,1637037d6")
    assert (status, body) == (200, b"hello world")
    assert list(headers) == [
        "Accept-Ranges",
        "Content-Disposition",
        "Content-Length",
        "Etag",
        "Last-Modified",
        "Server",
        "X-Amz-Request-Id",
        "Date",
        "Content-Type",
    ]
    assert headers["Content-Disposition"] == 'inline; filename="1,1637037d6"'
    assert headers["Last-Modified"] == STORED
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    status, headers, body = client.call("HEAD", "/1,1637037d6")
    assert (status, body, headers["Content-Length"]) == (200, b"", "11")
    assert "Content-Type" not in headers


def test_put_stores_raw_and_multipart_is_for_post_only(client: Client) -> None:
    form = b"--b\r\nContent-Disposition: form-data; filename=x\r\n\r\ndata\r\n--b--\r\n"
    kind = "multipart/form-data; boundary=b"
    assert client.call("PUT", "/1,2637037d6", form, Content_Type=kind)[0] == 201
    assert client.call("GET", "/1,2637037d6")[2] == form
    assert client.call("POST", "/1,3637037d6", form, Content_Type=kind)[0] == 201
    assert client.call("GET", "/1,3637037d6")[2] == b"data"


def test_unchanged_upload_is_204(client: Client) -> None:
    for expected in (201, 204, 204):
        status, headers, body = client.call("POST", "/1,4637037d6", b"same", Content_Type="a/b")
        assert status == expected and headers["Etag"]
    assert body == b""
    assert client.call("POST", "/1,4637037d6", b"other", Content_Type="a/b")[0] == 201


def test_ttl_volume_never_calls_an_upload_unchanged(client: Client) -> None:
    for _ in range(2):
        assert client.call("POST", "/2,4637037d6", b"same", Content_Type="a/b")[0] == 201


def test_wrong_cookie(client: Client) -> None:
    client.call("POST", "/1,5637037d6", b"x", Content_Type="a/b")
    assert client.call("GET", "/1,5637037d7")[0] == 404
    status, _, body = client.call("POST", "/1,5637037d7", b"y", Content_Type="a/b")
    assert (status, body) == (
        500,
        b'{"error":"failed to write to local disk: mismatching cookie 637037d7"}',
    )
    status, _, body = client.call("DELETE", "/1,5637037d7")
    assert (status, body) == (400, b'{"error":"File Random Cookie does not match."}')


def test_delete(client: Client) -> None:
    client.call("POST", "/1,6637037d6", b"12345678", Content_Type=OCTETS)
    status, _, body = client.call("DELETE", "/1,6637037d6")
    assert (status, body) == (202, b'{"size":55}')
    assert client.call("GET", "/1,6637037d6")[0] == 404
    assert client.call("GET", "/1,6637037d6?readDeleted=true")[2] == b"12345678"
    assert client.call("GET", "/1,6637037d6?readDeleted=1")[0] == 404
    status, _, body = client.call("DELETE", "/1,6637037d6")
    assert (status, body) == (404, b'{"size":0}')
    assert client.call("DELETE", "/99,6637037d6")[0] == 404
    assert client.call("DELETE", "/1")[2] == b'{"error":"Invalid fid: "}'


def test_empty_object(client: Client) -> None:
    status, headers, body = client.call("POST", "/1,7637037d6", b"", Content_Type="a/b")
    assert (status, headers["Etag"]) == (201, '"00000000"')
    assert json.loads(body) == {"eTag": "00000000", "name": "1,7637037d6", "mime": "a/b"}
    for cookie in ("637037d6", "00000000"):
        status, headers, body = client.call("GET", f"/1,7{cookie}")
        assert (status, headers["Content-Length"], body) == (200, "0", b"")
        assert "Content-Type" not in headers and "Last-Modified" not in headers
    assert client.call("GET", "/1,7637037d6", If_None_Match='"00000000"')[0] == 304


def test_pairs_become_headers(client: Client) -> None:
    client.call(
        "POST",
        "/1,8637037d6",
        b"p",
        Content_Type="a/b",
        **{"seaweed-foo-BAR": "x<&>", "Seaweed-A": "1"},
    )
    _, headers, _ = client.call("GET", "/1,8637037d6")
    assert (headers["Foo-Bar"], headers["A"]) == ("x<&>", "1")


def test_client_gzip_is_kept_and_given_to_those_who_take_it(client: Client) -> None:
    plain = b"A" * 1000
    squeezed = gzip.compress(plain)
    status, _, body = client.call(
        "POST", "/1,9637037d6", squeezed, Content_Type="a/b", Content_Encoding="gzip"
    )
    assert status == 201 and json.loads(body)["size"] == 1000
    _, headers, body = client.call("GET", "/1,9637037d6", Accept_Encoding="gzip")
    assert (headers["Content-Encoding"], body) == ("gzip", squeezed)
    _, headers, body = client.call("GET", "/1,9637037d6", Accept_Encoding="identity")
    assert "Content-Encoding" not in headers and body == plain


def test_text_is_compressed_by_itself(client: Client) -> None:
    text = b"all work and no play\n" * 100
    client.call("POST", "/1,a637037d6", text, Content_Type="text/plain")
    _, headers, body = client.call("GET", "/1,a637037d6", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip" and gzip.decompress(body) == text
    assert client.call("GET", "/1,a637037d6", Range="bytes=0-3")[2] == text[:4]


def test_content_md5(client: Client) -> None:
    good = base64.b64encode(hashlib.md5(b"sum").digest()).decode()
    status, headers, body = client.call(
        "POST", "/1,b637037d6", b"sum", Content_Type="a/b", Content_MD5=good
    )
    assert (status, headers["Content-Md5"]) == (201, good)
    assert json.loads(body)["contentMd5"] == good
    status, _, body = client.call(
        "POST", "/1,c637037d6", b"sum", Content_Type="a/b", Content_MD5="AAAA"
    )
    assert status == 400 and b"Content-MD5 did not match" in body


def test_fsync_is_acknowledged_after_the_sync(
    plane: LivePlane, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    inner = Volume.commit

    def commit(volume: Volume) -> None:
        calls.append(volume.dat_size)
        inner(volume)

    monkeypatch.setattr(Volume, "commit", commit)
    before = plane.store.table[1].dat_size
    status, _, _ = client.call("POST", "/1,d637037d6?fsync=true", b"safe", Content_Type="a/b")
    assert status == 201 and calls and calls[0] > before


def test_needle_ttl(client: Client) -> None:
    assert client.call("POST", "/1,e637037d6?ttl=1m", b"brief", Content_Type="a/b")[0] == 201
    assert client.call("GET", "/1,e637037d6")[2] == b"brief"


def test_read_only_volume(plane: LivePlane, client: Client) -> None:
    client.call("POST", "/1,f637037d6", b"x", Content_Type="a/b")
    volume = plane.store.table[1]
    volume.mark_read_only(can_delete=False, persist=False)
    try:
        words = b"volume 1 is read only"
        assert words in client.call("POST", "/1,10637037d6", b"x", Content_Type="a/b")[2]
        form = b"--b\r\nContent-Disposition: form-data; filename=x\r\n\r\ny\r\n--b--\r\n"
        fast = client.call(
            "POST", "/1,11637037d6", form, Content_Type="multipart/form-data; boundary=b"
        )
        assert fast[0] == 500 and words in fast[2]
        assert words in client.call("DELETE", "/1,f637037d6")[2]
        assert client.call("GET", "/1,f637037d6")[2] == b"x"
    finally:
        volume.mark_writable()


def test_changes_of_replicated_volumes_are_refused_but_for_replica_copies(client: Client) -> None:
    status, _, body = client.call("POST", "/3,1637037d6", b"x", Content_Type="a/b")
    assert status == 500 and b"replication" in body
    assert client.call("GET", "/3,1637037d6")[0] == 404
    copy = client.call("POST", "/3,1637037d6?type=replicate", b"x", Content_Type="a/b")
    assert copy[0] == 201
    assert client.call("DELETE", "/3,1637037d6")[0] == 500
    assert client.call("DELETE", "/3,1637037d6?type=replicate")[0] == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 400),
        ("GET", "/x", 400),
        ("GET", "/1", 400),
        ("GET", "/1,12", 400),
        ("GET", "/1,zz637037d6", 400),
        ("GET", "/a/b/c/d/1,1637037d6", 400),
        ("GET", "/1.5,1637037d6", 400),
        ("GET", "/9,1637037d6", 404),
        ("HEAD", "/9,1637037d6", 404),
        ("POST", "/x,1637037d6", 400),
        ("POST", "/1,bad", 400),
        ("POST", "/1/1637037d6", 400),
        ("POST", "/9,1637037d6", 500),
        ("POST", "/1,1637037d6?a=%zz", 400),
        ("DELETE", "/1,bad", 400),
        ("PATCH", "/1,1637037d6", 400),
        ("TRACE", "/1,1637037d6", 400),
        ("PROPFIND", "/1,1637037d6", 400),
        ("BREW", "/1,1637037d6", 400),
    ],
)
def test_bad_requests(client: Client, method: str, path: str, status: int) -> None:
    body = b"x" if method == "POST" else None
    answer = client.call(method, path, body, Content_Type="a/b")
    assert answer[0] == status
    if method in ("GET", "HEAD"):
        assert answer[2] == b""
    else:
        assert "error" in json.loads(answer[2])


def test_options_and_origin(client: Client) -> None:
    status, headers, body = client.call("OPTIONS", "/", Origin="http://a")
    assert (status, body) == (200, b"")
    assert headers["Access-Control-Allow-Methods"] == "PUT, POST, GET, DELETE, OPTIONS"
    assert headers["Access-Control-Allow-Headers"] == "*"
    for method in ("OPTIONS", "GET"):
        headers = client.call(method, "/9,1637037d6", Origin="http://a")[1]
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Origin" not in client.call("GET", "/9,1637037d6")[1]


def test_unclean_path_is_redirected(client: Client) -> None:
    status, headers, body = client.call("GET", "//1,1637037d6?x=1")
    assert (status, headers["Location"]) == (307, "/1,1637037d6?x=1")
    assert b'<a href="/1,1637037d6?x=1">Temporary Redirect</a>' in body
    assert "Server" not in headers


def test_public_port_reads_and_changes_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    with LivePlane(tmp_path_factory.mktemp("public"), public=True) as plane:
        plane.add_volume(1)
        client = Client(plane)
        part = b"Content-Disposition: form-data; filename=x\r\nContent-Type: a/b\r\n\r\n"
        form = b"--b\r\n" + part + b"\x00y\r\n--b--\r\n"
        for method, body, kind in (
            ("POST", b"x", "a/b"),
            ("POST", form, "multipart/form-data; boundary=b"),
            ("PUT", b"x", "a/b"),
            ("DELETE", None, "a/b"),
            ("PATCH", None, "a/b"),
        ):
            status, _, answer = client.call(method, "/1,1637037d6", body, Content_Type=kind)
            assert (status, answer) == (200, b""), method
        assert client.call("GET", "/1,1637037d6")[0] == 404
        assert plane.store.table[1].is_empty()
        headers = client.call("OPTIONS", "/1,1637037d6")[1]
        assert headers["Access-Control-Allow-Methods"] == "GET, OPTIONS"
        assert client.call("GET", "/status")[0] == 400
        client.close()


def test_large_upload_and_ranges(client: Client) -> None:
    data = bytes(range(256)) * 3000
    assert client.call("POST", "/1,20637037d6", data, Content_Type="a/b")[0] == 201
    assert client.call("GET", "/1,20637037d6")[2] == data
    status, headers, body = client.call("GET", "/1,20637037d6", Range="bytes=0-1,700000-700003")
    assert status == 206 and headers["Content-Type"].startswith("multipart/byteranges")
    assert data[:2] in body and data[700000:700004] in body
    assert len(body) == int(headers["Content-Length"])
    status, headers, _ = client.call("GET", "/1,20637037d6", Range=f"bytes={len(data)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(data)}")


def test_last_modified_is_now_without_ts(client: Client) -> None:
    client.call("POST", "/1,21637037d6", b"now", Content_Type="a/b")
    headers = client.call("GET", "/1,21637037d6")[1]
    stamp = time.strptime(headers["Last-Modified"], "%a, %d %b %Y %H:%M:%S GMT")
    assert abs(time.mktime(stamp) - time.timezone - time.time()) < 5
