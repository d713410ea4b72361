"""Requests drawn from a seed: everything that a client may say about objects, well-formed or not.

Each is drawn with the knowledge of what the earlier ones may have stored, so that most reads find
something; what is known stays out of the answer, which two servers are compared by.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Final

from differential_request import COOKIE, ORDINARY, Case, Header, message
from generated_forms import Forms
from generated_pieces import (
    CHUNK_KEYS,
    KEYS,
    MANIFEST_KEYS,
    METHODS,
    NAMES,
    PICTURE_KEYS,
    PICTURE_QUERIES,
    READ_QUERIES,
    TEXT_KEYS,
    TEXTS,
    TYPES,
    picture,
)

RAW_DISPOSITIONS: Final = (
    'inline; filename="{}"', 'attachment; filename="{}"', 'form-data; name=x; filename="{}"',
    'odd; filename="{}"', 'filename="{}"', "name={}", 'inline; name="{}"', "inline; filename={}",
    "attachment; filename*=utf-8''%c3%a9; name=x", 'inline; filename="{}"; filename="b"',
    'inline; filename="{}', 'INLINE; FILENAME="{}"', 'inlinefilename="{}"', "inline; name*=utf-8''n",
    'inline;name="a"; filename=""', 'attachment; x=y; name="{}"; z', 'attachment; filename*0=a; name=b',
)  # fmt: skip
PIPELINED_BYTES_MAX: Final = 30_000
CHUNK_BYTES: Final = 1000


class Generator(Forms):
    """Draws one request after another."""

    def cases(self, count: int) -> Iterator[Case]:
        """So many; :func:`text_cases` come first."""
        kinds = [
            *((self._read, 47), (self._raw_upload, 16), (self._form_upload, 9)),
            *((self._odd_form, 7), (self._delete, 6), (self._odd_read, 8), (self._odd_method, 3)),
            *((self._rewrite, 3), (self._text_upload, 2), (self._picture_upload, 0.5)),
            *((self._picture_read, 1.5), (self._chunk_upload, 2), (self._manifest_upload, 1)),
            *((self._manifest_read, 3), (self._manifest_delete, 0.3), (self._pipelined, 1)),
            *((self._old_version, 1.5), (self._expecting, 1)),
        ]
        draws, weights = zip(*kinds, strict=True)
        yield from text_cases()
        for _ in range(count):
            yield self._chance.choices(draws, weights)[0]()

    # --- uploads --------------------------------------------------------------------------------

    def _raw_upload(self) -> Case:
        chance = self._chance
        data = self._data()
        headers: list[Header] = []
        kind = chance.choice(TYPES)
        method = chance.choice(("POST", "PUT", "PUT"))
        if kind:
            headers.append(("Content-Type", kind.encode().decode("latin-1")))
        if chance.random() < 0.3:
            name = chance.choice(NAMES).encode().decode("latin-1").replace('"', '\\"')
            said = chance.choice(RAW_DISPOSITIONS).replace("{}", name)
            headers.append(("Content-Disposition", said))
        headers += self._md5(data)
        if chance.random() < 0.15:
            codings = ("gzip", "gzip", "br", "GZIP", "gzip, gzip", "identity", " gzip ", "x-gzip")
            headers.append(("Content-Encoding", chance.choice(codings)))
            if chance.random() < 0.8:
                data = gzip.compress(data, mtime=0)
                if chance.random() < 0.1:
                    data = data[:-3]
        headers += self._seaweed()
        if chance.random() < 0.1 and data:
            return self._chunked(method, self._target(), headers, data)
        target = self._target() if chance.random() < 0.95 else self._bent(self._target())
        return Case("raw", message(method, target, headers, data))

    def _chunked(self, method: str, target: str, headers: list[Header], data: bytes) -> Case:
        pieces = bytearray()
        while data:
            size = self._chance.randint(1, len(data))
            pieces += b"%x\r\n%b\r\n" % (size, data[:size])
            data = data[size:]
        pieces += b"0\r\n\r\n"
        framed = [*headers, ("Transfer-Encoding", "chunked")]
        return Case("chunked", message(method, target, framed, bytes(pieces)))

    def _rewrite(self) -> Case:
        """The same bytes again and again: the second time they are there."""
        fid = f"{self._chance.choice((1, 2, 4))},{self._chance.randrange(1, 8):x}{COOKIE}"
        headers = [("Content-Type", "a/b")]
        return Case("again", message("PUT", f"/{fid}?ts=1700000000", headers, b"the same \x00"))

    def _text_upload(self) -> Case:
        """What a server compresses by itself, unless it is a copy or of a kind that it leaves."""
        chance = self._chance
        kind = chance.choice(("text/plain", "text/css", "application/xml", "", "application/json"))
        headers = [("Content-Type", kind)] if kind else []
        text = chance.choice(TEXTS)
        return Case("text", message("PUT", self._target(), headers + self._md5(text), text))

    def _picture_upload(self) -> Case:
        chance = self._chance
        key = chance.choice(PICTURE_KEYS)
        headers = [("Content-Type", chance.choice(("image/png", "application/octet-stream")))]
        ext = chance.choice(("", ".png", ".jpg", ".GIF", ".webp"))
        target = f"/{ORDINARY},{key:x}{COOKIE}{ext}?ts=1700000000"
        return Case("picture", message("PUT", target, headers, picture(key)))

    def _chunk_upload(self) -> Case:
        """Always of one size, so that every manifest is true."""
        data = b"\x00" + self._chance.randbytes(CHUNK_BYTES - 1)
        target = f"/{self._one_of(CHUNK_KEYS)}?ts=1700000000"
        return Case("chunk", message("PUT", target, [("Content-Type", "a/b")], data))

    def _manifest_upload(self) -> Case:
        chance = self._chance
        text = self._manifest()
        draw = chance.random()
        headers = [("Content-Type", "application/json")]
        if draw < 0.1:
            text = gzip.compress(text, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        elif draw < 0.15:
            text = text[: chance.randrange(len(text))]
        flag = chance.choice(("cm=true", "cm=true", "cm=1", "cm=TRUE", "cm=yes"))
        target = f"/{self._one_of(MANIFEST_KEYS)}?{flag}&ts=1700000000"
        return Case("manifest", message("PUT", target, headers + self._seaweed(), text))

    def _manifest(self) -> bytes:
        """Its chunks may be missing, but it never lies about their sizes: what is served then is
        not the same (a chunk that is longer is not cut there)."""
        chance = self._chance
        chunks: list[dict[str, object]] = []
        count = chance.choice((0, 1, 1, 2, 2, 3, 5))
        for number in range(count):
            fid = self._one_of(CHUNK_KEYS)
            if chance.random() < 0.1:
                odd = (f"1,ff{COOKIE}", fid[:-1], fid + "_0", fid + ".jpg")
                fid = chance.choice(odd)
            elif count == 1 and chance.random() < 0.1:
                # With others: they are deleted there though the manifest is not.
                fid = chance.choice(("x", "", f"9,1{COOKIE}"))
            chunks.append({"fid": fid, "offset": number * CHUNK_BYTES, "size": CHUNK_BYTES})
        if chance.random() < 0.2:
            chance.shuffle(chunks)
        members: dict[str, object] = {"size": len(chunks) * CHUNK_BYTES, "chunks": chunks}
        if chance.random() < 0.5:
            members["name"] = chance.choice(NAMES)
        if chance.random() < 0.5:
            members["mime"] = chance.choice(("a/b", "text/x", "application/octet-stream", ""))
        if chance.random() < 0.1:
            members.update(chance.choice(({"size": -1}, {"chunks": None}, {"size": "x"}, {"x": 1})))
        return json.dumps(members).encode()

    # --- reads and deletes ----------------------------------------------------------------------

    def _read(self) -> Case:
        chance = self._chance
        method = chance.choice(("GET", "GET", "GET", "HEAD"))
        target = self._shape() + self._query(READ_QUERIES)
        public = chance.random() < 0.1
        body = b"body" if chance.random() < 0.01 else None
        return Case("read", message(method, target, self._read_headers(), body), public=public)

    def _picture_read(self) -> Case:
        """Without a range: what is produced has another length here and there."""
        chance = self._chance
        fid = self._one_of(PICTURE_KEYS)
        ext = chance.choice(("", ".png", ".jpg", ".gif", ".webp", ".PNG", ".jpeg", ".txt"))
        target = f"/{fid}{ext}?{chance.choice(PICTURE_QUERIES)}"
        method = chance.choice(("GET", "GET", "GET", "HEAD"))
        return Case("picture read", message(method, target, self._conditions()))

    def _manifest_read(self) -> Case:
        chance = self._chance
        ext = chance.choice(("", "", "", ".txt", ".png"))
        queries = ("", "", "cm=false", "cm=0", "dl=1", "width=5", "response-content-type=x/y")
        target = f"/{self._one_of(MANIFEST_KEYS)}{ext}{self._query(queries)}"
        method = chance.choice(("GET", "GET", "GET", "HEAD"))
        return Case("manifest read", message(method, target, self._read_headers()))

    def _delete(self) -> Case:
        query = self._query(
            ("", "", "ts=5", "pretty=1", "type=replicate", "x=%zz", "ts=abc", "a;b")
        )
        return Case("delete", message("DELETE", self._shape() + query))

    def _manifest_delete(self) -> Case:
        query = self._query(("", "", "", "cm=false", "type=replicate", "pretty=1"))
        return Case("delete", message("DELETE", f"/{self._one_of(MANIFEST_KEYS)}{query}"))

    # --- what is odd ----------------------------------------------------------------------------

    def _bent(self, target: str) -> str:
        """The same target, more or less, in other letters."""
        chance = self._chance
        path, question, query = target.partition("?")
        at = chance.randrange(1, len(path))
        encoded = f"%{ord(path[at]):02x}" if chance.random() < 0.5 else f"%{ord(path[at]):02X}"
        path = chance.choice((
            path[:at] + encoded + path[at + 1 :], "/" + path, "/." + path, "/a/.." + path,
            path.replace(",", "/"), path.replace(",", "%2f"), path + "/", path + "//x.txt",
            path.replace(",", ", "), path.replace(",", ",0000"), path + "%00", path + ";x=y",
            path + "%20", "/%2e" + path, path + "/..", path + "/.", "/x" + path, path + "#f",
            f"http://elsewhere{path}", path.replace(",", ",,"), path.replace(",", "+,"),
            path + "_", path + "_01", path + "_1_1", path + "%5f1", path + "_1.jpg", path + "%zz",
            path + "é", path + "%C3%A9", path.upper(), path[:at] + "\\" + path[at:], path + ",",
        ))  # fmt: skip
        return (path + question + query).encode().decode("latin-1").replace(", ", ",")

    def _odd_read(self) -> Case:
        chance = self._chance
        method = chance.choice(("GET", "GET", "HEAD", "DELETE", "PUT"))
        headers = self._read_headers()[:1]
        if chance.random() < 0.5:
            target = self._bent(self._shape() + self._query(READ_QUERIES))
            if method != "PUT":
                return Case("odd", message(method, target, headers))
            return Case("odd", message(method, target, [("Content-Type", "a/b")], b"odd"))
        vid, fid = self._vid(), self._fid()
        cut = chance.randrange(len(fid))
        targets = (
            *(f"/{vid},{fid[:cut]}", f"/{vid},{fid}{fid}", f"/{vid}", f"/x{vid},{fid}", "/"),
            *(f"/-{vid},{fid}", f"/{vid},{fid}x", f"/{vid},{fid}/n.txt", f"/{vid}/{fid}/a/b/c"),
            *(f"//{vid},{fid}", f"/./{vid},{fid}", f"/a/../{vid},{fid}", f"/{vid},{fid}/"),
            *("/status/", "/healthz", "/stats/disk", "/metrics", "/robots.txt", f"/{vid},{fid}_"),
            *("/%2e%2e/x", f"/{vid},{fid}_x", f"/{vid},{fid}_99999999999999999999"),
            *(f"/18446744073709551616,{fid}", f"/4294967297,{fid}", f"/{vid}.5,{fid}"),
            *(f"/a/b/c/{vid},{fid}", f"/{vid}/{fid}/x/y.jpg", f"/{vid}/{fid}/", f"/+{vid},{fid}"),
            *(f"/a/b/c/d/{vid}/{fid}", f"/{vid}/{fid}.a/n.b", f"/{vid},{fid[:cut]} {fid[cut:]}"),
        )
        method = "GET" if method == "PUT" else method
        return Case("odd", message(method, chance.choice(targets), headers))

    def _odd_method(self) -> Case:
        target = self._chance.choice((self._shape(), "/healthz", "/"))
        headers: list[Header] = [("Origin", "http://o")] if self._chance.random() < 0.3 else []
        public = self._chance.random() < 0.3
        method = self._chance.choice(METHODS)
        return Case("method", message(method, target, headers), public=public)

    def _pipelined(self) -> Case:
        """Several at once."""
        raw, methods = b"", []
        for _ in range(self._chance.choice((2, 3, 5))):
            draws = (self._read, self._read, self._delete, self._rewrite, self._raw_upload)
            case = self._chance.choice((*draws, self._form_upload, self._odd_method))()
            if len(case.raw) < PIPELINED_BYTES_MAX and not case.public:
                raw += case.raw
                methods.append(case.raw.split(b" ", 1)[0])
        if not methods:
            return self._rewrite()
        return Case("pipelined", raw, methods=tuple(methods), alone=self._chance.random() < 0.2)

    def _old_version(self) -> Case:
        """HTTP/1.0, where a connection ends unless both sides want it to go on."""
        chance = self._chance
        draws = (self._read, self._read, self._raw_upload, self._delete, self._manifest_read)
        case = chance.choice((*draws, self._odd_method))()
        if b"Transfer-Encoding" in case.raw:  # from such a client refused here, served there
            return case
        kept = chance.choice(
            ("", "", "keep-alive", "Keep-Alive", "close", "keep-alive, close", "x")
        )
        more = b"Connection: %b\r\n" % kept.encode() if kept else b""
        head, _, rest = case.raw.partition(b" HTTP/1.1\r\n")
        if chance.random() < 0.3:
            rest = rest.removeprefix(b"Host: volume\r\n")
        raw = head + b" HTTP/1.0\r\n" + more + rest
        return Case("old version", raw, alone=True, public=case.public)

    def _expecting(self) -> Case:
        """The body is there already, invited or not."""
        chance = self._chance
        draws = (self._raw_upload, self._form_upload, self._read, self._delete)
        case = chance.choice(draws)()
        wish = chance.choice(
            ("100-continue",) * 3 + ("100-Continue", "200-ok", "", "100-continue, x")
        )
        head, _, rest = case.raw.partition(b" HTTP/1.1\r\n")
        raw = head + b" HTTP/1.1\r\nExpect: " + wish.encode() + b"\r\n" + rest
        return Case("expecting", raw, alone=True, public=case.public)


def text_cases() -> Iterator[Case]:
    """Each text stored and read as it is stored: it shows how a server compresses it."""
    for number, text in enumerate(TEXTS, TEXT_KEYS):
        target = f"/{ORDINARY},{number:x}{COOKIE}"
        plain = [("Content-Type", "text/plain")]
        yield Case("texts", message("PUT", f"{target}?ts=1700000000", plain, text))
        yield Case("texts", message("GET", target, [("Accept-Encoding", "gzip")]))


assert PICTURE_KEYS[0] > KEYS
