"""What is selected, what it looks like, and what a hostile text or path may cost."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.errors import InvalidRequestError, UnsupportedError
from fastvol.query import limits
from fastvol.query.json_text import values
from fastvol.query.limits import NESTED_MAX, PATH_BYTES_MAX
from fastvol.query.lookup import look_up
from fastvol.query.records import Filter, selected

RECORDS = rb"""{"score":3,"name":"a\"b","n":{"x":[1,2,{"y":5}]},"t":true,"z":null}
{"score":12,"name":"bob","t":false}
{"score":"18","name":"carol"}
{"score":1.5e1}
garbage
[1,2,3]
{"score":null,"name":"dd"}
{"score":[1],"name":"ee"}
{"score": 20 , "name" : "sp ace", "t":true}
"""
ALL = Filter(b"@this", b"", b"")
MIB = 1 << 20
SECONDS_MAX = 60
"""Generous: what must not be is a cost that grows with the square of a text."""


@pytest.mark.parametrize(
    ("paths", "condition", "found"),
    [
        ("score", "score > 10", '{score:12}{score:"18"}{score:1.5e1}{score:20}'),
        (
            "score,name,missing",
            "score >= 12",
            '{score:12,name:"bob",missing:}{score:"18",name:"carol",missing:}'
            '{score:1.5e1,name:,missing:}{score:20,name:"sp ace",missing:}',
        ),
        ("score", "score = 18", '{score:"18"}'),
        ("score", "score != 12", '{score:3}{score:"18"}{score:1.5e1}{score:20}'),
        (
            "score,name",
            "score",
            '{score:3,name:"a\\"b"}{score:12,name:"bob"}{score:"18",name:"carol"}'
            '{score:1.5e1,name:}{score:,name:"dd"}{score:[1],name:"ee"}{score:20,name:"sp ace"}',
        ),
        ("name", "name % b*", '{name:"bob"}'),
        (
            "name",
            "name !% b*",
            '{name:"a\\"b"}{name:"carol"}{name:"dd"}{name:"ee"}{name:"sp ace"}',
        ),
        ("name", "name < c", '{name:"a\\"b"}{name:"bob"}'),
        ("t", "t = true", "{t:true}{t:true}"),
        ("t", "t > false", "{t:true}{t:true}"),
        ("t", "t >= x", "{t:true}{t:true}"),
        ("t", "t < true", "{t:false}"),
        ("t", "t <= x", "{t:false}"),
        ("t", "t != true", "{t:false}"),
        ("n.x.2.y,n.x.#,name", "n.x.2.y = 5", '{n.x.2.y:5,n.x.#:3,name:"a\\"b"}'),
        ("z,name", "z = null", ""),
        ("z,name", "z", '{z:,name:"a\\"b"}'),
        ("", "score > 10", "{}{}{}{}"),
        ("@this", "name = bob", '{@this:{"score":12,"name":"bob","t":false}}'),
        ("name", "score = abc", ""),
        ("score", "score > 100", '{score:"18"}'),
        ("score", "score ~ 1", ""),
        ("score", " = 1", ""),
    ],
)
def test_records_are_filtered_and_projected(paths: str, condition: str, found: str) -> None:
    field, relation, operand = [*condition.split(" "), "", ""][:3]
    made = selected(
        RECORDS,
        [path.encode() for path in paths.split(",") if path],
        Filter(field.encode(), relation.encode(), operand.encode()),
    )
    assert made.decode() == found


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("a.b", '{"a":{"b":1}}', "1"),
        ("a\\.b", '{"a.b":1}', "1"),
        ("a.*", '{"a":{"x":1,"y":2}}', "1"),
        ("*.y", '{"a":{"x":1},"b":{"y":2}}', "2"),
        ("#", "[1,2,3]", "3"),
        ("#.a", '[{"a":1},2,{"a":3}]', "[1,3]"),
        ("0.#.b", '[[{"b":1},],{"b":2}]', "[1,2]"),
        ("#(a>1)", '[{"a":1},{"a":2},{"a":3}]', '{"a":2}'),
        ("#(a>1)#.a", '[{"a":1},{"a":2},{"a":3}]', "[2,3]"),
        ("#(>1)#", "[1,2,3]", "[2,3]"),
        ('#(%"b*")', '["a","bc"]', '"bc"'),
        ("#(a)#|#", '[{"a":1},{"b":2}]', "1"),
        ("#(a=~false)#", '[{"a":0},{"a":1},{"b":2}]', '[{"a":0},{"b":2}]'),
        ("..1.a", '{"a":1}\n{"a":2}', "2"),
        ("a|@reverse", '{"a":[1,2]}', "[2,1]"),
        ("@keys", '{"a":1,"b":2}', '["a","b"]'),
        ("@values", '{"a":1,"b":2}', "[1,2]"),
        ("@ugly", '{ "a b" : 1 }', '{"a b":1}'),
        ("@flatten", "[1,[2,[3]]]", "[1,2,[3]]"),
        ("a.@tostr", '{"a":{"b":"<"}}', '"{\\"b\\":\\"\\u003c\\"}"'),
        ("{x:a,b}", '{"a":1,"b":[2]}', '{"x":1,"b":[2]}'),
        ("[a,c,b]", '{"a":1,"b":[2]}', "[1,[2]]"),
        ("@nope", '{"@nope":1}', "1"),
        ("a", '{"\\u0061":1}', "1"),
        ("18446744073709551616", "[5]", "5"),
    ],
)
def test_paths(path: str, text: str, found: str) -> None:
    (value,) = values(text.encode()) if "\n" not in path + text else [whole(text)]
    assert look_up(value, path.encode()).raw.decode() == found


def whole(text: str) -> Any:
    (value,) = values(f"[{text}]".encode())
    value.start, value.stop = 1, value.stop - 1
    return value


@pytest.mark.parametrize("name", ["pretty", "valid", "join", "fromstr", "group", "dig:a"])
def test_what_is_not_built_is_refused_in_words(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"@{name[:3]}"):
        selected(b"{}", [f"@{name}".encode()], ALL)
    with pytest.raises(UnsupportedError, match="deep"):
        selected(b"[]", [b'@flatten:{"deep":true}'], ALL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4), st.booleans())
def test_every_member_is_found_by_its_key(document: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    for key, content in document.items():
        path = re.sub(r"([\\.|*?#@!{\[])", r"\\\1", key).encode("utf-8", "surrogatepass")
        (value,) = values(text)
        if key.isprintable() and "*" not in key and "?" not in key:
            assert json.loads(look_up(value, path).raw) == content


# --- hostile texts and paths --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"[" * MIB, b"0." * 5000),
        (b"[" * MIB, b"#." * 50 + b"#"),
        (b"[" * MIB + b"]" * MIB, b"#(#(a)#)#"),
        (b"]" * MIB, b"a"),
        (b'{"a":' * (MIB // 5), b"a." * 5000),
        (b"[]" * (MIB // 64), b"#"),
        (b'"' + b"a" * MIB, b"a"),
        (b'["' + b'\\"' * MIB, b"0"),
        (b'"' + b"\\" * MIB, b"a"),
        (b"1" * MIB, b"#"),
        (b"\xff" * MIB + b'"' + b"\xff" * MIB + b'"', b"*a"),
        (b"[" + b"1," * (MIB // 16), b"#.x"),
        (b'{"' + b"a" * MIB + b'":1}', b"*?a?a?a?b*"),
        (b'{"' + b"a" * MIB + b'":1}', b"*a" * 3000),
        (b"[1]", b"9" * PATH_BYTES_MAX),
        (b"[1]", b"@this|" * 2000),
        (b"[1]", b"[" * PATH_BYTES_MAX),
        (b"[1]", b"\\" * PATH_BYTES_MAX),
        (b'["\\""]', b"|".join([b"@tostr"] * 5)),
    ],
)
def test_hostile_texts_are_answered_in_time(text: bytes, path: bytes) -> None:
    started = time.monotonic()
    for condition in (ALL, Filter(b"@this", b"=", b"1"), Filter(b"@this", b"%", b"*a?c*")):
        selected(text, [path], condition)
    assert time.monotonic() - started < SECONDS_MAX


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (b"a" * (PATH_BYTES_MAX + 1), "longer than"),
        (b"[" * (NESTED_MAX + 1) + b"0" + b"]" * (NESTED_MAX + 1), "paths within paths"),
        (b"|".join([b"[@this,@this]"] * 60), "larger than"),
        (b"|".join([b"@tostr"] * 60), "larger than"),
    ],
)
def test_paths_that_ask_for_too_much_are_refused(
    path: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MADE_BYTES_MAX", MIB)
    with pytest.raises(InvalidRequestError, match=words):
        selected(b'["\\"xxxxxxxx"]', [path], ALL)


def test_a_reply_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPLY_BYTES_MAX", 1000)
    monkeypatch.setattr(limits, "MEMBERS_MAX", 10)
    for text, paths in ((b'"' + b"a" * 300 + b'"', [b"@this"] * 4), (b"1 " * 501, [])):
        with pytest.raises(InvalidRequestError, match="selects more than"):
            selected(text, paths, ALL)
    with pytest.raises(InvalidRequestError, match="reverse"):
        selected(b"[" + b"1," * 11, [b"@reverse"], ALL)


PIECES = [*'ab.|#()[]{}"\\:,=!<>%*?~@01 ', "@this", "@keys", "@reverse", "#(", "..", "é", "\x00"]
BYTES = st.lists(st.sampled_from([*map(bytes, zip(b'{}[]()"\\,:ntf1-a \x00\xff'))])).map(b"".join)


@given(BYTES, st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from("=<%~!"))
def test_no_text_and_no_path_raises(text: bytes, pieces: list[str], relation: str) -> None:
    path = "".join(pieces).encode()
    selected(text, [path], Filter(path, b"", b""))
    selected(text, [path], Filter(b"@this", relation.encode(), path))
