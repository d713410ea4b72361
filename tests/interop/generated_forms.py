"""Forms as no browser sends them: parts, heads, line ends and boundaries of every odd kind."""

from __future__ import annotations

import gzip
from typing import Final

from differential_request import Case, message
from forms import form, part
from generated_pieces import NAMES, Pieces

BOUNDARIES: Final = (
    *(("X", "X"),) * 8,
    *(('"X"', "X"), ('"a b"', "a b"), ("a b", "a"), ('"(:?=,/)"', "(:?=,/)"), ("b" * 70, "b" * 70)),
    *(("b" * 71, "b" * 71), ('""', ""), ("", ""), ("X; charset=utf-8", "X"), ("'X'", "'X'")),
    *(('"X\\"Y"', 'X"Y'), ("X; boundary=X", "X"), ("X; boundary=Y", "X"), ("é", "é")),
)
"""As the header says it and as the body has it."""
DISPOSITIONS: Final = (
    'form-data; name="f"; filename="{}"', "form-data; name=f; filename={}", 'form-data; name="f"',
    'attachment; filename="{}"', 'form-data; filename="{}"; name="f"', 'FORM-DATA; FILENAME="{}"',
    "form-data; name=f; filename*=utf-8''{}", "form-data; filename*=UTF-8'en'%c3%a9{}",
    "form-data; filename*=iso-8859-1''%e9{}", 'form-data; filename*0="{}"; filename*1=".txt"',
    "form-data; filename*0*=utf-8''%c3%a9; filename*1=\"{}\"", 'filename="{}"', "form-data", "",
    'form-data; filename="{}"; filename="other"', 'form-data; filename="{}"; filename*=utf-8\'\'z',
    'form-data; filename="{}', 'form-data; filename="C:\\dir\\{}"', 'form-data; filename="/d/{}"',
    'form-data;filename="{}";', 'form-data; filename = "{}"', 'form-data; filename=""; name="{}"',
    "form-data; filename*=utf-8''%zz{}", 'form-data; filename="{}/"', 'form-data; filename="\\{}"',
    'form-data; name="f"; filename="{}"; size=5; x*=y', 'form-data, filename="{}"',
    'form-data; filename="=?utf-8?q?{}?="', "form-data; filename*1=b; filename*0={}",
)  # fmt: skip
KINDS: Final = (
    *("", "", "application/octet-stream", "image/gif", "a/b", "text/plain", "not a type", "é"),
    *("multipart/mixed; boundary=Y", "A/B", "a/b; c=d; c=e", "x/" + "y" * 254),
)
TRANSFERS: Final = (
    *("quoted-printable", "QUOTED-Printable", "quoted-printable ", "base64", "8bit", "binary", "x"),
)
CONTENTS: Final = (
    *(
        b"",
        b"hi",
        b"\x00\x01",
        b"a=3Db",
        b"a=3db=\r\nc",
        b"a=\nb",
        b"a=zz",
        b"a=",
        b"a=3",
        b"a =\r\n",
    ),
    *(
        b"aGk=",
        b"two\r\nlines",
        b"two\nlines\n",
        b"\r\n",
        b"\n",
        b"--X",
        b"--Xx",
        b"--",
        b"a\r\n--Xx",
    ),
    *(b"\r\n--X-\r\n", b"a  \r\nb\t", b"=\r\n", b"\xe9=E9", b"a==3D", b"-", b"a\r", b"a= \r\nb"),
    *(b"a\r\n--X--\r\nb", b"a\n--X\nb", b"\r\n--X \r\n\r\nb", b"--X\r\n", b"=0D=0A", b"a=\tb"),
)
MORE_LINES: Final = (
    *("X-Nested: Content-Type: a/b", "Content-MD5: AAAA", "content-md5:", "Content-Encoding: GZIP"),
    *(
        "Content-Type:x/second",
        "X-Fold: a\r\n b",
        "X-Fold: a\r\n\tb",
        "Mime-Version: 1.0",
        ": none",
    ),
    *("no colon", "X Blank: a", "X-Blank : a", "X-Bad\x01: a", "X-Bad: a\x01", "X-Tab:\ta", "é: a"),
    *("Content-Length: 3", "Seaweed-Part: no", " X-Lead: a", "X-Empty:", "X-Long: " + "v" * 5000),
)
PREAMBLES: Final = (
    *(b"",) * 8,
    b"\r\n",
    b"pre\r\n",
    b"\n",
    b"--Y\r\n",
    b"pre",
    b"p" * 5000 + b"\r\n",
)
CLOSINGS: Final = (
    *(b"--\r\n",) * 8,
    *(
        b"--",
        b"",
        b"\r\n",
        b"-- \r\n",
        b"--\r\nepilogue",
        b"--\r\n--X\r\n\r\nmore",
        b"--x\r\n",
        b"-",
    ),
    *(b"--\n", b"--\r", b"---\r\n", b"\r", b" ", b"\t\r\n"),
)


class Forms(Pieces):
    """Draws uploads by POST of a form."""

    def _form_upload(self) -> Case:
        """Well-formed, but for a few that are cut."""
        chance = self._chance
        parts = []
        for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
            data = self._data()
            name = chance.choice((*NAMES, "None")) if chance.random() < 0.8 else None
            more = [f"{header}: {value}" for header, value in self._md5(data)]
            if chance.random() < 0.1:
                data = gzip.compress(data, mtime=0)
                more.append("Content-Encoding: gzip")
            kind = chance.choice(("application/octet-stream", "image/gif", "a/b", "", "x/y"))
            shown = None if name is None else name.encode().decode("latin-1").replace('"', '\\"')
            parts.append((part(shown, kind, *more), data))
        body = form(*parts)
        if chance.random() < 0.05:
            body = body[: chance.randrange(len(body))]
        kinds = ("multipart/form-data; boundary=X",) * 8
        kind = chance.choice((*kinds, "multipart/form-data", 'multipart/form-data; boundary="X"'))
        headers = [("Content-Type", kind), *self._seaweed()]
        return Case("form", message("POST", self._target(), headers, body))

    def _odd_form(self) -> Case:
        chance = self._chance
        said, boundary = chance.choice(BOUNDARIES)
        line = chance.choice((b"\r\n",) * 6 + (b"\n",))
        mark = b"--" + boundary.encode()
        body = chance.choice(PREAMBLES)
        count = chance.choice((0, 1, 1, 1, 1, 1, 2, 2, 3))
        for number in range(count):
            # Only around all parts: a head that became a part's data would be compressed.
            odd = (b"\r", b"x") if number == 0 else ()
            body += mark + chance.choice((*(b"",) * 12, b" ", b"\t ", *odd)) + line
            body += self._part_head(line) + line + chance.choice(CONTENTS) + line
            if chance.random() < 0.03:
                body += chance.choice((line, b"noise" + line, line * 2))
        if count and chance.random() < 0.03:
            body = body.removesuffix(line)
        body += mark + chance.choice(CLOSINGS)
        if chance.random() < 0.05:
            body = body[: chance.randrange(len(body) + 1)]
        forms = ("multipart/form-data; boundary={}",) * 9
        kind = chance.choice((
            *forms, "multipart/mixed; x=form-data; boundary={}", "form-data; boundary={}",
            "multipart/form-data;boundary={};", "multipart/form-data; Boundary={}", "x/form-data",
        )).format(said)  # fmt: skip
        headers = [("Content-Type", kind), *self._seaweed()]
        if chance.random() < 0.1:
            headers.append(("Content-Encoding", "gzip"))
        headers += self._md5(b"hi")
        return Case("odd form", message("POST", self._target(), headers, body))

    def _part_head(self, line: bytes) -> bytes:
        chance = self._chance
        if chance.random() < 0.05:
            return b""
        lines = []
        if chance.random() < 0.9:
            name = chance.choice(NAMES[:14]).encode().decode("latin-1")
            said = chance.choice(("Content-Disposition: ",) * 6 + ("content-disposition:",))
            lines.append(said + chance.choice(DISPOSITIONS).replace("{}", name))
        kind = chance.choice(KINDS)
        if kind:
            lines.append(f"Content-Type: {kind}")
        if chance.random() < 0.25:
            lines.append(f"Content-Transfer-Encoding: {chance.choice(TRANSFERS)}")
        if chance.random() < 0.25:
            lines.append(chance.choice(MORE_LINES))
        if chance.random() < 0.3:
            chance.shuffle(lines)
        return b"".join(text.encode("latin-1") + line for text in lines)
