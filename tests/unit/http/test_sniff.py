"""Sniffed types are Go's; most objects get their Content-Type this way."""

import pytest

from fastvol.http.sniff import detect_content_type

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", TEXT),
        (b"hello", TEXT),
        (b" \t\n", TEXT),
        (b"caf\xc3\xa9 \x1b", TEXT),
        (b"a\x00", BINARY),
        (b"a\x0b", BINARY),
        (b"\x0c\x0ca", TEXT),
        (b"a" * 512 + b"\x00", TEXT),
        (b"\n <html>", HTML),
        (b"<hTmL ", HTML),
        (b"<html", TEXT),
        (b"<htmlx>", TEXT),
        (b"<B>", HTML),
        (b"<body >", HTML),
        (b"<br>", HTML),
        (b"<!-->", HTML),
        (b"<!--x", TEXT),
        (b"<!doctype html>", HTML),
        (b" <?xml version", "text/xml; charset=utf-8"),
        (b"<?XML", TEXT),
        (b"%PDF-1", "application/pdf"),
        (b" %PDF-", TEXT),
        (b"%!PS-Adobe-3", "application/postscript"),
        (b"\xfe\xffab", "text/plain; charset=utf-16be"),
        (b"\xff\xfeab", "text/plain; charset=utf-16le"),
        (b"\xfe\xff", TEXT),
        (b"\xef\xbb\xbf\n", TEXT),
        (b"\xef\xbb\xbf\x00", TEXT),
        (b"\x00\x00\x01\x00", "image/x-icon"),
        (b"BM", "image/bmp"),
        (b"GIF87a", "image/gif"),
        (b"GIF88a", TEXT),
        (b"RIFF\x00\x00\n\x00WEBPVP", "image/webp"),
        (b"RIFFxxxxAVI ", "video/avi"),
        (b"RIFFxxxxWAVE", "audio/wave"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"FORMxxxxAIFF", "audio/aiff"),
        (b"ID3", "audio/mpeg"),
        (b"OggS\x00", "application/ogg"),
        (b"MThd\x00\x00\x00\x06", "audio/midi"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"x" * 34 + b"LP", "application/vnd.ms-fontobject"),
        (b"x" * 33 + b"LP", TEXT),
        (b"\x00\x01\x00\x00", "font/ttf"),
        (b"wOF2", "font/woff2"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
        (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
        (b"\x00asm", "application/wasm"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(12), "video/mp4"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41", "video/mp4"),
        (b"\x00\x00\x00\x10ftypisommp41", BINARY),
        (b"\x00\x00\x00\x17ftypmp42" + bytes(12), BINARY),
        (b"\x00\x00\x00\x40ftypmp42" + bytes(12), BINARY),
    ],
)
def test_types(data: bytes, kind: str) -> None:
    assert detect_content_type(data) == kind
    assert detect_content_type(memoryview(data)) == kind


@pytest.mark.parametrize(
    "tag",
    ["!DOCTYPE HTML", "HTML", "HEAD", "SCRIPT", "IFRAME", "H1", "DIV", "FONT", "TABLE", "A", "!--"],
)
def test_html_tags_need_a_terminator(tag: str) -> None:
    assert detect_content_type(f"<{tag}>".encode()) == HTML
    assert detect_content_type(f"<{tag.lower()} ".encode()) == HTML
    assert detect_content_type(f"<{tag}\n>".encode()) == TEXT


@pytest.mark.parametrize("tag", ["STYLE", "TITLE", "B", "BODY", "BR", "P"])
def test_more_html_tags(tag: str) -> None:
    assert detect_content_type(f"<{tag}>".encode()) == HTML
