"""The C texts of the fast read are those of their pure-Python twins, whatever the input."""

from __future__ import annotations

import time

from hypothesis import example, given
from hypothesis import strategies as st

from fastvol._cffi import serve
from fastvol.http import conditional
from fastvol.http.disposition import content_disposition
from fastvol.http.go_text import to_text
from fastvol.http.sniff import detect_content_type

STARTS = (
    b"<html", b"<!DOCTYPE HTML", b"<!--", b"<?xml", b"%PDF-", b"\xfe\xff", b"\xff\xfe",
    b"\xef\xbb\xbf", b"RIFF\0\0\0\0WEBPVP", b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"OggS\0",
    b"\0\0\0\x18ftypmp42", b"\0\0\0\x14ftypisom\0\0\0\0mp41", b"\0" * 34 + b"LP", b"\x1f\x8b\x08",
    b"Rar!\x1a\x07\x01\0", b"\0asm", b"GIF89a", b"\0\0\x01\0", b"MThd\0\0\0\x06",
)  # fmt: skip
CONTENT = st.one_of(
    st.binary(max_size=600),
    st.tuples(
        st.sampled_from((b"", b" ", b"\r\n\t\x0c", b"x")),
        st.sampled_from(STARTS),
        st.one_of(st.binary(max_size=40), st.sampled_from((b">", b" ", b"a" * 600 + b"\0"))),
    ).map(b"".join),
    st.text(max_size=200).map(str.encode),
)


@given(CONTENT)
@example(b"")
def test_sniffing_agrees_with_its_twin(data: bytes) -> None:
    assert serve.sniff_content_type(data) == detect_content_type(data)


@given(st.sampled_from(STARTS), st.data())
def test_sniffing_agrees_on_damaged_signatures(start: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(start + b"\0" * 8)
    at = draw.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = draw.draw(st.integers(0, 255))
    cut = bytes(damaged[: draw.draw(st.integers(0, len(damaged)))])
    assert serve.sniff_content_type(cut) == detect_content_type(cut)


@given(
    st.one_of(st.binary(min_size=1, max_size=255), st.text(min_size=1, max_size=60).map(str.encode))
)
def test_dispositions_agree_or_are_left_to_the_twin(name: bytes) -> None:
    written = serve.format_disposition(name)
    if written is None:
        # Only names that need the extended form.
        assert any(byte >= 0x7F or (byte < 0x20 and byte != 9) for byte in name)
    else:
        assert written == content_disposition(to_text(name), attachment=False)


@given(st.integers(0, 253_402_300_799))
@example(951_782_400)
@example(4_107_542_399)
def test_dates_agree_with_their_twin(second: int) -> None:
    text = serve.http_date(second)
    assert text == conditional.http_date(second)
    assert conditional.parse_http_date(text) == second


def test_dates_outside_four_digits_of_years_are_not_written() -> None:
    for second in (-1, 253_402_300_800, 1 << 40, -(1 << 62)):
        assert serve.http_date(second) == ""


def test_request_ids_are_the_time_and_something_random() -> None:
    before = time.time_ns()
    ids = [serve.request_id() for _ in range(1000)]
    after = time.time_ns()
    assert len(set(ids)) == len(ids)
    for text in ids:
        assert len(text) == 24 and set(text) <= set("0123456789ABCDEF")
        assert before <= int(text[:16], 16) <= after
    assert len({text[16:] for text in ids}) > 990


def test_a_server_may_take_files_of_any_size() -> None:
    server = serve.NativeServer(
        server_header="x",
        copy_max=16 << 10,
        map_max=1,
        inline_verify_max=1,
        upload_max=1 << 40,
        verify_once=False,
        io_threads=1,
    )
    server.close()
