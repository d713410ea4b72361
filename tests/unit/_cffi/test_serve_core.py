"""What the C core says about a payload is what the pure-Python twins say."""

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from fastvol._cffi import serve
from fastvol.http.conditional import http_date
from fastvol.http.disposition import content_disposition
from fastvol.http.go_text import to_text
from fastvol.http.sniff import detect_content_type

EXAMPLES = settings(max_examples=600, deadline=None, derandomize=True)

STARTS = [
    b"", b" ", b"\t\n\x0c\r ", b"<", b"<!DOCTYPE HTML", b"<html", b"<HEAD", b"<script", b"<iframe",
    b"<h1", b"<div", b"<font", b"<table", b"<a", b"<style", b"<title", b"<b", b"<body", b"<br",
    b"<p", b"<!--", b"<?xml", b"<?XML", b"%PDF-", b"%!PS-Adobe-", b"\xfe\xff", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\0\0\1\0", b"\0\0\2\0", b"\0\0\3\0", b"BM", b"GIF87a", b"GIF89a", b"GIF88a",
    b"RIFF1234WEBPVP", b"RIFF1234WEBP", b"RIFF1234AVI ", b"RIFF1234WAVE", b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff", b"FORM1234AIFF", b"ID3", b"OggS\0", b"MThd\0\0\0\6", b"\x1a\x45\xdf\xa3",
    b"x" * 34 + b"LP", b"\0" * 34 + b"LP", b"\0\1\0\0", b"OTTO", b"ttcf", b"wOFF", b"wOF2",
    b"\x1f\x8b\x08", b"PK\3\4", b"Rar!\x1a\7\0", b"Rar!\x1a\7\1\0", b"\0asm",
    b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"\0\0\0\x14ftypisom\0\0\0\0mp41",
    b"\0\0\0\x10ftypisommp42", b"\0\0\0\x0cftypmp4x", b"\0\0\0\x0fftypmp42\0\0\0\0",
    b"\0\0\1\0ftypmp42", b"\xff\xff\xff\xfcftypmp42\0\0\0\0",
]  # fmt: skip


def same_type(data: bytes) -> None:
    assert serve.sniff_content_type(data) == detect_content_type(data), data


def test_every_signature_and_its_prefixes() -> None:
    for start in STARTS:
        for end in range(len(start) + 1):
            for tail in (b"", b">", b" ", b"x", b"\0", b"\x1b", b"x" * 600, b"\x01" * 600):
                same_type(start[:end] + tail)
                same_type(b" \n" + start[:end] + tail)


def test_the_512th_byte_is_the_last_that_counts() -> None:
    for size in (510, 511, 512, 513):
        same_type(b"a" * size + b"\0")
    assert serve.sniff_content_type(b"a" * 511 + b"\0") == "application/octet-stream"
    assert serve.sniff_content_type(b"a" * 512 + b"\0") == "text/plain; charset=utf-8"


def test_a_box_as_long_as_what_is_looked_at() -> None:
    for size in (508, 512, 516):
        box = size.to_bytes(4, "big") + b"ftypisom" + b"\0" * (size - 16) + b"mp41"
        same_type(box)
        same_type(box + b"x" * 100)


@EXAMPLES
@given(st.sampled_from(STARTS), st.binary(max_size=600), st.booleans())
def test_any_payload_has_the_same_type(start: bytes, rest: bytes, blanks: bool) -> None:
    same_type((b"\r\n \t" if blanks else b"") + start + rest)


@EXAMPLES
@given(st.binary(max_size=20), st.integers(0, 255), st.integers(0, 20))
def test_any_change_of_a_signature_has_the_same_type(noise: bytes, byte: int, at: int) -> None:
    for start in STARTS:
        changed = bytearray(start + noise)
        if at < len(changed):
            changed[at] = byte
        same_type(bytes(changed))


NAMES = st.one_of(
    st.binary(max_size=255),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=255).map(str.encode),
    st.text("ab.\"\\ \t;,é%'*", max_size=40).map(str.encode),
)


def same_disposition(name: bytes) -> None:
    twin = content_disposition(to_text(name), attachment=False)
    ours = serve.format_disposition(name)
    assert (ours is None) == ("filename*=" in twin), name
    if ours is not None:
        assert ours == twin


@EXAMPLES
@given(NAMES)
def test_any_name_has_the_same_disposition(name: bytes) -> None:
    same_disposition(name)


def test_every_byte_of_a_name() -> None:
    for byte in range(256):
        for name in (bytes((byte,)), b"a" + bytes((byte,)) + b"b"):
            same_disposition(name)
    same_disposition(b"")
    for name in (b'"' * 255, b"\\" * 255, b"a" * 255, b"\xff" * 255):
        same_disposition(name)


LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""


@EXAMPLES
@given(st.integers(0, LAST_SECOND))
def test_any_second_has_the_same_date(second: int) -> None:
    assert serve.http_date(second) == http_date(second)


def test_dates_around_every_turn() -> None:
    days = [
        0,
        58,
        59,
        60,
        364,
        365,
        789,
        790,
        11015,
        11016,
        11017,
        11322,
        11323,
        19782,
        47540,
        47541,
    ]
    for day in (*days, LAST_SECOND // 86400):
        for second in (0, 1, 86399):
            assert serve.http_date(day * 86400 + second) == http_date(day * 86400 + second)
    assert serve.http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    for second in (-1, LAST_SECOND + 1, 1 << 40, -(1 << 62), (1 << 63) - 1):
        assert serve.http_date(second) == ""


def test_request_ids_are_now_and_never_the_same() -> None:
    before = time.time_ns()
    ids = [serve.request_id() for _ in range(1000)]
    after = time.time_ns()
    assert all(re.fullmatch("[0-9A-F]{24}", text) for text in ids)
    stamps = [int(text[:16], 16) for text in ids]
    assert stamps == sorted(stamps) and before <= stamps[0] and stamps[-1] <= after
    assert len({text[16:] for text in ids}) == len(ids)
