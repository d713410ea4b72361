"""Bodies take exactly what is theirs, however it comes in."""

import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvol.errors import InvalidRequestError
from fastvol.http.body import ChunkedBody, FixedBody

CHUNKS = b'5;a="b"\r\nhello\r\n00B \r\n wide world\r\n0;z\r\nA: b\r\nC:d\r\n\r\n'
BEHIND = b"GET / HTTP/1.1\r\n"


def test_fixed_body_leaves_what_is_behind_it() -> None:
    body = FixedBody(5)
    buffer = bytearray(b"hello" + BEHIND)
    body.feed(buffer)
    assert body.complete and body.data == b"hello" and buffer == BEHIND


def test_fixed_body_goes_on_from_the_socket() -> None:
    length = (3 << 20) + 17
    data = random.Random(1).randbytes(length)
    body = FixedBody(length)
    buffer = bytearray(data[:1000])
    body.feed(buffer)
    assert not buffer and not body.complete
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            body.receive(ours)
        assert len(body.data) <= 2 << 20, "a promise alone reserves little"
        sent = 1000
        while not body.complete:
            if sent < length:
                sent += theirs.send(data[sent : sent + 100_000])
            assert body.receive(ours) > 0
        assert body.data == data
        theirs.send(BEHIND)
        assert ours.recv(100) == BEHIND


def test_fixed_body_tells_the_end_of_input() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert FixedBody(3).receive(ours) == 0


def chunked(*pieces: bytes) -> tuple[ChunkedBody, bytearray]:
    body, buffer = ChunkedBody(), bytearray()
    for piece in pieces:
        buffer += piece
        body.feed(buffer)
    return body, buffer


def test_every_split_of_a_chunked_body_is_the_same_body() -> None:
    whole = CHUNKS + BEHIND
    for cut in range(len(whole) + 1):
        body, buffer = chunked(whole[:cut], whole[cut:])
        assert body.complete and body.data == b"hello wide world" and buffer == BEHIND, cut
    body, buffer = chunked(*(bytes((byte,)) for byte in whole))
    assert body.complete and body.data == b"hello wide world" and buffer == BEHIND


def test_no_prefix_of_a_chunked_body_is_complete() -> None:
    for cut in range(len(CHUNKS)):
        body, _ = chunked(CHUNKS[:cut])
        assert not body.complete


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_any_chunks_come_out_as_they_went_in(pieces: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    body, buffer = chunked(*parts, BEHIND)
    assert body.complete and body.data == b"".join(pieces)
    assert buffer == BEHIND


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.integers(0, len(CHUNKS)))
def test_noise_never_does_more_than_fail(noise: bytes, at: int) -> None:
    buffer = bytearray(CHUNKS[:at] + noise)
    size = len(buffer)
    body = ChunkedBody()
    try:
        body.feed(buffer)
    except InvalidRequestError:
        return
    assert len(body.data) + len(buffer) <= size


def test_many_small_chunks_are_no_attack_but_their_padding_is() -> None:
    body, _ = chunked(b"1\r\nx\r\n" * 50_000)
    assert len(body.data) == 50_000
    with pytest.raises(InvalidRequestError, match="too much non-data"):
        chunked((b"1;" + b"a" * 100 + b"\r\nx\r\n") * 1000)


def test_memory_is_bounded_by_what_came_in() -> None:
    for endless in (b"1;" + b"a" * 10_000, b"0\r\n" + b"a: b\r\n" * 2000, b"1" * 10_000):
        with pytest.raises(InvalidRequestError):
            chunked(*(endless[at : at + 100] for at in range(0, len(endless), 100)))
