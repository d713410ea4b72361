"""Needles that are not in memory, and files that are cut under the server."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from fastvol.volume.volume import Volume
from tests.wire.live_plane import LivePlane, Reader
from tests.wire.wire_requests import (
    LARGE,
    SMALL,
    TO_PYTHON,
    all_that_comes,
    fill,
    get,
    slow_client,
    status_of,
    store,
)


def drop_pages(volume: Volume) -> None:
    volume.sync()
    fd = os.open(volume.files.dat, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def is_cached(volume: Volume, offset: int) -> bool:
    """Asked without touching the page, which would bring it in."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = bytearray(1)
    with volume.files.dat.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        anchor = ctypes.c_char.from_buffer(mapping)
        address = ctypes.addressof(anchor) + offset // mmap.PAGESIZE * mmap.PAGESIZE
        result = (ctypes.c_ubyte * 1).from_buffer(page)
        failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(1), result)
        del anchor
    assert failed == 0
    return bool(page[0] & 1)


def test_cold_needles_are_read_by_the_io_threads(plane: LivePlane) -> None:
    volume = plane.store.table[1]
    data = {key: os.urandom(2000 + key) for key in range(0x200, 0x240)}
    for key, content in data.items():
        store(volume, key, content)
    for _ in range(3):
        drop_pages(volume)
        before = plane.counts().cold
        sockets = {key: plane.connect() for key in data}
        for key, sock in sockets.items():
            sock.sendall(get(key) + get(1))
        for key, sock in sockets.items():
            reader = Reader(sock)
            answer = reader.response()
            assert answer is not None and answer.endswith(data[key])
            answer = reader.response()
            assert answer is not None and answer.endswith(SMALL)
            sock.close()
        assert plane.exchange(get(2)).endswith(LARGE)
        if plane.counts().cold > before:
            return
    pytest.fail("the page cache never let go of the file")


LARGE_START = 2048
"""About where the large needle begins; only used far behind it."""


def test_a_small_range_of_a_large_cold_needle_costs_little(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        volume = fill(plane)
        at = LARGE_START + (4 << 20)
        before = plane.counts()
        for wanted in (get(2, "Range: bytes=7000000-7000009"), get(2, method="HEAD")):
            drop_pages(volume)
            assert not is_cached(volume, at)
            with plane.connect() as sock:
                sock.sendall(wanted + get())
                reader = Reader(sock)
                first = reader.response(head_only=wanted.startswith(b"HEAD"))
                second = reader.response()
            assert status_of(first) == (200 if wanted.startswith(b"HEAD") else 206)
            if wanted.startswith(b"GET"):
                assert first is not None and first.endswith(LARGE[7_000_000:7_000_010])
            assert second is not None and second.endswith(SMALL)
            assert not is_cached(volume, at)
        assert plane.counts().cold > before.cold
        assert plane.counts().to_python == before.to_python


@pytest.mark.parametrize("query", ["", TO_PYTHON])
def test_a_long_cold_range_is_fetched_while_it_is_sent(tmp_path: Path, query: str) -> None:
    with LivePlane(tmp_path) as plane:
        volume = fill(plane)
        drop_pages(volume)
        before = plane.counts().cold
        with plane.connect() as sock:
            sock.sendall(get(2, "Range: bytes=1000-7000000", query=query) + get())
            reader = Reader(sock)
            first, second = reader.response(), reader.response()
        assert first is not None and first.endswith(LARGE[1000:7_000_001])
        assert len(first.partition(b"\r\n\r\n")[2]) == 6_999_001
        assert second is not None and second.endswith(SMALL)
        if not query:
            assert plane.counts().cold >= before + 10


def test_a_file_cut_while_it_is_sent_ends_that_connection_only(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        volume = fill(plane)
        drop_pages(volume)
        with slow_client(plane) as slow:
            slow.sendall(get(2, "Range: bytes=1000-7900000"))
            assert slow.recv(100).startswith(b"HTTP/1.1 206 ")
            os.truncate(volume.files.dat, 3000)
            received = all_that_comes(slow)
        assert len(received) < 7_900_000
        assert plane.exchange(get()).endswith(SMALL)


def test_a_file_cut_under_its_mapping_is_a_500_and_no_crash(tmp_path: Path) -> None:
    with LivePlane(tmp_path) as plane:
        volume = plane.add_volume(1)
        store(volume, 1, SMALL)
        for key, size in ((2, 50_000), (3, 700_000), (4, 3 << 20)):
            store(volume, key, os.urandom(size))
        for key in (1, 2, 3, 4):
            assert plane.exchange(get(key)).startswith(b"HTTP/1.1 200 ")
        os.truncate(volume.files.dat, 2000)
        for key in (2, 3, 4):
            assert plane.exchange(get(key)).startswith(b"HTTP/1.1 500 "), key
        assert plane.exchange(get(1)).endswith(SMALL)
