"""What generated requests are made of: names, numbers, queries, headers and contents."""

from __future__ import annotations

import base64
import hashlib
import random
from functools import cache
from typing import Final

from differential_request import COOKIE, FILE_LIMIT_MIB, LARGE_BYTES, ORDINARY, WITH_TTL, Header
from image_kit import encoded, gradient

VOLUMES: Final = (1, 1, 1, 1, 2, 3, 4, 9)
KEYS: Final = 60
"""So few that most requests meet an object."""
PICTURE_KEYS: Final = range(0x80, 0x84)
CHUNK_KEYS: Final = range(0x90, 0x98)
MANIFEST_KEYS: Final = range(0xA0, 0xA6)
"""Keys of their own: no manifest ever leads to a manifest, which would lead on for ever."""
TEXT_KEYS: Final = 0xC0

TEXTS: Final = tuple(
    (f"{words} " * count).encode()
    for words, count in (
        ("many words, few of them new", 30),
        ("<p>a paragraph</p>\n", 200),
        ("key,value,0,1,2\r\n", 3000),
        ("äöü", 2000),
    )
)
"""What both servers compress, each in its own way; nothing else that is uploaded gets smaller."""

NAMES: Final = (
    *("a.txt", "b.jpg", "c.css", "d", "e.tar.gz", "é.txt", "with space.html", 'quo"te.js'),
    *("back\\slash.svg", "semi;colon.xml", ".hidden", "trailing.", "UPPER.PNG", "plus+sign.json"),
    *("dir/in.txt", "..", "a'b.mp3", "per%20cent.pdf", "n" * 255, "n" * 252 + ".gif"),
)
TYPES: Final = (
    *("application/octet-stream", "image/png", "a/b", "text/x-thing", "application/json"),
    *("", "audio/mpeg", "video/mp4", "not a type", "application/x-www-form-urlencoded"),
    *("text/html; charset=utf-8", "multipart/mixed; boundary=X", "font/woff2", "TEXT/Plain"),
    *('a/b; c="d e"', "a/b; c=d; c=e", "a/b; c=d; C=d", "a/b;", "a/b; c", "a/", "/b", ";", "a/b/c"),
    *("text/plain; charset*=utf-8''x", "x/" + "y" * 253, "x/" + "y" * 254, "é/b", "a/b, c/d"),
    *("Application/X-WWW-Form-Urlencoded", "application/octet-stream; x=y", "image/svg+xml"),
)
TIMES: Final = (
    *("ts=1700000000", "ts=1", "ts=0", "ts=abc", "ts=-1", "ts=99999999999999999999", ""),
    *("ts=1099511627776", "ts=1099511627775", "ts=+5", "ts=5&ts=6", "TS=5", "ts=%35", "ts=1e3"),
)
TTLS: Final = (
    *("", "", "", "ttl=3h", "ttl=90", "ttl=8d", "ttl=xx", "ttl=0", "ttl=256w", "ttl=90m"),
    *("ttl=15361m", "ttl=2w", "ttl=1M", "ttl=255y", "ttl=400y", "ttl=-3h", "ttl=3H", "ttl=03d"),
    *("ttl=%2B3h", "ttl=3h3", "ttl=h", "ttl=99999999999999999999d", "ttl=1y&ttl=3h", "ttl=3+d"),
)
FLAGS: Final = (
    *("", "", "", "", "fsync=true", "cm=false", "cm=true", "cm=T", "cm=x", "pretty=y", "pretty=y"),
    *("unknown=1", "a=1;b", "x=%zz", "pretty=y&x=%zz", "type=replicate", "type=other", "a+b=c"),
    *("&&", "=", "=x", "a=%", "a=%4", "%70retty=1", "pretty", "pretty=&pretty=1", "?", "é=ü"),
)
READ_QUERIES: Final = (
    *("", "", "", "", "dl=1", "dl=true", "dl=no", "readDeleted=true", "readDeleted=1"),
    *("cm=false", "pretty=1", "version=2", "response-content-type=text/x-o", "collection=c"),
    *("response-content-encoding=br", "Response-Cache-Control=no-store", "a=%zz&dl=1", "a;b"),
    *("response-expires=%0d%0aX-Evil:1", "response-content-disposition=attachment"),
    *("response-content-language=de&dl=t", "jwt=abc", "proxied=true", "dl=0&dl=1", "dl=1&dl=0"),
    *("%64l=1", "dl%3D1", "dl=1;a=b", "a;b&dl=1", "DL=1", "dl=+1", "dl=%zz", "dl", "=1", "&&dl=T"),
    *("response-content-type=", "response-content-type=a+b%2Bc", "response-content-type=%e9"),
    *("response-content-type=x/y&response-content-type=z", "response-content-disposition="),
    *("response-expires=never&response-cache-control=max-age%3D5", "response-etag=x"),
    *("RESPONSE-CONTENT-LANGUAGE=%00", "response-content-encoding=", "readDeleted=true&cm=false"),
    *("response-content-encoding=gzip", "response-content-disposition=%22%3B%5C%0a"),
    *("readDeleted=TRUE", "readDeleted=1&readDeleted=true", "width=1", "width=x&crop_x2=9"),
)
PICTURE_QUERIES: Final = (
    *("width=30", "width=30&height=30", "height=10", "width=7&height=30&mode=fit", "width=100"),
    *("width=30&height=10&mode=fill", "crop_x1=5&crop_y1=5&crop_x2=25&crop_y2=15", "crop_x2=99"),
    *("crop_x2=20&crop_y2=10&width=5", "width=abc", "width=5&width=9", "Width=9", "width=%2B30"),
    *("crop_x2=61&crop_y2=40", "crop_x1=9&crop_x2=3&crop_y2=3", "width=30&dl=1", "width=1"),
    *("width=30&response-content-type=x/y", "width=30&a=%zz", "width=30;height=3", "mode=fit"),
)
METHODS: Final = (
    *("PATCH", "TRACE", "PROPFIND", "get", "OPTIONS", "LINK", "X-Y", "Get", "pUT", "DELETe"),
    *("HEAd", "Post", "options", "A" * 50, "!#$", "MKCOL"),
)
ENCODINGS: Final = (
    *("", "gzip", "gzip", "gzip, deflate, br", "identity", "gzip;q=0", "GZIP", "deflate", "x-gzip"),
    *("br, gzip", "*"),
)
SEAWEED_NAMES: Final = (
    *("Seaweed-Owner", "seaweed-x-y", "SEAWEED-LOUD", "Seaweed-Etag", "Seaweed-", "Seaweed-1a-B"),
    *("Seaweed-Content-Type", "Seaweed-Last-Modified", "Seaweed-Content-Disposition"),
    *("Seaweed-Server", "Seaweed-Content-Length", "Seaweed-Accept-Ranges", "Seaweed_Under"),
    *("Seaweed-Content-Encoding", "Seaweed-Date", "Seaweed-X-File-Store"),
)
SEAWEED_VALUES: Final = (
    "me",
    "<&>",
    "é",
    "",
    "a\tb",
    '"\\',
    "\xff\xfe",
    "u" * 300,
    "\u00e2\x80\xa8",
)
DATES: Final = (
    *("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "never", ""),
    *("Tue, 14 Nov 2023 22:13:20 UTC", "tue, 14 nov 2023 22:13:20 GMT"),
    *("Thu, 01 Jan 2099 00:00:00 GMT", "Thursday, 01-Jan-99 00:00:00 GMT"),
    *("Thu, 1 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 2099 0:00:00 GMT", "Thu Jan  1 00:00:00 2099"),
    *("Thu, 01 Jan 2099 00:00:60 GMT", "Thu, 31 Feb 2099 00:00:00 GMT", "1700000000"),
    *("Thu, 01 Jan 2099 00:00:00.25 GMT", "Thu, 01 Jan 2099 24:00:00 GMT", "Thu,01 Jan 2099"),
    *("Thu, 01 Jan 2099 00:00:00 gmt", "Thu, 01 Jan 0000 00:00:00 GMT"),
    *("Thu,  01 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT x"),
)
TAGS: Final = (
    *('"00000000"', "*", 'W/"0b96dcc2"', '"c99465aa"', "c99465aa", '"a", "b"', '"00000000", "a"'),
    *('W/"00000000"', '"', '""', '"00000000', '"00000000" ', '"0000000O"'),
)
ODD_RANGES: Final = (
    *("bytes=", "bytes=,", "Bytes=0-1", "bytes=a-b", "bytes=1", "bytes=-", "0-1", "bytes=-0"),
    *("bytes=,,0-1,,", "bytes=0-1,x", "bytes=0x1-2", "bytes=1_0-", "bytes=+1-+3", "bytes=\t1-2"),
    *("bytes=5-2", "bytes=0-1-2", "bytes=0-1;2-3", "bytes= ", "bytes", "bytes =0-1", "bytes=0-é"),
    *("bytes=9223372036854775807-", "bytes=9223372036854775808-", "bytes=-9223372036854775808"),
    *("bytes=0-9223372036854775807", "bytes=00000000000000000000001-2", "items=0-1", "bytes=1-2 3"),
    *("bytes=99999999-x", "bytes=99999999-1", "bytes=,99999999-", "bytes=0-,", "bytes=-1-2"),
)


@cache
def picture(number: int) -> bytes:
    """One of a few small pictures, of every kind that servers resize."""
    kinds = ("PNG", "JPEG", "GIF", "WEBP")
    return encoded(gradient((60, 40)), kinds[number % len(kinds)])


class Pieces:
    """Draws parts of requests."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def _fid(self) -> str:
        chance = self._chance
        cookie = COOKIE if chance.random() < 0.95 else "0badc0de"
        delta = chance.choice(("", "", "", "", "", "", "_1", "_0"))
        key = f"{chance.randrange(1, KEYS):x}"
        if chance.random() < 0.1:
            key = key.zfill(chance.choice((2, 8, 16)))
        fid = key + cookie + delta
        return fid.upper() if chance.random() < 0.1 else fid

    def _vid(self) -> str:
        return str(self._chance.choice(VOLUMES))

    def _one_of(self, keys: range) -> str:
        """An object of a kind that has keys of its own."""
        return f"{ORDINARY},{self._chance.choice(keys):x}{COOKIE}"

    def _query(self, *options: tuple[str, ...]) -> str:
        drawn = [text for text in map(self._chance.choice, options) if text]
        self._chance.shuffle(drawn)
        return "?" + "&".join(drawn) if drawn else ""

    def _data(self) -> bytes:
        """Nothing that gets smaller by compression."""
        chance = self._chance
        size = chance.choice((0, 1, 2, 16, 100, 512, 1000, 5000, 70_000))
        if chance.random() < 0.01:
            size = LARGE_BYTES
        magic = (
            *(b"", b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%PDF-1.4 ", b"\xff\xd8\xff\xe0"),
            *(
                b"PK\x03\x04",
                b"<!DOCTYPE HTML ",
                b"BM",
                b"\xef\xbb\xbf",
                b"\x1f\x8b\x08",
                b"<?xml ",
            ),
        )
        return chance.choice(magic) + b"\x00" + chance.randbytes(size) if size else b""

    def _seaweed(self) -> list[Header]:
        chance = self._chance
        if chance.random() < 0.85:
            return []
        count = chance.choice((1, 1, 1, 2, 3))
        return [(chance.choice(SEAWEED_NAMES), chance.choice(SEAWEED_VALUES)) for _ in range(count)]

    def _md5(self, data: bytes) -> list[Header]:
        draw = self._chance.random()
        if draw > 0.1:
            return []
        digest = hashlib.md5(data if draw > 0.03 else b"other").digest()
        text = base64.b64encode(digest).decode() if draw > 0.01 else digest.hex()
        return [("Content-MD5", text)]

    def _target(self) -> str:
        """Where to store something."""
        ext = self._chance.choice(("", "", "", ".jpg", ".txt", ".tar.gz", "."))
        vid = self._vid()
        # The real server destroys a TTL volume whose objects say that they are old.
        times = ("",) if vid == str(WITH_TTL) else TIMES
        return f"/{vid},{self._fid()}{ext}{self._query(times, TTLS, FLAGS)}"

    def _shape(self) -> str:
        """Where an object may be read."""
        chance = self._chance
        vid, fid = self._vid(), self._fid()
        name = chance.choice(("n.txt", "n.png", "a%20b.css", "%C3%A9.html", "noext", "x.", ".y"))
        shapes = (
            *(f"/{vid},{fid}",) * 6,
            *(f"/{vid},{fid}.jpg", f"/{vid}/{fid}", f"/{vid}/{fid}/{name}", f"/{vid}/{fid}.css"),
            *(f"/{vid}%2C{fid}", f"/0{vid},{fid}"),
        )
        return chance.choice(shapes)

    def _conditions(self) -> list[Header]:
        chance = self._chance
        headers: list[Header] = []
        if chance.random() < 0.15:
            headers.append(("If-None-Match", chance.choice(TAGS)))
        if chance.random() < 0.15:
            headers.append(("If-Modified-Since", chance.choice(DATES)))
        if chance.random() < 0.05:
            headers.append(("If-Range", chance.choice(('"0"', *DATES[:2]))))
        if chance.random() < 0.03:
            headers.append(("If-Match", chance.choice(TAGS)))
        if chance.random() < 0.03:
            headers.append(("If-Unmodified-Since", chance.choice(DATES)))
        return headers

    def _read_headers(self) -> list[Header]:
        chance = self._chance
        headers = self._conditions()
        encoding = chance.choice(ENCODINGS)
        if encoding and chance.random() < 0.5:
            headers.append(("Accept-Encoding", encoding))
        if chance.random() < 0.3:
            headers.append(("Range", self._range()))
        if chance.random() < 0.02:
            headers.append(("Range", self._range()))
        if chance.random() < 0.1:
            headers.append(("Origin", chance.choice(("http://o", "null", ""))))
        chance.shuffle(headers)
        return headers

    def _range(self) -> str:
        chance = self._chance
        draw = chance.random()
        if draw < 0.2:
            return chance.choice(ODD_RANGES)
        if draw < 0.6:
            return f"bytes={self._one_range()}"
        between = chance.choice((",", ",", ", ", " ,", ",,"))
        ranges = [self._one_range() for _ in range(chance.choice((2, 2, 3, 5, 20)))]
        return f"bytes={between.join(ranges)}"

    def _one_range(self) -> str:
        chance = self._chance
        first, last = (chance.choice((0, 1, 2, 15, 16, 99, 511, 5000, 10**19)) for _ in range(2))
        if chance.random() < 0.5 and first < last:
            last = first + chance.choice((0, 1, 7))
        usual = (f"{first}-{last}", f"{first}-", f"-{last}", f" {first} - ", f"{first}-{last}")
        return chance.choice(usual)


assert LARGE_BYTES < FILE_LIMIT_MIB << 20
