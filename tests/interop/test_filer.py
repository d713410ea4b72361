"""The real filer stores its files on fastvol: whole, in chunks, in ranges, compressed."""

import os
import random
from collections.abc import Iterator

import pytest
from cluster import Cluster, Server, started, weed
from daemons import free_ports, wait_until
from http_calls import HOST, get, request

pytestmark = pytest.mark.interop

MIB = 1 << 20
SIZES = (1, 4096, MIB, 9 * MIB + 7)
RANGES_PER_FILE = 12


@pytest.fixture(name="filer", scope="module")
def filer_fixture(cluster: Cluster) -> Iterator[int]:
    """The HTTP port of a filer that keeps its own data in the cluster's directory."""
    (port,) = free_ports(1)
    store = cluster.base / "filer"
    store.mkdir()
    command = weed(cluster.base, "filer", f"-port={port}", f"-ip={HOST}", "-maxMB=2")
    command += [f"-master={HOST}:{cluster.master.port}", f"-defaultStoreDir={store}"]
    server = Server(cluster.base, "filer", port, command)
    with started(server):
        server.ready("/")
        yield port


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_files_come_back_whole_and_in_ranges(filer: int, size: int) -> None:
    data, path = content(size), f"/sizes/{size}.bin"
    assert request(filer, "PUT", path, data).status == 201
    assert get(filer, path).body == data
    head = request(filer, "HEAD", path)
    assert (head.status, head.headers["content-length"]) == (200, str(size))
    chance = random.Random(size)
    for _ in range(RANGES_PER_FILE):
        first = chance.randrange(size)
        last = chance.randrange(first, min(size, first + 3 * MIB))
        reply = get(filer, path, Range=f"bytes={first}-{last}")
        assert reply.status == 206
        assert reply.body == data[first : last + 1]
    suffix = get(filer, path, Range="bytes=-1")
    assert suffix.body == data[-1:]


def test_large_files_are_several_objects_of_ours(filer: int, cluster: Cluster) -> None:
    """What the filer names as chunks can be read here directly."""
    data = content(5 * MIB)
    assert request(filer, "PUT", "/chunked/five.bin", data).status == 201
    meta = get(filer, "/chunked/five.bin?metadata=true").json()
    assert len(meta["chunks"]) == 3
    parts = [
        get(cluster.volume.port, f"/{chunk['file_id']}").body
        for chunk in sorted(meta["chunks"], key=lambda chunk: chunk.get("offset", 0))
    ]
    assert b"".join(parts) == data


def test_an_overwritten_file_has_the_last_content(filer: int) -> None:
    for size in (100, 3 * MIB, 0, 7):
        assert request(filer, "PUT", "/over/file", content(size)).status == 201
        assert get(filer, "/over/file").body == content(size)


def test_text_is_kept_compressed_and_served_either_way(filer: int, cluster: Cluster) -> None:
    text = b"the same line again and again\n" * 5000
    reply = request(filer, "PUT", "/text/a.txt", text, {"Content-Type": "text/plain"})
    assert reply.status == 201
    assert get(filer, "/text/a.txt").body == text
    (chunk,) = get(filer, "/text/a.txt?metadata=true").json()["chunks"]
    stored = get(cluster.volume.port, f"/{chunk['file_id']}", Accept_Encoding="gzip")
    assert stored.headers["content-encoding"] == "gzip"
    assert len(stored.body) < len(text) // 10
    assert get(cluster.volume.port, f"/{chunk['file_id']}").body == text


def test_a_form_upload_lists_and_deletes(filer: int, cluster: Cluster) -> None:
    body = (
        b'--X\r\nContent-Disposition: form-data; name="f"; filename="form.bin"\r\n\r\n'
        + content(1000)
        + b"\r\n--X--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=X"}
    assert request(filer, "POST", "/listed/", body, kind).status == 201
    for number in range(5):
        assert request(filer, "PUT", f"/listed/{number}", os.urandom(10)).status == 201
    listing = get(filer, "/listed/", Accept="application/json").json()
    names = [entry["FullPath"] for entry in listing["Entries"]]
    assert names == [f"/listed/{name}" for name in ("0", "1", "2", "3", "4", "form.bin")]
    assert get(filer, "/listed/form.bin").body == content(1000)

    (chunk,) = get(filer, "/listed/form.bin?metadata=true").json()["chunks"]
    assert request(filer, "DELETE", "/listed/form.bin").status == 204
    assert get(filer, "/listed/form.bin").status == 404
    wait_until(
        lambda: get(cluster.volume.port, f"/{chunk['file_id']}").status == 404,
        "the filer has deleted the object by BatchDelete",
    )
    assert request(filer, "DELETE", "/listed?recursive=true").status == 204
    assert get(filer, "/listed/3").status == 404


def test_collections_of_buckets(filer: int, cluster: Cluster) -> None:
    """A bucket's files go to the collection of its name, which goes with it."""
    assert request(filer, "PUT", "/buckets/photos/a.bin", content(2000)).status == 201
    assert get(filer, "/buckets/photos/a.bin").body == content(2000)
    assert list(cluster.directory.glob("photos_*.dat"))
    assert request(filer, "DELETE", "/buckets/photos?recursive=true").status == 204
    wait_until(
        lambda: not list(cluster.directory.glob("photos_*")), "DeleteCollection took the files"
    )
