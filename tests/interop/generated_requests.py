"""Requests drawn from a seed: everything that a client may say about objects, well-formed or not.

Each is drawn with the knowledge of what the earlier ones may have stored, so that most reads find
something; what is known stays out of the answer, which two servers are compared by.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from typing import Final

from differential_request import (
    COOKIE,
    FILE_LIMIT_MIB,
    LARGE_BYTES,
    WITH_TTL,
    Case,
    Header,
    message,
)
from forms import form, part

VOLUMES: Final = (1, 1, 1, 1, 2, 3, 4, 9)
KEYS: Final = 60
"""So few that most requests meet an object."""

NAMES: Final = (
    *("a.txt", "b.jpg", "c.css", "d", "e.tar.gz", "é.txt", "with space.html", 'quo"te.js'),
    *("back\\slash.svg", "semi;colon.xml", ".hidden", "trailing.", "UPPER.PNG", "plus+sign.json"),
)
TYPES: Final = (
    *("application/octet-stream", "image/png", "a/b", "text/x-thing", "application/json"),
    *("", "audio/mpeg", "video/mp4", "not a type", "application/x-www-form-urlencoded"),
    *("text/html; charset=utf-8", "multipart/mixed; boundary=X", "font/woff2"),
)
TIMES: Final = ("ts=1700000000", "ts=1", "ts=0", "ts=abc", "ts=-1", "ts=99999999999999999999", "")
TTLS: Final = ("", "", "", "ttl=3h", "ttl=90", "ttl=8d", "ttl=xx", "ttl=0", "ttl=256w")
FLAGS: Final = (
    "",
    "",
    "",
    "fsync=true",
    "cm=false",
    "pretty=y",
    "pretty=y",
    "unknown=1",
    "a=1;b",
    "x=%zz",
    "pretty=y&x=%zz",
)
READ_QUERIES: Final = (
    *("", "", "", "", "dl=1", "dl=true", "dl=no", "readDeleted=true", "readDeleted=1"),
    *("cm=false", "pretty=1", "version=2", "response-content-type=text/x-o", "collection=c"),
    *("response-content-encoding=br", "Response-Cache-Control=no-store", "a=%zz&dl=1", "a;b"),
    *("response-expires=%0d%0aX-Evil:1", "response-content-disposition=attachment"),
    *("response-content-language=de&dl=t", "jwt=abc", "proxied=true"),
)
METHODS: Final = ("PATCH", "TRACE", "PROPFIND", "get", "OPTIONS", "LINK", "X-Y")
ENCODINGS: Final = ("", "gzip", "gzip, deflate, br", "identity", "gzip;q=0", "GZIP", "deflate")


class Generator:
    """Draws one request after another."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def cases(self, count: int) -> Iterator[Case]:
        """So many, alone on a connection where it may end."""
        kinds = [
            *((self._read, 50), (self._raw_upload, 18), (self._form_upload, 12)),
            *((self._delete, 7), (self._odd_read, 6), (self._odd_method, 3), (self._rewrite, 4)),
        ]
        draws, weights = zip(*kinds, strict=True)
        for _ in range(count):
            yield self._chance.choices(draws, weights)[0]()

    # --- pieces ---------------------------------------------------------------------------------

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

    def _query(self, *options: tuple[str, ...]) -> str:
        drawn = [text for text in map(self._chance.choice, options) if text]
        self._chance.shuffle(drawn)
        return "?" + "&".join(drawn) if drawn else ""

    def _data(self) -> bytes:
        """Nothing that a server compresses by itself: each would do it in its own way."""
        chance = self._chance
        size = chance.choice((0, 1, 2, 16, 100, 512, 1000, 5000, 70_000))
        if chance.random() < 0.01:
            size = LARGE_BYTES
        magic = (
            b"",
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"%PDF-1.4 ",
            b"\xff\xd8\xff\xe0",
            b"PK\x03\x04",
        )
        return chance.choice(magic) + b"\x00" + chance.randbytes(size) if size else b""

    def _seaweed(self) -> list[Header]:
        names = ("Seaweed-Owner", "seaweed-x-y", "SEAWEED-LOUD", "Seaweed-Etag", "Seaweed-Bad Name")
        if self._chance.random() < 0.85:
            return []
        return [(self._chance.choice(names[:4]), self._chance.choice(("me", "<&>", "é", "")))]

    def _md5(self, data: bytes) -> list[Header]:
        draw = self._chance.random()
        if draw > 0.1:
            return []
        digest = hashlib.md5(data if draw > 0.03 else b"other").digest()
        text = base64.b64encode(digest).decode() if draw > 0.01 else digest.hex()
        return [("Content-MD5", text)]

    # --- uploads --------------------------------------------------------------------------------

    def _target(self) -> str:
        ext = self._chance.choice(("", "", "", ".jpg", ".txt", ".tar.gz", "."))
        vid = self._vid()
        # The real server destroys a TTL volume whose objects say that they are old.
        times = ("",) if vid == str(WITH_TTL) else TIMES
        return f"/{vid},{self._fid()}{ext}{self._query(times, TTLS, FLAGS)}"

    def _raw_upload(self) -> Case:
        chance = self._chance
        data = self._data()
        headers: list[Header] = []
        kind = chance.choice(TYPES)
        method = chance.choice(("POST", "PUT", "PUT"))
        if kind and not kind.startswith("text/"):
            headers.append(("Content-Type", kind))
        if chance.random() < 0.3:
            name = chance.choice(NAMES).encode().decode("latin-1").replace('"', '\\"')
            kinds = ("inline", "attachment", "form-data; name=x", "odd")
            headers.append(("Content-Disposition", f'{chance.choice(kinds)}; filename="{name}"'))
        headers += self._md5(data)
        if chance.random() < 0.15:
            headers.append(("Content-Encoding", chance.choice(("gzip", "gzip", "br", "GZIP"))))
            if chance.random() < 0.8:
                data = gzip.compress(data, mtime=0)
        headers += self._seaweed()
        if chance.random() < 0.1 and data:
            return self._chunked(method, self._target(), headers, data)
        return Case("raw", message(method, self._target(), headers, data))

    def _chunked(self, method: str, target: str, headers: list[Header], data: bytes) -> Case:
        pieces = bytearray()
        while data:
            size = self._chance.randint(1, len(data))
            pieces += b"%x\r\n%b\r\n" % (size, data[:size])
            data = data[size:]
        pieces += b"0\r\n\r\n"
        framed = [*headers, ("Transfer-Encoding", "chunked")]
        return Case("chunked", message(method, target, framed, bytes(pieces)))

    def _form_upload(self) -> Case:
        chance = self._chance
        parts = []
        for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
            data = self._data()
            name = chance.choice((*NAMES, None)).__str__() if chance.random() < 0.8 else None
            more = [f"{header}: {value}" for header, value in self._md5(data)]
            if chance.random() < 0.1:
                data = gzip.compress(data, mtime=0)
                more.append("Content-Encoding: gzip")
            kind = chance.choice(("application/octet-stream", "image/gif", "a/b", "", "x/y"))
            shown = None if name is None else name.encode().decode("latin-1").replace('"', '\\"')
            if shown is not None and shown.endswith(
                (".txt", ".css", ".html", ".js", ".xml", ".json")
            ):
                kind = "image/gif"  # or its text would be compressed
            parts.append((part(shown, kind, *more), data))
        body = form(*parts)
        if chance.random() < 0.05:
            body = body[: chance.randrange(len(body))]
        kinds = ("multipart/form-data; boundary=X",) * 8
        kind = chance.choice((*kinds, "multipart/form-data", 'multipart/form-data; boundary="X"'))
        headers = [("Content-Type", kind), *self._seaweed()]
        return Case("form", message("POST", self._target(), headers, body))

    def _rewrite(self) -> Case:
        """The same bytes again and again: the second time they are there."""
        fid = f"{self._chance.choice((1, 2, 4))},{self._chance.randrange(1, 8):x}{COOKIE}"
        headers = [("Content-Type", "a/b")]
        return Case("again", message("PUT", f"/{fid}?ts=1700000000", headers, b"the same \x00"))

    # --- reads and deletes ----------------------------------------------------------------------

    def _shape(self) -> str:
        chance = self._chance
        vid, fid = self._vid(), self._fid()
        name = chance.choice(("n.txt", "n.png", "a%20b.css", "%C3%A9.html", "noext", "x.", ".y"))
        shapes = (
            *(f"/{vid},{fid}",) * 6,
            *(f"/{vid},{fid}.jpg", f"/{vid}/{fid}", f"/{vid}/{fid}/{name}", f"/{vid}/{fid}.css"),
            *(f"/{vid}%2C{fid}", f"/0{vid},{fid}"),
        )
        return chance.choice(shapes)

    def _read_headers(self) -> list[Header]:
        chance = self._chance
        headers: list[Header] = []
        encoding = chance.choice(ENCODINGS)
        if encoding and chance.random() < 0.5:
            headers.append(("Accept-Encoding", encoding))
        if chance.random() < 0.3:
            headers.append(("Range", self._range()))
        if chance.random() < 0.15:
            tags = ('"00000000"', "*", 'W/"0b96dcc2"', '"c99465aa"', "c99465aa", '"a", "b"')
            headers.append(("If-None-Match", chance.choice(tags)))
        if chance.random() < 0.15:
            dates = (
                *("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "never", ""),
                *("Tue, 14 Nov 2023 22:13:20 UTC", "tue, 14 nov 2023 22:13:20 GMT"),
                *("Thu, 01 Jan 2099 00:00:00 GMT", "Thursday, 01-Jan-99 00:00:00 GMT"),
            )
            headers.append(("If-Modified-Since", chance.choice(dates)))
        if chance.random() < 0.1:
            headers.append(("Origin", chance.choice(("http://o", "null", ""))))
        if chance.random() < 0.05:
            headers.append(("If-Range", '"0"'))
        chance.shuffle(headers)
        return headers

    def _range(self) -> str:
        """One range: the boundary of several is drawn by the server."""
        chance = self._chance
        first, last = (chance.choice((0, 1, 2, 15, 16, 99, 511, 5000, 10**19)) for _ in range(2))
        odd = (
            "bytes=",
            "bytes=,",
            "Bytes=0-1",
            "bytes=a-b",
            "bytes=1",
            "bytes=-",
            "0-1",
            "bytes=--",
        )
        usual = (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}", f"bytes= {first} - ")
        return chance.choice(usual if chance.random() < 0.8 else odd)

    def _read(self) -> Case:
        method = self._chance.choice(("GET", "GET", "GET", "HEAD"))
        target = self._shape() + self._query(READ_QUERIES)
        public = self._chance.random() < 0.1
        return Case("read", message(method, target, self._read_headers()), public=public)

    def _delete(self) -> Case:
        query = self._query(("", "", "ts=5", "pretty=1", "type=replicate"))
        return Case("delete", message("DELETE", self._shape() + query))

    # --- what is odd ----------------------------------------------------------------------------

    def _odd_read(self) -> Case:
        chance = self._chance
        vid, fid = self._vid(), self._fid()
        cut = chance.randrange(len(fid))
        targets = (
            *(f"/{vid},{fid[:cut]}", f"/{vid},{fid}{fid}", f"/{vid}", f"/x{vid},{fid}", "/"),
            *(f"/-{vid},{fid}", f"/{vid},{fid}x", f"/{vid},{fid}/n.txt", f"/{vid}/{fid}/a/b/c"),
            *(
                f"//{vid},{fid}",
                f"/./{vid},{fid}",
                f"/a/../{vid},{fid}",
                f"/{vid},{fid}/",
                "/status/",
            ),
            *("/healthz", "/stats/disk", "/metrics", "/robots.txt", f"/{vid},{fid}_", "/%2e%2e/x"),
            *(
                f"/{vid},{fid}_x",
                f"/{vid},{fid}_99999999999999999999",
                f"/18446744073709551616,{fid}",
            ),
        )
        method = chance.choice(("GET", "GET", "HEAD", "DELETE"))
        return Case("odd", message(method, chance.choice(targets), self._read_headers()[:1]))

    def _odd_method(self) -> Case:
        target = self._chance.choice((self._shape(), "/healthz", "/"))
        headers: list[Header] = [("Origin", "http://o")] if self._chance.random() < 0.3 else []
        public = self._chance.random() < 0.3
        method = self._chance.choice(METHODS)
        return Case("method", message(method, target, headers), public=public)


assert LARGE_BYTES < FILE_LIMIT_MIB << 20


def manifest(fid: str, size: int) -> bytes:
    """A manifest of one chunk."""
    return json.dumps({"size": size, "chunks": [{"fid": fid, "size": size}]}).encode()
